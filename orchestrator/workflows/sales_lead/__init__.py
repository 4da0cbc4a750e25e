"""A lead is looked up, logged and answered; if nothing comes back for days, it is followed up once."""

from typing import Any

from pydantic import BaseModel

from orchestrator.work import Work
from orchestrator.workflow import workflow
from orchestrator.workflows import blocks
from orchestrator.workflows.blocks import Incoming
from orchestrator.workflows.sales_lead.hygiene import findings
from orchestrator.workflows.sales_lead.steps import Lead, gather, log, propose, write
from orchestrator.workflows.sales_lead.task import lead_task


class Outcome(BaseModel):
    """What became of a lead. `report` is what is wrong with the data; `answered` whether they wrote back."""

    report: list[str]
    next_step: str = ""
    logged: bool = False
    replied: str = ""
    answered: bool = False
    followed_up: str = ""
    escalated: bool = False


@workflow("sales_lead", version=1, acts={"log": "act", "reply": "approve", "follow_up": "approve"})
async def sales_lead(work: Work, given: Lead) -> Outcome:
    """Look up, report, log, answer, wait, follow up."""
    await work.grant(lead_task(given.mailbox, given.thread_id, given.contact_id))
    letter = incoming = None
    if given.thread_id:
        incoming = Incoming(mailbox=given.mailbox, thread_id=given.thread_id)
        letter = await blocks.read(work, incoming)
    records = await gather(work, given, letter)
    report = findings(records)
    if letter is None or incoming is None:
        return Outcome(report=report, logged=await log(work, records, "CRM data looked through", report))
    plan = await propose(work, letter, records)
    if plan is None or blocks.steers(letter.text):
        await blocks.hand_to_person(work, incoming, "\n".join(["Look at it yourself.", *report]), "look at a mail")
        return Outcome(report=report, escalated=True)
    if not plan.is_lead:
        return Outcome(report=report, next_step=plan.next_step)
    told = [plan.interest, f"Next: {plan.next_step}", *report]
    done = Outcome(report=report, next_step=plan.next_step, logged=await log(work, records, "New lead by mail", told))
    done.replied = await write(work, "reply", incoming, letter, plan, records)
    if done.replied not in ("accept", "edit", "act"):
        return done
    await work.wait("their answer", f"mail:{given.thread_id}", seconds=given.days * 86_400, why="waits for an answer")
    later = await blocks.look_up(work, "read again", *incoming.reading[:1], **incoming.reading[1])
    done.answered = len(theirs(later.raw)) > len(theirs(letter.record))
    # Whoever may have answered is not written to again.
    if later and not done.answered:
        done.followed_up = await write(work, "follow_up", incoming, letter, plan, records)
    return done


def theirs(conversation: Any) -> list[str]:  # noqa: ANN401 - JSON
    """The ids of the messages that came from outside."""
    return [each["id"] for each in conversation.get("messages", []) if each["folder"] != "sent"]
