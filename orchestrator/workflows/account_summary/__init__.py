"""Once a week: what happened with an account, what changed in a document, in words that all rest on something."""

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.gateway_client import Ok
from orchestrator.stages import act
from orchestrator.work import Said, Work
from orchestrator.workflow import workflow
from orchestrator.workflows.account_summary.compare import Change
from orchestrator.workflows.account_summary.gathering import Gathered, compared, gather
from orchestrator.workflows.account_summary.summary import summarise
from orchestrator.workflows.account_summary.task import summary_task


class Wanted(BaseModel):
    """An account, the mailbox to look through, and the versions of a document that are to be compared, if any."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account_id: str = Field(min_length=1)
    mailbox: str = "sales@larkspur.example"
    old_document: str = ""
    new_document: str = ""
    days: int = Field(default=7, ge=1, le=92)
    team: str = ""
    customer: str = ""


class Outcome(BaseModel):
    """The note and what it says. `refused` is what was left out because nothing supports it."""

    note: str = ""
    statements: list[str] = []
    changes: list[str] = []
    refused: list[str] = []
    noted: bool = False
    escalated: bool = False


@workflow("account_summary", version=1, acts={"note": "act"})
async def account_summary(work: Work, given: Wanted) -> Outcome:
    """Gather in parallel, compare, summarise, refuse what nothing supports, leave a note for colleagues."""
    await work.grant(summary_task(given.account_id, given.mailbox, [given.old_document, given.new_document]))
    gathered = await gather(work, given.account_id, given.mailbox, given.days)
    changes = await compared(work, given.old_document, given.new_document)
    summary = await summarise(work, gathered, changes)
    told = [change.told for change in changes]
    if not summary.statements:
        return Outcome(changes=told, refused=summary.refused, escalated=True)
    note = written(gathered, changes, summary.lines)
    activity = {
        "kind": "note",
        "subject": f"Week to {gathered.today.isoformat()}",
        "body": note[:10_000],
        "account_id": given.account_id,
    }
    done = await act(work, "note", "crm_log_activity", activity, said=Said(work.prompt("summarise").label))
    is_noted = isinstance(done.outcome, Ok)
    texts = [each.text for each in summary.statements]
    return Outcome(note=note, statements=texts, changes=told, refused=summary.refused, noted=is_noted)


def written(gathered: Gathered, changes: list[Change], lines: list[str]) -> str:
    """The note: figures that were counted, words that rest on something, and what changed word for word."""
    counted = [f"{name}: {figure}" for name, figure in gathered.figures.items()]
    changed = ["", "Changes in the document:", *(f"- {each.told}" for each in changes)] if changes else []
    missing = [f"Could not be read: {', '.join(gathered.missing)}."] if gathered.missing else []
    return "\n".join([*counted, *missing, "", *lines, *changed])
