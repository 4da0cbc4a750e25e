"""A customer wants money back: what they want is read by a model, whether they get it is decided by rules."""

from decimal import Decimal

from orchestrator.gateway_client import Ok
from orchestrator.patterns import route
from orchestrator.stages import act
from orchestrator.work import Said, Work
from orchestrator.workflow import workflow
from orchestrator.workflows import blocks
from orchestrator.workflows.blocks import Found, Incoming, Letter
from orchestrator.workflows.refund_request.matter import Matter, Outcome
from orchestrator.workflows.refund_request.reply import write
from orchestrator.workflows.refund_request.rules import Asked, Facts, Verdict, case_for, judge, told_colleagues
from orchestrator.workflows.refund_request.task import refund_task


@workflow("refund_request", version=1, acts={"refund": "approve", "reply": "draft"})
async def refund_request(work: Work, given: Incoming) -> Outcome:
    """Extract, identify, look up, judge, then go the way that the rules say."""
    await work.grant(refund_task(given))
    letter = await blocks.read(work, given)
    asked = await extract(work, letter)
    facts = await find_out(work, letter, asked)
    verdict = await blocks.decided(work, "judge", lambda: judge(asked, facts), Verdict)
    matter = Matter(work, given, letter, asked, facts, verdict)
    ways = {"refund": lambda: refund(matter), "refuse": lambda: refuse(matter)}
    return await route(verdict.way, ways, otherwise=lambda: escalate(matter, verdict))


async def extract(work: Work, letter: Letter) -> Asked:
    """What the letter asks for; nothing for sure if no model can tell."""
    from orchestrator.agent import Exhausted, think

    try:
        return await think(work, "extract", work.prompt("extract"), {"item": letter.shown}, Asked, route="extract")
    except Exhausted:
        return Asked()


async def find_out(work: Work, letter: Letter, asked: Asked) -> Facts:
    """All that the company knows about it, and what policy leaves to this run."""
    customer = await blocks.find_customer(work, letter.sender)
    account, order = Found(), Found()
    if account_id := customer.raw.get("account_id"):
        account = await blocks.look_up(work, "account", "crm_get_account", account_id=account_id)
    if number := asked.order_in(letter.text):
        order = (await blocks.look_up(work, "order", "crm_get_orders", number=number, limit=1)).first("orders")
    rules = await blocks.find_documents(work, "rules", "refund rules who gets a refund days of delivery")
    offered = (await work.tools(["crm_issue_refund"])).get("crm_issue_refund")
    return Facts(
        record=letter.record["id"],
        text=letter.text,
        wrote=letter.at,
        customer=customer.raw,
        account=account.raw,
        order=order.raw,
        rules=rules.raw,
        most=offered.schema["properties"]["amount"].get("maximum") if offered else Decimal(0),
        shown={"order": order.shown, "rules": rules.shown, "name": customer.shown.get("name", "")},
    )


async def refund(matter: Matter) -> Outcome:
    """Give the money back after a person's yes, and say so."""
    work, facts, verdict = matter.work, matter.facts, matter.verdict
    order = {"order_id": facts.order["id"], "currency": facts.order["currency"]}
    said = Said(work.prompt("extract").label, case=case_for(matter.asked, facts, verdict))
    arguments = {**order, "amount": float(verdict.amount), "reason": verdict.reason}
    done = await act(work, "refund", "crm_issue_refund", arguments, said=said)
    if not isinstance(done.outcome, Ok):
        stopped = done.outcome.status if done.outcome else done.choice or "nobody answered"
        return await escalate(matter, verdict.stopped(f"The refund was not made: {stopped}."))
    amount, currency = done.outcome.result["amount"], facts.order["currency"]
    await blocks.sort_ticket(work, matter.given, matter.letter, ["refund", "refunded"])
    reply = await write(matter, f"{amount} {currency} were refunded for order {facts.number}.", str(amount))
    return Outcome(way="refund", why=verdict.why, order=facts.number, refunded=f"{amount} {currency}", replied=reply)


async def refuse(matter: Matter) -> Outcome:
    """Say no, and what the rules say, in a draft that a person looks at."""
    await blocks.sort_ticket(matter.work, matter.given, matter.letter, ["refund", "needs-person"])
    reply = await write(matter, f"Nothing was refunded. {' '.join(matter.verdict.why)}", "")
    return Outcome(way="refuse", why=matter.verdict.why, order=matter.facts.number, replied=reply)


async def escalate(matter: Matter, verdict: Verdict) -> Outcome:
    """Leave it to a person, with all that was found."""
    tags = ["refund", "needs-person", *(["suspicious"] if verdict.risk == "high" else [])]
    await blocks.sort_ticket(matter.work, matter.given, matter.letter, tags)
    brief = told_colleagues(matter.facts, verdict)
    await blocks.hand_to_person(matter.work, matter.given, brief, "decide on a refund request yourself")
    return Outcome(way=verdict.way, why=verdict.why, order=matter.facts.number, escalated=True)
