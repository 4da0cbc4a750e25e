"""The steps of a lead: gather, propose, log, write. Each can be tried alone."""

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.evidence import Evidence, unsupported
from orchestrator.fence import fence
from orchestrator.gateway_client import Ok
from orchestrator.patterns import review
from orchestrator.stages import act
from orchestrator.work import Said, Work
from orchestrator.workflows import blocks
from orchestrator.workflows.blocks import Found, Incoming, Letter, Reply
from orchestrator.workflows.sales_lead.hygiene import Records


class Lead(BaseModel):
    """A conversation with a lead, or a contact whose data are looked through. `days` is how long an answer may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mailbox: str = ""
    thread_id: str = ""
    contact_id: str = ""
    days: float = Field(default=4, gt=0, le=90)
    team: str = ""
    customer: str = ""

    @model_validator(mode="after")
    def _is_one(self) -> "Lead":
        if bool(self.contact_id) == bool(self.mailbox and self.thread_id):
            raise ValueError("give `contact_id`, or `mailbox` and `thread_id`")
        return self


class Plan(BaseModel):
    """What a lead wants, and what to do next."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    is_lead: bool = Field(description="Whether somebody wants to buy, or to hear what something costs.")
    interest: str = Field(max_length=400, description="What they are interested in, in one sentence.")
    next_step: str = Field(max_length=400, description="What a salesperson should do next, in one sentence.")
    evidence: list[Evidence] = Field(max_length=6, description="What that rests on.")
    confidence: float = Field(ge=0, le=1, description="How sure you are.")


async def gather(work: Work, given: Lead, letter: Letter | None) -> Records:
    """The contact, whoever could be the same, their account and its deals; and what day it is."""
    if letter:
        contact = await blocks.find_customer(work, letter.sender)
    else:
        contact = await blocks.look_up(work, "customer", "crm_get_contact", contact_id=given.contact_id)
    account, alike, deals = Found(), Found(), Found()
    if name := contact.raw.get("name") or (letter.name if letter else ""):
        alike = await blocks.look_up(work, "alike", "crm_search_contacts", query=name, limit=20)
    if account_id := contact.raw.get("account_id"):
        account = await blocks.look_up(work, "account", "crm_get_account", account_id=account_id)
        deals = await blocks.look_up(work, "deals", "crm_list_deals", account_id=account_id, limit=20)
    today = await blocks.today(work)
    shown = {"contact": contact.shown, "account": account.shown, "deals": deals.all("deals").shown}
    found = {"contact": contact.raw, "account": account.raw, "deals": deals.all("deals").raw}
    return Records(**found, alike=alike.all("contacts").raw, today=today, shown=shown)


async def propose(work: Work, letter: Letter, records: Records) -> Plan | None:
    """What they want and what to do; None if no model can tell, or it rests on what nobody wrote."""
    from orchestrator.agent import Exhausted, think

    data = {"item": letter.shown, **records.shown, "today": records.today.isoformat()}

    async def plan(number: int, wrong: list[str]) -> Plan:
        told = {**data, "wrong": wrong}
        return await think(work, f"plan{number}", work.prompt("plan"), told, Plan, route="reason")

    async def evaluate(_number: int, found: Plan) -> list[str]:
        return unsupported(found.evidence, [letter.record, records.read])

    try:
        proposed = await review(plan, evaluate)
    except Exhausted:
        return None
    return proposed.draft if proposed.passed else None


async def log(work: Work, records: Records, subject: str, told: list[str]) -> bool:
    """Log what was found with the contact; somebody who is not in the CRM has no place for it."""
    if not records.contact:
        return False
    activity = {"kind": "note", "subject": subject, "body": "\n".join(told), "contact_id": records.contact["id"]}
    done = await act(work, "log", "crm_log_activity", activity)
    return isinstance(done.outcome, Ok)


async def write(work: Work, step: str, given: Incoming, letter: Letter, plan: Plan, records: Records) -> str:
    """Have an answer written that promises nothing, and give it as the step's stage says."""
    from orchestrator.agent import Exhausted, think

    prompt = work.prompt(step)
    data = {
        "item": letter.shown,
        "plan": fence(plan.model_dump(mode="json"), None, work.mark),
        "name": records.shown["contact"].get("name", ""),
    }

    async def draft(number: int, wrong: list[str]) -> Reply:
        return await think(work, f"{step}.{number}", prompt, {**data, "wrong": wrong}, Reply, route="write")

    async def evaluate(_number: int, reply: Reply) -> list[str]:
        promised = blocks.overpromised(reply.body, set(), set())
        return promised + unsupported(reply.evidence, [letter.record, records.read])

    try:
        written = await review(draft, evaluate)
    except Exhausted:
        return "none"
    if not written.passed:
        return "none"
    evidence = [f"{each.record_id}: {each.quote}" for each in plan.evidence]
    case = {"recommendation": plan.next_step, "evidence": evidence, "confidence": plan.confidence}
    risk = {"risk": "low: it names no price and promises nothing", "alternatives": ["call them", "leave it"]}
    done = await blocks.answer(work, step, given, letter, written.draft.body, Said(prompt.label, case=case | risk))
    return blocks.came_of(done)
