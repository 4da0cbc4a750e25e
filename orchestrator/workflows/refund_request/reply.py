"""The answer to a refund request: written by a model, passed by rules, handed over as the step's stage says."""

from decimal import Decimal

from orchestrator.evidence import unsupported
from orchestrator.patterns import review
from orchestrator.work import Said
from orchestrator.workflows import blocks
from orchestrator.workflows.blocks import Reply
from orchestrator.workflows.refund_request.matter import Matter
from orchestrator.workflows.refund_request.rules import case_for


async def write(matter: Matter, happened: str, paid: str) -> str:
    """Have a reply written until nothing in it goes beyond what happened; returns what became of it."""
    from orchestrator.agent import Exhausted, think

    work, facts, prompt = matter.work, matter.facts, matter.work.prompt("reply")
    data = {"item": matter.letter.shown, "happened": happened, **facts.shown}
    true, amounts = (
        {"refund"} if paid or Decimal(facts.order["refunded"]) else set[str](),
        {paid, str(facts.order["total"])},
    )

    async def draft(number: int, wrong: list[str]) -> Reply:
        return await think(work, f"reply{number}", prompt, {**data, "wrong": wrong}, Reply, route="write")

    async def evaluate(_number: int, reply: Reply) -> list[str]:
        grounds = [facts.model_dump(mode="json"), matter.letter.record]
        return blocks.overpromised(reply.body, true, amounts) + unsupported(reply.evidence, grounds)

    try:
        written = await review(draft, evaluate)
    except Exhausted:
        written = None
    if written is None or not written.passed:
        brief = f"{happened} No reply could be written that says this and no more: write it yourself."
        await blocks.hand_to_person(work, matter.given, brief, "answer a refund request yourself")
        return "none"
    said = Said(prompt.label, case=case_for(None, facts, matter.verdict))
    done = await blocks.answer(work, "reply", matter.given, matter.letter, written.draft.body, said)
    return blocks.came_of(done)
