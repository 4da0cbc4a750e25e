"""An effect happens once, and what is recorded of it is what happened, whoever repeats, settles or changes policy."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from connectors.errors import InDoubt
from gateway.answer import ErrorKind
from gateway.doubts import Doubts
from gateway.journal import Entry, JournalUnavailable, Kind
from gateway.journal.calls import RecordedCalls
from tests.attacks.test_approval_attacks import call, under
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_approvals import MAYA, REFUND, Till, later, paying, refund, reply
from tests.gateway.test_approvals_together import name


async def test_what_an_approver_changed_is_not_done_once_more_as_it_was_asked_when_policy_comes_to_allow_that(
    opened: OpenGateway, policies: Path, till: Till
) -> None:
    def doubt() -> None:
        raise InDoubt("no answer")

    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await call(gateway, "crm_issue_refund", REFUND, key="k")
        changed = {**REFUND, "amount": 40}
        await gateway.approvals.edit(name(asked), MAYA, gateway.policy.current, changed, "", gateway.now())
        till.fail = doubt
        await call(gateway, "crm_issue_refund", REFUND, key="k")
        till.fail = lambda: None
        under(gateway, policies, rules="p, A1, role:agent, crm_issue_refund, , allow, money is free\n")
        again = await call(later(gateway, hours=1), "crm_issue_refund", REFUND, key="k")
    assert till.paid == {}, "whether 40 were paid nobody knows; 80 must not be"
    assert again.error is not None
    assert again.error.kind is ErrorKind.IN_DOUBT


async def test_an_effect_that_a_person_said_did_not_happen_while_it_did_is_told_as_done(
    opened: OpenGateway, policies: Path, till: Till, database: Any, entries: Callable[[], list[Entry]]
) -> None:
    def doubt() -> None:
        raise InDoubt("no answer")

    rules = "p, A1, role:agent, crm_issue_refund, , allow, money is free\n"
    (policies / "rules.csv").write_text(rules)
    settled = anyio.Event()
    async with opened() as plain, anyio.create_task_group() as tasks:
        gateway = paying(plain, till)
        till.fail = doubt
        first = await call(gateway, "crm_issue_refund", REFUND, key="k")
        till.fail = lambda: None
        pay = till.crm_issue_refund
        started = anyio.Event()

        async def slowly(context: Any, args: Any) -> Any:
            started.set()
            await settled.wait()
            return await pay(context, args)

        till.crm_issue_refund = slowly  # type: ignore[assignment,method-assign]
        tasks.start_soon(lambda: call(later(gateway, hours=1), "crm_issue_refund", REFUND, key="k"))
        await started.wait()
        doubts = Doubts(gateway.journal, RecordedCalls(database))
        policy = gateway.policy.current
        await doubts.settle(first.call_id, MAYA, policy, happened=False, note="the bank says no", now=gateway.now())
        settled.set()
        while not any(entry.body.get("late") for entry in entries()):  # noqa: ASYNC110 - it is looked at from outside
            await anyio.sleep(0.01)
        again = await call(later(gateway, hours=2), "crm_issue_refund", REFUND, key="k")
    assert len(till.paid) == 1
    assert again.status == "ok"
    ends = [entry.body["status"] for entry in entries() if entry.kind in {Kind.OUTCOME, Kind.SETTLED}]
    assert ends == ["in_doubt", "failed", "ok"], "the record must not end with that nothing was done"


@pytest.mark.parametrize("written", [True, False], ids=["after it was written", "before it was written"])
@pytest.mark.parametrize("place", range(5))
async def test_wherever_the_journal_fails_an_approved_call_is_paid_once_and_told_as_done(
    opened: OpenGateway, till: Till, monkeypatch: pytest.MonkeyPatch, place: int, *, written: bool
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        append, count = gateway.journal.append, 0

        async def fail_once(entry: Entry) -> None:
            nonlocal count
            count += 1
            if count - 1 != place:
                return await append(entry)
            if written:
                await append(entry)
            raise JournalUnavailable("the disk is gone")

        monkeypatch.setattr(gateway.journal, "append", fail_once)
        for _ in range(2):
            await call(gateway, "crm_issue_refund", REFUND, key="k")
        for _ in range(2):
            with suppress(JournalUnavailable):
                for approval in await gateway.approvals.open(gateway.now(), "larkspur"):
                    asked, policy = approval.question.id, gateway.policy.current
                    await gateway.approvals.answer(asked, MAYA, policy, approve=True, note="", now=gateway.now())
        assert till.paid == {}
        for hours in (0, 0.5, 1):
            last = await call(later(gateway, hours=hours), "crm_issue_refund", REFUND, key="k")
    assert len(till.paid) == 1
    assert last.status == "ok"


@pytest.mark.parametrize("steps", range(0, 60, 4))
async def test_wherever_a_caller_goes_away_an_approved_call_is_paid_once_and_told_as_done(
    opened: OpenGateway, till: Till, entries: Callable[[], list[Entry]], steps: int
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        await reply(gateway, await refund(gateway))
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(refund, gateway)
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                scope.cancel()
        last = await refund(later(gateway, hours=0.5))
    assert last.status == "ok"
    assert len(till.paid) == 1
    kinds = [entry.kind for entry in entries()]
    assert (kinds.count(Kind.INTENT), kinds.count(Kind.OUTCOME)) == (1, 1)
