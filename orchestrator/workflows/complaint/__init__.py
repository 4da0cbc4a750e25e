"""A complaint goes from specialist to specialist, what is grave to a person, and no answer out without one."""

from functools import partial

from pydantic import BaseModel

from orchestrator.patterns import HandOver, hand_over
from orchestrator.work import Said, Work
from orchestrator.workflow import workflow
from orchestrator.workflows import blocks
from orchestrator.workflows.blocks import Found, Incoming
from orchestrator.workflows.complaint.specialists import (
    SPECIALISTS,
    Desk,
    Draft,
    Specialists,
    look,
    triage,
    write,
)
from orchestrator.workflows.complaint.task import complaint_task


class Outcome(BaseModel):
    """What became of a complaint. `kinds` is what it is about, `replied` what people made of the answer."""

    kinds: list[str]
    brief: str
    escalated: bool = False
    taken: bool = False
    replied: str = ""


@workflow("complaint", version=1, acts={"reply": "approve"})
async def complaint(work: Work, given: Incoming) -> Outcome:
    """Read, gather, hand over until there is a draft or a person has taken it, then answer after a yes."""
    await work.grant(complaint_task(given))
    desk = await gather(work, given)
    specialists: Specialists = {
        "triage": partial(triage, desk),
        **{name: partial(look, desk, name) for name in SPECIALISTS},
        "person": partial(person, desk),
        "writer": partial(write, desk),
    }
    ended: Draft | str | None = await hand_over(HandOver("triage", ""), specialists)
    grave = desk.grave
    if not isinstance(ended, Draft):
        brief = ended or desk.told
        if not ended:
            desk.said = await blocks.hand_to_person(work, given, brief, "answer a complaint yourself")
        return Outcome(kinds=desk.kinds, brief=brief, escalated=True, taken=desk.said == "taken")
    case = {
        "recommendation": "Send this answer to the complaint",
        "evidence": [f"{each.record_id}: {each.quote}" for each in ended.reply.evidence],
        "confidence": desk.confidence,
        "risk": "high: " + ", ".join(grave) if grave else "medium: a complaint",
        "alternatives": ["call the customer", "write it yourself", "ask for more first"],
    }
    said = Said(work.prompt("write").label, case=case)
    why = "a complaint is answered on a person's word only"
    done = await blocks.answer(work, "reply", given, desk.letter, ended.reply.body, said, why)
    return Outcome(kinds=desk.kinds, brief=ended.brief, escalated=bool(grave), replied=blocks.came_of(done))


async def gather(work: Work, given: Incoming) -> Desk:
    """Everything that the specialists work with, and the ticket marked as a complaint."""
    letter = await blocks.read(work, given)
    customer = await blocks.find_customer(work, letter.sender)
    orders = Found()
    if customer:
        orders = await blocks.look_up(work, "orders", "crm_get_orders", contact_id=customer.raw["id"], limit=3)
    rules = await blocks.find_documents(work, "rules", "handling complaints escalation")
    desk = Desk(work, given, letter, customer, orders.all("orders"), rules)
    tags = [
        "complaint",
        *(["needs-person"] if desk.grave else []),
        *(["suspicious"] if "hostile" in desk.grave else []),
    ]
    await blocks.sort_ticket(work, given, letter, tags, priority="urgent" if desk.grave else "high")
    return desk


async def person(desk: Desk, brief: str, _turn: int) -> HandOver | str:
    """Wait until somebody takes it, or gives it back to have an answer written."""
    question = f"take over a complaint ({', '.join(desk.grave)}), or give it `back` for a draft"
    desk.said = await blocks.hand_to_person(desk.work, desk.given, brief, question, wait=True)
    return HandOver("writer", brief) if desk.said == "back" else brief
