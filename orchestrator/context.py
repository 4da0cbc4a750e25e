"""The smallest useful context: passages of documents that fit a question, and whether an answer rests on them.

The gateway cuts documents into passages, and ranks only those that the caller may read. What is done here is to put
its ranking together with one by meaning where a model gives vectors, to filter, and to stop when the budget is spent.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import mul

from pydantic import BaseModel, Field

from orchestrator.evidence import held_in, plain, stands_in
from orchestrator.fence import fence_text
from orchestrator.gateway_client import Ok
from orchestrator.models.asking import Account, ModelsUnavailable, NoModelMay, OverBudget
from orchestrator.work import Work

TOOL = "knowledge_search_documents"
_MOST, _FUSED, _TOKEN = 20, 60, 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """What fits.

    Args:
        origin: `official`, `internal` or `external` documents only; empty for all.
        sources: Only documents whose source begins with one of these; empty for all.
        days: How old they may be; 0 for any age.
        tokens: How much of them, in tokens of about four characters.
        good: From which share of the question's words on a passage answers it, as the gateway scores: 0 to 1.
    """

    origin: str = ""
    sources: tuple[str, ...] = ()
    days: float = 0
    tokens: int = 1_500
    good: float = 0.3


class Passage(BaseModel):
    """A part of a document, as the gateway gives it. All text in it may be an outsider's."""

    document_id: str
    title: str
    heading: str = ""
    text: str
    score: float = 0
    source: str = ""
    origin: str = ""
    updated_at: datetime = datetime.min.replace(tzinfo=UTC)


class Context(BaseModel):
    """What was found for a question; `found` passages, the best of which scored `top`. Not `good`: ask somebody."""

    query: str
    passages: list[Passage] = []
    found: int = 0
    top: float = 0
    good: bool = False

    def shown(self, mark: str) -> list[dict[str, str]]:
        """The passages for a model: text between marks, with the id and the date to cite."""
        return [
            {"document_id": each.document_id, "updated_at": f"{each.updated_at:%F}"}
            | {part: fence_text(getattr(each, part), mark) for part in ("title", "heading", "text")}
            for each in self.passages
        ]


class Claim(BaseModel):
    """A statement with the quote that it rests on."""

    text: str = Field(min_length=1, max_length=1_000, description="One or two sentences.")
    document_id: str = Field(max_length=100, description="Id of the document that says so.")
    quote: str = Field(min_length=8, max_length=500, description="Copied from it word for word.")


async def retrieve(work: Work, step: str, query: str, wanted: Wanted = Wanted()) -> Context:
    """Find what fits a question; if that is nothing good, once more with its telling words only.

    Args:
        work: The run's hands.
        step: Names its steps.
        query: The question.
        wanted: What fits.
    """
    context = Context(query=query)
    for number, words in enumerate(dict.fromkeys((query[:300], broader(query)[:300])), 1):
        asked = {"query": words, "limit": _MOST} | ({"origin": wanted.origin} if wanted.origin else {})
        outcome = await work.call(f"{step}.search{number}", TOOL, asked)
        told = outcome.result["passages"] if isinstance(outcome, Ok) else []
        passages = [Passage.model_validate(each) for each in told]
        meant = await _by_meaning(work, f"{step}.vectors{number}", words, passages)

        async def choose(passages: list[Passage] = passages, meant: list[int] = meant) -> Context:
            return chosen(query, passages, meant, wanted, datetime.now(UTC))

        context = await work.step(f"{step}.context{number}", choose, Context, facts=_facts)
        if context.good:
            break
    return context


async def or_person(work: Work, step: str, context: Context, seconds: float | None = None) -> Context:
    """The context if it is good; otherwise what a person knows, if somebody answers in time."""
    if context.good:
        return context
    answer = await work.ask(step, f"No document answers: {context.query}", ["answer", "nothing"], seconds)
    if answer["choice"] != "answer":
        return context
    known = Passage(document_id=f"person:{answer['by']}", title=f"Told by {answer['by']}", text=answer["note"], score=1)
    return context.model_copy(update={"passages": [known], "good": True})


def broader(query: str) -> str:
    """A question's telling words: the long ones, and what has digits or capitals in it."""
    words = [word for word in re.findall(r"[\w-]+", query) if len(word) > 4 or not word.islower()]
    return " ".join(words) or query


def chosen(query: str, passages: Sequence[Passage], meant: Sequence[int], wanted: Wanted, now: datetime) -> Context:
    """The passages that fit, best first by reciprocal rank fusion, each text once, until the budget is spent.

    Args:
        query: The question.
        passages: As the gateway ranks them.
        meant: Their numbers by meaning; empty if nobody ranks them so.
        wanted: What fits.
        now: The time.
    """
    by_meaning = {number: rank for rank, number in enumerate(meant)}
    fused = {
        number: 1 / (_FUSED + number) + (1 / (_FUSED + by_meaning[number]) if by_meaning else 0)
        for number in range(len(passages))
    }
    best = sorted(fused, key=lambda number: (-fused[number], -passages[number].updated_at.timestamp()))
    oldest = now - timedelta(days=wanted.days) if wanted.days else None
    kept, seen, left = list[Passage](), "", wanted.tokens * _TOKEN
    for each in (passages[number] for number in best):
        is_asked_for = not wanted.sources or each.source.startswith(wanted.sources)
        is_fresh = oldest is None or each.updated_at >= oldest
        if is_asked_for and is_fresh and plain(each.text) not in seen and len(each.text) <= left:
            kept.append(each)
            seen, left = f"{seen}\n{plain(each.text)}", left - len(each.text)
    top = max((each.score for each in kept), default=0)
    return Context(query=query, passages=kept, found=len(passages), top=top, good=top >= wanted.good)


def cited(claims: Sequence[Claim], context: Context) -> list[str]:
    """The claims whose quote does not stand in the document that they name, word for word."""
    held = held_in([each.model_dump(include={"document_id", "text"}) for each in context.passages])
    return [claim.text for claim in claims if not stands_in(held, claim.document_id, claim.quote)]


async def _by_meaning(work: Work, step: str, query: str, passages: Sequence[Passage]) -> list[int]:
    """The passages' numbers by how near their vectors are to the question's; none where no model gives vectors."""
    texts, key = [query, *(each.text for each in passages)], f"{work.run.id}:{work.run.upcoming(step)}"

    async def embed() -> tuple[list[int], Account]:
        try:
            vectors, account = await work.around.models.embed(texts, work.payer, key, work.sees)
        except (NoModelMay, OverBudget, ModelsUnavailable):
            return [], Account(model="")
        near = [sum(map(mul, vectors[0], each)) / (math.hypot(*each) or 1) for each in vectors[1:]]
        return sorted(range(len(near)), key=lambda number: -near[number]), account

    if not passages:
        return []
    found = await work.step(
        step, embed, tuple[list[int], Account], facts=lambda it: it[1].model_dump() if it[1].model else {}
    )
    return found[0]


def _facts(context: Context) -> dict[str, object]:
    used = {"kept": len(context.passages), "tokens": sum(len(each.text) for each in context.passages) // _TOKEN}
    return {"retrieval": "good" if context.good else "poor", "found": context.found, "top": context.top, **used}
