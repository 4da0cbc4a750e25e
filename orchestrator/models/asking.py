"""What a step asks of a model, and what it gets: the contract between a run and whatever chooses and pays models."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel, ConfigDict

from orchestrator.durable.run import TryLater

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.settings import ModelSettings

LEVELS = ("public", "internal", "confidential", "restricted")
"""How few may see a piece of data, from all to fewest: the gateway's words."""


@dataclass(frozen=True, slots=True)
class Payer:
    """On whose account a request is: budgets hold for each of these, as far as they are not empty."""

    run: str
    workflow: str
    team: str = ""
    customer: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to a model.

    Args:
        route: What kind of step it is, such as `classify`, `extract`, `reason` or `vision`: the registry's routes.
        messages: The conversation.
        parameters: The tools and the form of the output.
        settings: Further settings; a route may set more.
        sees: How confidential the most confidential of it is: one of `LEVELS`.
        payer: Who pays.
        key: The same for the same step of the same run, also after a restart: providers that know it answer once.
        prompt: The prompt's label.
        mark: The secret part of the marks around outside text: it differs by run, the request is the same.
    """

    route: str
    messages: "list[ModelMessage]"
    parameters: "ModelRequestParameters"
    settings: "ModelSettings | None"
    sees: str
    payer: Payer
    key: str
    prompt: str = ""
    mark: str = ""


class Attempt(BaseModel):
    """A model that was tried and did not answer."""

    model_config = ConfigDict(frozen=True)

    model: str
    error: str


class Account(BaseModel):
    """What an answer took. `cost` is in billionths of a US dollar, whole: sums of it are exact."""

    model_config = ConfigDict(frozen=True)

    model: str
    prompt: str = ""
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost: int = 0
    from_cache: bool = False
    failed: list[Attempt] = []


@dataclass(frozen=True, slots=True)
class Answered:
    """A model's answer and what it took."""

    response: Any
    """A pydantic-ai `ModelResponse`."""
    account: Account = field(default_factory=lambda: Account(model=""))


class NoModelMay(Exception):
    """No model of the route may see what the request holds, or none can do what it needs; nothing was sent."""


class OverBudget(Exception):
    """The request could go over a budget; nothing was sent. Its text names the budget and when it is free again."""


class ModelsUnavailable(TryLater):
    """Every model of the route was tried and none answered."""


class Models(Protocol):
    """Chooses a model for a request, asks it, and accounts for it."""

    async def ask(self, ask: Ask) -> Answered:
        """Ask the first model of the route that may and can; go on to the next when one fails.

        Raises:
            NoModelMay: If none may.
            OverBudget: If it could go over a budget.
            ModelsUnavailable: If none answers.
        """
        ...

    async def embed(self, texts: list[str], payer: Payer, key: str, sees: str) -> tuple[list[list[float]], Account]:
        """The vectors of texts, in their order; raises as `ask` does."""
        ...
