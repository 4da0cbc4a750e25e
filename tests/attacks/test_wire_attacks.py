"""What a client brings back or repeats runs nothing that was not approved, and runs nothing twice."""

import contextlib
from pathlib import Path
from typing import Any

import anyio

from gateway.approvals import NotAnswerable
from gateway.call import call_tool
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from tests.attacks.test_approval_attacks import call, under
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_approvals import ANA, MAYA, NADIA, REFUND, RULES, later, paying, refund, reply
from tests.gateway.test_approvals_together import name, say


async def test_an_approval_that_was_used_lets_nothing_through_however_the_call_is_dressed_up(
    opened: OpenGateway, till: Any
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        await reply(gateway, await refund(gateway))
        first = await refund(gateway)
        for declared in ({"remit/run": "other"}, {"remit/model": "other"}, {"remit/reply": "yes"}):
            again = ToolCall(ANA, "crm_issue_refund", REFUND, Declared.model_validate(declared), client="other 1.0")
            assert (await call_tool(gateway, again)).to_wire() == first.to_wire()
        keyed = await call(gateway, "crm_issue_refund", REFUND, key="new")
        assert keyed.status == "pending_approval", "a key makes it another call, which nobody approved"
        for spelling in (80, "80", "80.0", 80.00, "8E1"):
            assert (await refund(gateway, amount=spelling)).to_wire() == first.to_wire(), spelling
    assert len(till.paid) == 1


async def test_an_approval_races_its_own_withdrawal_and_nothing_runs_that_policy_denies(
    opened: OpenGateway, till: Any, policies: Path
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        old = gateway.policy.current
        under(gateway, policies, rules=RULES + "p, A9, role:agent, crm_issue_refund, args.amount > 50, deny, no more\n")

        async def approve(policy: Any) -> None:
            with contextlib.suppress(NotAnswerable):
                await gateway.approvals.answer(name(asked), MAYA, policy, approve=True, note="", now=gateway.now())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gateway.approvals.decide_again, gateway.policy.current, gateway.now())
            tasks.start_soon(approve, old)
            tasks.start_soon(approve, gateway.policy.current)
            for _ in range(3):
                tasks.start_soon(refund, gateway)
        assert (await refund(gateway)).status == "denied"
        assert (await refund(later(gateway, hours=1))).status == "denied"
    assert till.paid == {}


async def test_two_approvers_at_the_same_moment_and_many_repetitions_pay_once(opened: OpenGateway, till: Any) -> None:
    async def answer(gateway: Gateway, asked: Any, who: Any) -> None:
        with contextlib.suppress(NotAnswerable):
            await say(gateway, asked, who)

    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        async with anyio.create_task_group() as tasks:
            for who in (MAYA, NADIA, MAYA):
                tasks.start_soon(answer, gateway, asked, who)
                tasks.start_soon(refund, gateway)
        [approval] = [await gateway.approvals.find("larkspur", name(asked))]
        assert approval is not None
        assert len(approval.votes) == 1
        assert (await refund(later(gateway, seconds=1))).status == "ok"
    assert len(till.paid) == 1
