"""The way of one item: read it, find out, check what that rests on, prepare the work, reply as far as people let it.

The model only looks things up and says what it found. What is written follows from that by plain functions, each
write as an act with a stage of its own, and with the case for it beside it.
"""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.evidence import unsupported
from orchestrator.fence import fence, unfence
from orchestrator.gateway_client import Failed, Ok
from orchestrator.models.asking import NoModelMay, OverBudget
from orchestrator.promotion import Stage
from orchestrator.stages import act, stage_of
from orchestrator.walk import texts
from orchestrator.work import Said, Settled, Work
from orchestrator.workflow import workflow
from orchestrator.workflows.triage import writing
from orchestrator.workflows.triage.items import ToTriage
from orchestrator.workflows.triage.report import Found, ItemReport, Triage, accounts_of, report_of, wrong_with
from orchestrator.workflows.triage.rules import read_text
from orchestrator.workflows.triage.task import READING, triage_task

if TYPE_CHECKING:
    from orchestrator.agent import Session

SCRIPT = Said(model="script")
"""What is stated about calls that no model decided on."""


@workflow("triage", version=1, acts={"sort": "act", "note": "act", "reply": "draft"})
async def triage(work: Work, given: ToTriage) -> ItemReport:
    """Triage one item. Whatever the model does, this ends within the bounds and hands doubt to a person."""
    # What an act may not do by its stage is not granted either.
    replies = (await stage_of(work, "reply")).place >= Stage.APPROVE.place
    await work.grant(triage_task(given, replies=replies))
    read = await work.call("read", *given.read_with, SCRIPT)
    if not isinstance(read, Ok):
        return report_of(given, work.run.id, work.run.done, stopped=f"the item cannot be read: {_reason(read)}")

    item = fence(read.result, read.untrusted, work.mark)
    checked = Counter[str]()
    found = await work.keep("findings", lambda: find_out(work, given, item, checked), Found, facts=lambda _: checked)
    if given.kind == "ticket":
        await _work_on_ticket(work, read.result, found)
    else:
        await _reply_to_mail(work, read.result, found)
    return report_of(given, work.run.id, work.run.done)


async def find_out(work: Work, given: ToTriage, item: Mapping[str, Any], checked: Counter[str]) -> Found:
    """Have a model find out about an item, whose outside text stands between marks; give up where it cannot.

    In `checked` it counts the quotes that were checked as `claims`, and those that nothing bears out as `unsupported`.
    """
    from orchestrator.agent import Bounds, Exhausted, run_agent

    bounds = Bounds(requests=given.requests, tool_calls=given.tool_calls, tokens=given.tokens)
    prompt, data = work.prompt("triage"), {str(given.kind): item}

    def check(found: Triage, session: "Session") -> list[str]:
        missing = unsupported(found.evidence, session.read)
        checked.update(claims=len(found.evidence), unsupported=len(missing))
        return wrong_with(found, missing, _customers(session))

    try:
        found, session = await run_agent(
            work, "triage", prompt, data, Triage, tools=READING, bounds=bounds, check=check, read=[unfence(item)]
        )
    except Exhausted as error:
        return _gave_up("the model came to no usable result within its bounds", error)
    except NoModelMay as error:
        return _gave_up("no model may see this item", error)
    except OverBudget as error:
        return _gave_up("the budget is spent", error)
    return Found(triage=found, customer=_customers(session).get(found.customer_id or "", ""))


def _customers(session: "Session") -> dict[str, str]:
    """The contacts that were found, by id."""
    pages = [result.get("contacts", []) for tool, result in session.results if tool == "crm_search_contacts"]
    return {each["id"]: f"{each['name']}, {each.get('account_name', '')}" for page in pages for each in page}


def _gave_up(why: str, error: Exception) -> Found:
    escalated = Triage(
        intent="other",
        confidence=0.0,
        customer_id=None,
        evidence=[],
        recommended_action="escalate",
        risk="medium",
        next_step=f"Read it yourself: {why}.",
    )
    return Found(triage=escalated, stopped=f"{why}: {error}")


async def _work_on_ticket(work: Work, ticket: dict[str, Any], found: Found) -> None:
    said = _said(work, found)
    if not found.stopped:
        await act(work, "sort", "ticket_update_ticket", writing.sorting(ticket, found.triage), said=said)
    if reply := _reply(found):
        draft = "ticket_add_note", writing.note(ticket, found, reply)
        acted = await act(
            work,
            "reply",
            "ticket_add_reply",
            writing.answer(ticket, reply),
            draft=draft,
            said=said,
            exception=_exception(ticket, found),
        )
        if acted.stage is Stage.DRAFT:
            return
    await act(work, "note", "ticket_add_note", writing.note(ticket, found), said=said)


async def _reply_to_mail(work: Work, thread: dict[str, Any], found: Found) -> None:
    # An escalated conversation simply stays unread.
    if reply := _reply(found):
        draft = "email_create_draft", writing.draft(thread, reply)
        await act(
            work,
            "reply",
            "email_reply_message",
            writing.response(thread, reply),
            draft=draft,
            said=_said(work, found),
            exception=_exception(thread, found),
        )


def _reply(found: Found) -> str:
    """What to answer: nothing where a person takes over, whatever the model wrote."""
    return found.triage.reply if found.triage.recommended_action not in ("escalate", "ignore") else ""


def _exception(item: Mapping[str, Any], found: Found) -> str:
    """Why a reply is a person's whatever the stage: a text that steers may have steered the model too."""
    if read_text("", "\n".join(texts(item))).hostile:
        return "the text tries to steer whoever reads it"
    return "the risk is high" if found.triage.risk == "high" else ""


def _said(work: Work, found: Found) -> Said:
    accounts = accounts_of(work.run.done)
    if found.stopped or not accounts:
        return SCRIPT
    return Said(accounts[-1].prompt, accounts[-1].model, writing.case_of(found.triage))


def _reason(outcome: Settled) -> str:
    return outcome.error.message if isinstance(outcome, Failed) else getattr(outcome, "reason", "")
