"""A refund request on its way, and how it ends."""

from dataclasses import dataclass

from pydantic import BaseModel

from orchestrator.work import Work
from orchestrator.workflows.blocks import Incoming, Letter
from orchestrator.workflows.refund_request.rules import Asked, Facts, Verdict


class Outcome(BaseModel):
    """What became of a request. `way` is what the rules say of it, `refunded` what was really given back."""

    way: str
    why: list[str]
    order: str = ""
    refunded: str = ""
    replied: str = ""
    escalated: bool = False


@dataclass(frozen=True)
class Matter:
    """A request with all that is known of it."""

    work: Work
    given: Incoming
    letter: Letter
    asked: Asked
    facts: Facts
    verdict: Verdict
