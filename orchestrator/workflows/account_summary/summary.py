"""The words of a summary: each statement rests on quotes, and what does not is refused."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.evidence import Evidence, unsupported
from orchestrator.fence import fence
from orchestrator.patterns import review
from orchestrator.work import Work
from orchestrator.workflows import blocks
from orchestrator.workflows.account_summary.compare import Change
from orchestrator.workflows.account_summary.gathering import Gathered

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class Statement(BaseModel):
    """One sentence of a summary."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(min_length=1, max_length=400, description="One sentence for a colleague.")
    evidence: list[Evidence] = Field(max_length=4, description="What it rests on; for a change its line in `changes`.")


class Words(BaseModel):
    """What a model writes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    statements: list[Statement] = Field(max_length=12, description="What matters, most important first.")


@dataclass(frozen=True)
class Summary:
    """What is left after the review."""

    statements: list[Statement] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """The statements for people, with what each rests on."""
        return [
            f"- {each.text} [{', '.join(sorted({one.record_id for one in each.evidence}))}]" for each in self.statements
        ]


async def summarise(work: Work, gathered: Gathered, changed: list[Change]) -> Summary:
    """Have it written, and written again with what was wrong; what is still wrong then is left out."""
    from orchestrator.agent import Exhausted, think

    told = {"id": "changes", "lines": [each.told for each in changed]}
    # What a document says may be an outsider's words.
    shown = told | {"lines": fence(told["lines"], None, work.mark)}
    data = {**gathered.shown, "figures": gathered.figures, "changes": shown, "today": gathered.today.isoformat()}
    read, checked = [*gathered.read, told], Counter[str]()

    async def write(number: int, wrong: list[str]) -> Words:
        asked = {**data, "wrong": wrong}
        return await think(work, f"summarise{number}", work.prompt("summarise"), asked, Words, route="reason")

    async def evaluate(_number: int, words: Words) -> list[str]:
        wrong = [wrong_with(each, read) for each in words.statements]
        checked.update(claims=len(wrong), unsupported=sum(map(bool, wrong)))
        return [problem for each in wrong for problem in each]

    try:
        reviewed = await review(write, evaluate)
    except Exhausted:
        return Summary()
    await work.note("summary.checked", None, facts=checked)
    refused = [each.text for each in reviewed.draft.statements if wrong_with(each, read)]
    return Summary([each for each in reviewed.draft.statements if each.text not in refused], refused)


def wrong_with(statement: Statement, read: list[Any]) -> list[str]:
    """What is wrong with a statement: no quote, quotes that nobody wrote, figures of its own, orders to its readers."""
    if not statement.evidence:
        return [f"“{statement.text}” rests on nothing"]
    if blocks.steers(statement.text):
        return ["it repeats what tells its readers what to do"]
    missing = unsupported(statement.evidence, read)
    quoted = " ".join(f"{each.record_id} {each.quote}" for each in statement.evidence)
    numbers = set(_NUMBER.findall(statement.text)) - set(_NUMBER.findall(quoted))
    return [f"nobody wrote `{each}`" for each in missing] + [f"no quote has {each}" for each in sorted(numbers)]
