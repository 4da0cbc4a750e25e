"""The specialists: triage, law, safety and quality read and hand on; a writer writes. Grave words bind them."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.evidence import Evidence, held_in, stands_in, unsupported
from orchestrator.fence import fence
from orchestrator.patterns import HandOver, review
from orchestrator.work import Work
from orchestrator.workflows import blocks
from orchestrator.workflows.blocks import Found, Incoming, Letter, Reply

Kind = Literal["law", "safety", "quality", "service"]
GRAVE = {
    "law": r"lawyer|attorney|solicitor|\bsue\b|lawsuit|court|legal|ombudsman|consumer (protection|authority)|"
    r"data protection|gdpr|press\b|journalist|anwalt|gericht|klage\b|avocat|tribunal|abogado|avvocato|advocaat|prawnik|"
    r"advokat",
    "safety": r"injur|hurt|burn(s|t|ed|ing)?\b|smoke|fire\b|explo|electric(al)? shock|poison|hospital|dangerous|"
    r"verletz|brand\b|rauch|stromschlag|bless|incendie|herido|incendio|ferit|gewond|brann|po.ar",
    "vulnerable": r"disab(led|ility)|wheelchair|cancer|chemotherapy|bereave|passed away|suicid|depress|"
    r"mental health|pregnan|carer\b|care home|cannot afford|bankrupt|behinder|verstorben|handicap|enceinte",
}
"""What is always a person's, by the words that say it: no model can make it less."""


SPECIALISTS = ("law", "safety", "quality")


class Sorted(BaseModel):
    """What a complaint is about, as triage sees it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = Field(description="What it is mainly about.")
    vulnerable: bool = Field(description="Whether somebody in it needs particular care.")
    summary: str = Field(min_length=1, max_length=800, description="What happened and what they want, in your words.")
    evidence: list[Evidence] = Field(max_length=6, description="What the summary rests on.")
    confidence: float = Field(ge=0, le=1, description="How sure you are of the kind.")


class Finding(BaseModel):
    """What a specialist found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    findings: str = Field(min_length=1, max_length=1_200, description="What is known, and what is not.")
    next_step: str = Field(min_length=1, max_length=400, description="What the company should do, in one sentence.")
    evidence: list[Evidence] = Field(max_length=6, description="What the findings rest on.")


@dataclass(frozen=True)
class Draft:
    """An answer that passed review, with the brief that it was written from."""

    reply: Reply
    brief: str


Specialists = Mapping[str, Callable[[str, int], Awaitable["HandOver | Draft | str"]]]
"""By name; a text is the brief that a person has taken over with."""


@dataclass
class Desk:
    """A complaint with what was gathered; `told` is the last brief, `grave` why it is a person's, `said` their word."""

    work: Work
    given: Incoming
    letter: Letter
    customer: Found
    orders: Found
    rules: Found
    grave: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    told: str = ""
    said: str = ""
    confidence: float = 0.0

    def __post_init__(self) -> None:
        found = [name for name, words in GRAVE.items() if re.search(words, self.letter.text, re.IGNORECASE)]
        self.grave = [*found, *(["hostile"] if blocks.steers(self.letter.text) else [])]

    def data(self, brief: str = "") -> dict[str, Any]:
        """What a specialist is given; the brief quotes outsiders."""
        found = {"customer": self.customer.shown, "orders": self.orders.shown, "rules": self.rules.shown}
        return {"item": self.letter.shown, **found, "brief": fence(brief.splitlines(), None, self.work.mark)}

    @property
    def read(self) -> list[Any]:
        """What evidence may come from."""
        return [self.letter.record, self.customer.raw, self.orders.raw, self.rules.raw]

    def supported(self, evidence: list[Evidence]) -> list[str]:
        """Those of the quotes that really were read, for a brief."""
        held = held_in(self.read)
        read = [each for each in evidence if stands_in(held, each.record_id, each.quote)]
        return [f"- {each.record_id}: {each.quote}" for each in read]


async def triage(desk: Desk, _brief: str, _turn: int) -> HandOver:
    """Say what it is about, and hand it to whoever knows about that; words that are grave overrule the model."""
    from orchestrator.agent import Exhausted, think

    work = desk.work
    try:
        found = await think(work, "triage", work.prompt("triage"), desk.data(), Sorted, route="classify")
    except Exhausted:
        found = Sorted(kind="service", vulnerable=False, summary="Nobody could sum it up.", evidence=[], confidence=0)
    desk.confidence = found.confidence
    kind = next((each for each in ("safety", "law") if each in desk.grave), found.kind)
    if kind in GRAVE and kind not in desk.grave:
        desk.grave.append(kind)
    if found.vulnerable and "vulnerable" not in desk.grave:
        desk.grave.append("vulnerable")
    desk.kinds = sorted({kind, *desk.grave})
    who = f"{desk.customer.raw['name']} ({desk.customer.raw['id']})" if desk.customer else "not in the CRM"
    lines = [
        f"Complaint about {', '.join(desk.kinds)}. Customer: {who}.",
        found.summary,
        *desk.supported(found.evidence),
    ]
    desk.told = "\n".join(lines)
    return HandOver(kind if kind in SPECIALISTS else _next(desk), desk.told)


async def look(desk: Desk, kind: str, brief: str, _turn: int) -> HandOver:
    """Have a specialist look at it, and hand it to a person if it is grave, otherwise to the writer."""
    from orchestrator.agent import Exhausted, think

    work, data = desk.work, desk.data(brief)
    try:
        found = await think(work, kind, work.prompt(kind), data, Finding, route="reason")
    except Exhausted:
        desk.grave.append("unclear")
        return HandOver("person", brief)
    told = [
        brief,
        f"{kind.capitalize()}: {found.findings}",
        f"Next: {found.next_step}",
        *desk.supported(found.evidence),
    ]
    desk.told = "\n".join(told)
    return HandOver(_next(desk), desk.told)


def _next(desk: Desk) -> str:
    return "person" if desk.grave else "writer"


async def write(desk: Desk, brief: str, _turn: int) -> Draft | HandOver:
    """Write an answer that promises and admits nothing, or give it to a person."""
    from orchestrator.agent import Exhausted, think

    prompt = desk.work.prompt("write")

    async def draft(number: int, wrong: list[str]) -> Reply:
        data = {**desk.data(brief), "wrong": wrong}
        return await think(desk.work, f"write{number}", prompt, data, Reply, route="write")

    async def evaluate(_number: int, reply: Reply) -> list[str]:
        return blocks.overpromised(reply.body, set(), set()) + unsupported(reply.evidence, desk.read)

    try:
        written = await review(draft, evaluate)
    except Exhausted:
        return HandOver("nobody", brief)
    return Draft(written.draft, brief) if written.passed else HandOver("nobody", brief)
