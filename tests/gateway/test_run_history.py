"""Rules that look back: what the run was allowed before counts, and two calls at once take turns."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from connectors.contract import CallContext
from connectors.crm.tools import IssueRefund, Refund
from connectors.errors import Conflict
from gateway.answer import Answer
from gateway.call import call_tool
from gateway.database import Database
from gateway.gateway import Gateway, ToolCall
from gateway.policy.load import load_policy
from gateway.principal import Principal
from tests.gateway.conftest import OpenGateway

ANA = Principal("larkspur", person="ana@larkspur.example")
RULES = """\
p, A1, role:agent, crm_*, , allow, support works in the CRM
p, A2, role:agent, crm_issue_refund, "total('crm_issue_refund', 'amount') + args.amount > 100", deny, 100 in a run
p, B1, role:auditor, crm_get_*, , allow, auditors read
p, C1, role:triage, crm_issue_refund, , allow, triage refunds
"""


class Till:
    """A back end that pays out whatever it is asked, slowly, and can be made to refuse."""

    def __init__(self) -> None:
        self.paid: list[float] = []
        self.refuses = False

    async def crm_issue_refund(self, call: CallContext, args: IssueRefund) -> Refund:
        await anyio.lowlevel.checkpoint()
        if self.refuses:
            raise Conflict("the order is cancelled")
        self.paid.append(float(args.amount))
        return Refund(
            id="ref_paid",
            order_id=args.order_id,
            amount=args.amount,
            currency=args.currency,
            reason=args.reason,
            issued_by=call.actor,
            issued_at=call.now,
        )


@pytest.fixture
def policies(policies: Path) -> Path:
    (policies / "rules.csv").write_text(RULES)
    return policies


@pytest.fixture
def till() -> Any:
    return Till()


def paying(gateway: Gateway, till: Any) -> Gateway:
    return replace(gateway, back_ends=replace(gateway.back_ends, crm=till))


async def refund(gateway: Gateway, amount: float, who: Principal = ANA) -> Answer[Any]:
    order = {"order_id": "ord_abcd2345", "currency": "EUR", "reason": "late"}
    return await call_tool(gateway, ToolCall(who, "crm_issue_refund", {**order, "amount": amount}))


async def test_a_sum_over_the_run_stops_what_would_pass_it(opened: OpenGateway, till: Any) -> None:
    async with opened() as gateway:
        statuses = [(await refund(paying(gateway, till), amount)).status for amount in (60, 60, 40, 0.01)]
    assert statuses == ["ok", "denied", "ok", "denied"]
    assert till.paid == [60, 40]


async def test_the_sum_outlives_the_process(opened: OpenGateway, till: Any) -> None:
    async with opened() as gateway:
        await refund(paying(gateway, till), 60)
    async with opened() as gateway:
        assert (await refund(paying(gateway, till), 60)).status == "denied"


async def test_calls_at_once_take_turns_so_that_they_cannot_pass_the_sum_together(
    opened: OpenGateway, till: Any
) -> None:
    async with opened() as gateway, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(refund, paying(gateway, till), 30)
    assert till.paid == [30, 30, 30]


async def test_what_the_back_end_refused_does_not_count(opened: OpenGateway, till: Any) -> None:
    async with opened() as gateway:
        till.refuses = True
        assert (await refund(paying(gateway, till), 90)).status == "failed"
        till.refuses = False
        assert (await refund(paying(gateway, till), 90)).status == "ok"


async def test_each_principal_has_a_run_of_its_own(opened: OpenGateway, till: Any) -> None:
    async with opened() as gateway:
        assert (await refund(paying(gateway, till), 90)).status == "ok"
        triage = Principal("larkspur", agent="triage")
        assert (await refund(paying(gateway, till), 90, triage)).status == "ok"


async def test_what_is_older_than_the_window_does_not_count(opened: OpenGateway, till: Any) -> None:
    async with opened() as gateway:
        assert (await refund(paying(gateway, till), 90)).status == "ok"
        tomorrow = replace(paying(gateway, till), now=lambda: gateway.now() + timedelta(days=1, seconds=1))
        assert (await refund(tomorrow, 90)).status == "ok"


async def test_a_history_that_cannot_be_read_denies(opened: OpenGateway, till: Any, tmp_path: Path) -> None:
    async with opened() as gateway:
        gateway.history._database = Database.in_file(tmp_path / "gone.db")
        answer = await refund(paying(gateway, till), 1)
    assert answer.status == "denied"
    assert "could not be evaluated" in (answer.reason or "")
    assert till.paid == []


async def test_a_call_that_waited_for_its_turn_is_decided_by_the_policy_that_is_in_force_then(
    opened: OpenGateway, till: Any, policies: Path
) -> None:
    async with opened() as plain:
        gateway, answers = paying(plain, till), []

        async def call() -> None:
            answers.append(await refund(gateway, 10))

        looked_back_at = frozenset({"crm_issue_refund"})
        async with anyio.create_task_group() as tasks, gateway.history.turn(ANA, looked_back_at, gateway.now()):
            tasks.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            (policies / "rules.csv").write_text(
                RULES + "p, Z1, role:agent, crm_issue_refund, args.amount > 5, deny, stop\n"
            )
            plain.policy.current = load_policy(policies, list(plain.catalog.tools.values()))
    [answer] = answers
    assert (answer.status, answer.rules, till.paid) == ("denied", ["Z1"], [])
