"""A call that a limit leaves no room for: an ordinary denial with the limit's id and when to come back."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from pydantic import SecretStr

from connectors.contract import CallContext, Tool
from connectors.embedded.tenancy import EVERY_TENANT
from connectors.errors import Conflict, InDoubt, Unavailable
from gateway.answer import Answer, ErrorKind
from gateway.answers import failed
from gateway.approvals import State
from gateway.doubts import Doubts
from gateway.journal import Entry, Kind, read_journal
from gateway.policy.load import load_policy
from gateway.principal import Principal
from gateway.recovery import Recovery
from gateway.settings import Settings
from tests.limits.conftest import (
    ANA,
    BEN,
    NOW,
    TRIAGE_FOR_ANA,
    ZOE,
    Clock,
    Till,
    gateways,
    look_up,
    refund,
    write_policy,
)

MONEY = 'limit, M1, role:everyone, crm_issue_refund, args.amount, 100, 1h, person, "little"'
CALLS = 'limit, C1, role:everyone, crm_*, calls, 3, 1m, person, ""'


def entries(folder: Path, database_url: str) -> list[Entry]:
    with Settings(home=folder / "home", database_url=SecretStr(database_url)).open_database() as database:
        return list(read_journal(database, EVERY_TENANT))


async def test_a_refusal_names_the_limit_and_when_to_come_back(tmp_path: Path, database_url: str) -> None:
    clock, till = Clock(), Till()
    async with gateways(tmp_path, database_url, MONEY, till=till, now=clock) as [gateway]:
        assert (await refund(gateway, 50)).status == "ok"
        clock.pass_(minutes=30)
        assert (await refund(gateway, 50)).status == "ok"
        clock.pass_(minutes=10)
        denied = await refund(gateway, 10)
        assert (denied.status, denied.rules, denied.error) == ("denied", ["M1"], None)
        assert denied.reason == (
            "limit M1 is reached: at most 100 in all of `amount` within 1 hour for each person: little"
        )
        assert denied.retry_at
        assert denied.retry_after == (denied.retry_at - clock.now).total_seconds()
        assert timedelta(minutes=20) <= denied.retry_at - clock.now < timedelta(minutes=21)
        assert f"come back in {denied.retry_after} s" in (denied.next or "")
        clock.pass_(seconds=denied.retry_after)
        assert (await refund(gateway, 10)).status == "ok"
    assert till.paid == [50, 50, 10]
    [refusal] = [entry for entry in entries(tmp_path, database_url) if entry.kind is Kind.DENIED]
    assert refusal.body["limits"] == refusal.body["rules"] == ["M1"]
    assert refusal.body["verdict"] == "deny"


async def test_what_is_too_much_for_ever_gives_no_time(tmp_path: Path) -> None:
    async with gateways(tmp_path, "", MONEY.replace("100", "40")) as [gateway]:
        denied = await refund(gateway, 50)
    assert (denied.status, denied.retry_after, denied.retry_at) == ("denied", None, None)
    assert "ask for less" in (denied.next or "")


async def test_amounts_are_counted_exactly(tmp_path: Path) -> None:
    async with gateways(tmp_path, "", MONEY.replace("100", "0.3")) as [gateway]:
        assert [(await refund(gateway, 0.1)).status for _ in range(4)] == ["ok", "ok", "ok", "denied"]


async def test_whom_a_limit_counts_apart_is_counted_apart(tmp_path: Path) -> None:
    line = MONEY.replace("person", "person and args.currency")
    async with gateways(tmp_path, "", line) as [gateway]:
        for who in (ANA, BEN, ZOE):
            assert [(await refund(gateway, 50, who)).status for _ in range(3)] == ["ok", "ok", "denied"]
        assert (await refund(gateway, 1, TRIAGE_FOR_ANA)).status == "denied", "a person's agent is that person"
        assert (await refund(gateway, 50, TRIAGE_FOR_ANA, currency="SEK")).status == "ok"


async def test_a_tenants_limit_is_the_tenants_own(tmp_path: Path) -> None:
    async with gateways(tmp_path, "", CALLS.replace("person", "tenant")) as [gateway]:
        assert [(await look_up(gateway, who)).status for who in (ANA, BEN, ANA)] == ["failed"] * 3
        assert (await look_up(gateway, BEN)).status == "denied"
        same_person = Principal("other", person=ANA.person)
        assert (await look_up(gateway, same_person)).rules is None


async def test_a_refusal_tells_nothing_of_what_others_used_up(tmp_path: Path) -> None:
    async with gateways(tmp_path, "", MONEY.replace("person", "tenant")) as [gateway]:
        await refund(gateway, 33, BEN)
        await refund(gateway, 44, BEN)
        denied = await refund(gateway, 50, ANA)
    told = denied.model_copy(update={"call_id": "", "retry_after": 0, "retry_at": None}).model_dump_json()
    assert "M1" in told
    assert not any(secret in told for secret in ("33", "44", "77", "23", "ben"))


@pytest.mark.parametrize("error", [Conflict("the order is cancelled"), Unavailable("not now")])
async def test_what_was_surely_not_done_is_given_back(tmp_path: Path, database_url: str, error: Exception) -> None:
    till = Till()

    async def refuse() -> None:
        raise error

    async with gateways(tmp_path, database_url, MONEY, till=till) as [gateway]:
        till.before = refuse
        for _ in range(3):
            assert (await refund(gateway, 50)).status == "failed"
        till.before = anyio.lowlevel.checkpoint
        assert [(await refund(gateway, 50)).status for _ in range(3)] == ["ok", "ok", "denied"]


async def test_a_read_that_found_nothing_counts_so_that_nobody_tries_ids_out(tmp_path: Path) -> None:
    async with gateways(tmp_path, "", CALLS) as [gateway]:
        assert [(await look_up(gateway)).status for _ in range(4)] == ["failed"] * 3 + ["denied"]


async def test_what_is_in_doubt_counts_until_a_person_says_that_it_did_not_happen(
    tmp_path: Path, database_url: str
) -> None:
    till = Till()

    async def nobody_knows() -> None:
        raise InDoubt("no answer")

    async with gateways(tmp_path, database_url, MONEY, till=till) as [gateway]:
        till.after = nobody_knows
        doubts = [await refund(gateway, 50, key=key) for key in ("one", "two")]
        till.after = anyio.lowlevel.checkpoint
        assert (await refund(gateway, 50)).status == "denied"
        book = Doubts(gateway.journal, gateway.recorded)
        for doubt, happened in zip(doubts, (True, False), strict=True):
            await book.settle(doubt.call_id, BEN, gateway.policy.current, happened, "looked", NOW)
        assert [(await refund(gateway, 50)).status for _ in range(2)] == ["ok", "denied"]


class TillThatRemembers(Till):
    """And that says of what broke off that it did not happen."""

    async def find_effect(self, _call: CallContext, _tool: Tool) -> None:
        return None


async def test_what_broke_off_and_did_not_happen_is_given_back(tmp_path: Path, database_url: str) -> None:
    till = TillThatRemembers()

    async def break_off() -> None:
        raise RuntimeError("a bug")

    async with gateways(tmp_path, database_url, MONEY, till=till) as [gateway]:
        till.before = break_off
        assert {(await refund(gateway, 50)).status for _ in range(2)} == {"failed"}
        till.before = anyio.lowlevel.checkpoint
        assert [(await refund(gateway, 50)).status for _ in range(3)] == ["ok", "ok", "denied"]


async def test_what_a_process_left_open_counts_until_another_finds_out(tmp_path: Path, database_url: str) -> None:
    till, clock = TillThatRemembers(), Clock()
    day = MONEY.replace("1h", "1d")
    async with gateways(tmp_path, database_url, day, count=2, till=till, now=clock) as [gone, other]:

        async def nothing_more(*_args: object, **_named: object) -> Answer[Any]:
            return failed("", ErrorKind.INTERNAL, "as if the process ended: nothing is recorded after the intent")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gateway.carrying_out._do", nothing_more)
            await refund(gone, 50)
        assert [(await refund(other, 50)).status for _ in range(2)] == ["ok", "denied"]
        clock.pass_(hours=1)
        await Recovery(other).run()
        assert (await refund(other, 50)).status == "ok"


async def test_a_repetition_is_the_same_call_and_counts_once(tmp_path: Path, database_url: str) -> None:
    till = Till()
    async with gateways(tmp_path, database_url, MONEY, till=till) as [gateway]:
        assert {(await refund(gateway, 50, key="k")).status for _ in range(4)} == {"ok"}
        assert (await refund(gateway, 50)).status == "ok"
        assert (await refund(gateway, 50)).status == "denied"
        assert (await refund(gateway, 50, key="k")).status == "ok", "its answer is known"
    assert till.paid == [50, 50]


async def test_a_key_that_was_denied_is_not_used_up(tmp_path: Path) -> None:
    clock = Clock()
    async with gateways(tmp_path, "", MONEY.replace("100", "50"), now=clock) as [gateway]:
        assert (await refund(gateway, 50)).status == "ok"
        assert (await refund(gateway, 20, key="k")).status == "denied"
        clock.pass_(hours=2)
        assert (await refund(gateway, 20, key="k")).status == "ok"


async def test_nobody_is_asked_about_what_a_limit_refuses_and_a_yes_does_not_get_past_it(tmp_path: Path) -> None:
    clock, till = Clock(), Till()
    async with gateways(tmp_path, "", MONEY, till=till, now=clock) as [gateway]:
        waiting = await refund(gateway, 60)
        assert (await refund(gateway, 50)).status == "ok"
        assert (await refund(gateway, 70)).rules == ["M1"]
        [asked] = await gateway.approvals.open(clock(), BEN.tenant)
        assert waiting.approval
        assert asked.question.id == waiting.approval.id
        policy = gateway.policy.current
        await gateway.approvals.answer(waiting.approval.id, BEN, policy, True, "as agreed", clock())
        assert (await refund(gateway, 60)).rules == ["M1"]
        found = await gateway.approvals.find(BEN.tenant, waiting.approval.id)
        assert found
        assert found.state(clock()) is State.APPROVED, "it may be repeated later"
        clock.pass_(hours=2)
        assert (await refund(gateway, 60)).status == "ok"
        assert (await refund(gateway, 60)).status == "ok", "its answer is given again, whatever is left"
    assert till.paid == [50, 60]


async def test_a_changed_limit_counts_what_was_used_up_before(tmp_path: Path) -> None:
    async with gateways(tmp_path, "", MONEY) as [gateway]:
        assert (await refund(gateway, 50)).status == "ok"
        write_policy(tmp_path / "policies", MONEY.replace("100", "60").replace("1h", "30m"))
        gateway.policy.current = load_policy(tmp_path / "policies", list(gateway.catalog.tools.values()))
        assert (await refund(gateway, 20)).status == "denied"
        assert (await refund(gateway, 10)).status == "ok"


async def test_without_a_count_nothing_runs(tmp_path: Path) -> None:
    till = Till()
    async with gateways(tmp_path, "", MONEY, till=till) as [gateway]:
        with (
            Settings(home=tmp_path / "home").open_database() as database,
            database.changing(EVERY_TENANT) as connection,
        ):
            connection.exec_driver_sql("DROP TABLE limit_uses")
        answer = await refund(gateway, 1)
    assert answer.error
    assert answer.error.kind is ErrorKind.JOURNAL_UNAVAILABLE
    assert till.paid == []


async def test_what_counts_no_more_is_forgotten(tmp_path: Path, database_url: str) -> None:
    clock = Clock()
    async with gateways(tmp_path, database_url, MONEY, now=clock) as [gateway]:
        await refund(gateway, 50)
        assert await anyio.to_thread.run_sync(gateway.uses.forget, clock()) == 0
        clock.pass_(hours=1)
        assert await anyio.to_thread.run_sync(gateway.uses.forget, clock()) == 0, "clocks may be set back"
        clock.pass_(hours=2)
        assert await anyio.to_thread.run_sync(gateway.uses.forget, clock()) == 1
