"""A question of a colleague, answered from the company's documents: each sentence with the quote that it rests on."""

from collections import Counter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.context import TOOL, Claim, Context, Wanted, cited, retrieve
from orchestrator.fence import fence_text
from orchestrator.grants import Task
from orchestrator.models.asking import NoModelMay, OverBudget
from orchestrator.work import Work
from orchestrator.workflow import workflow

NOTHING = "Nothing good was found in the documents that you may read."
_SEARCHES = 2
_EARLIER = 4


class Turn(BaseModel):
    """An earlier question and what it was answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str = Field(max_length=4_000)
    answer: str = Field(max_length=20_000)


class Question(BaseModel):
    """What somebody asks, after what they asked before.

    Args:
        question: Their own words.
        earlier: The turns before, oldest first.
        origin: Only documents of this origin; empty for all.
        days: How old documents may be; 0 for any age.
        person: Who asks.
        team: On whose account.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: str = Field(min_length=2, max_length=4_000)
    earlier: list[Turn] = Field(default=[], max_length=50)
    origin: str = Field(default="", pattern="^(official|internal|external)?$")
    days: float = Field(default=0, ge=0, le=36_500)
    person: str = ""
    team: str = ""


class Reply(BaseModel):
    """A model's answer: nothing but claims, each with its quote."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claims: list[Claim] = Field(max_length=8, description="Nothing if the passages do not answer the question.")


class Cited(BaseModel):
    """A claim with the document that says so."""

    text: str
    document_id: str
    title: str
    quote: str


class Answer(BaseModel):
    """What whoever asked gets. `answer` says so plainly if nothing good was found; then there are no citations."""

    answer: str
    citations: list[Cited] = []
    found: bool = False


@workflow("ask", version=1)
async def ask(work: Work, given: Question) -> Answer:
    """Look the question up, and answer it from what was found and nothing else."""
    await work.grant(Task(given.question, [TOOL], limits={TOOL: _SEARCHES}))
    context = await retrieve(work, "look", _query(given), Wanted(origin=given.origin, days=given.days))
    return await _answered(work, given, context) if context.good else Answer(answer=NOTHING)


async def _answered(work: Work, given: Question, context: Context) -> Answer:
    from orchestrator.agent import Bounds, Exhausted, run_agent

    checked = Counter[str]()
    # What was answered before was made of passages.
    earlier = [
        {"question": turn.question, "answer": fence_text(turn.answer, work.mark)} for turn in given.earlier[-_EARLIER:]
    ]
    data = {"question": given.question, "earlier": earlier, "passages": context.shown(work.mark)}

    def check(found: Reply, _session: object) -> list[str]:
        wrong = cited(found.claims, context)
        checked.update(claims=len(found.claims), unsupported=len(wrong))
        return [f"no such quote in the document that you name: {claim!r}" for claim in wrong]

    async def reply() -> Reply:
        try:
            found, _ = await run_agent(
                work, "answer", work.prompt("answer"), data, Reply, bounds=Bounds(requests=3, tool_calls=1), check=check
            )
        except (Exhausted, NoModelMay, OverBudget):
            return Reply(claims=[])
        return found

    found = await work.keep("reply", reply, Reply, facts=lambda _: checked)
    titles = {each.document_id: each.title for each in context.passages}
    citations = [Cited(**claim.model_dump(), title=titles[claim.document_id]) for claim in found.claims]
    return (
        Answer(answer=" ".join(each.text for each in citations), citations=citations, found=True)
        if citations
        else (Answer(answer=NOTHING))
    )


def _query(given: Question) -> str:
    """What to look for: a short question that follows another one is about the same."""
    is_short = len(given.question.split()) < 4
    return f"{given.earlier[-1].question} {given.question}" if is_short and given.earlier else given.question


def shown(answer: dict[str, Any]) -> str:
    """An answer for a terminal, with its citations under it."""
    found = Answer.model_validate(answer)
    if not found.found:
        return found.answer
    text = " ".join(f"{each.text} [{number}]" for number, each in enumerate(found.citations, 1))
    notes = [f"  [{n}] {each.title} ({each.document_id}): “{each.quote}”" for n, each in enumerate(found.citations, 1)]
    return "\n".join([text, "", *notes])
