"""Calls that were begun and have no outcome are found, looked into, and settled once; what nobody knows is listed."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from sqlalchemy import text
from sqlalchemy.dialects import sqlite

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.answer import ErrorKind
from gateway.canonical import keyed_name
from gateway.database import Database
from gateway.doubts import Doubts, NotSettled
from gateway.gateway import Gateway
from gateway.home import utc_now
from gateway.journal import Entry, Kind
from gateway.journal.calls import doubts_in, open_between
from gateway.journal.telling import why
from gateway.principal import Principal
from gateway.recovery import Recovery
from tests.gateway.conftest import ROLES, SECRET, OpenGateway
from tests.gateway.test_call import ANA, KIM, Entries, JournalThatFailsFrom, kinds, with_crm
from tests.gateway.test_keys import Register, RegisterThatRemembers, add, died, kind_of, later
from tests.processes import remit

MAYA = Principal("larkspur", person="maya@larkspur.example")
NAME = keyed_name(ANA, "run-1/2", SECRET)


@pytest.fixture
def policies(policies: Path) -> Path:
    (policies / "roles.csv").write_text(ROLES + "g, person:maya@larkspur.example, role:lead, larkspur\n")
    (policies / "rules.csv").write_text((policies / "rules.csv").read_text() + "p, L1, role:lead, crm_*, , allow, x\n")
    (policies / "approvers.csv").write_text("approver, role:lead, crm_*, *\n")
    return policies


def doubts_of(gateway: Gateway) -> Doubts:
    return Doubts(gateway.journal, gateway.recorded)


async def in_doubt(gateway: Gateway, *, after: bool = True) -> Gateway:
    """A gateway with one call in doubt: its back end knows nothing of keys afterwards."""
    crm = Register()
    broken = with_crm(gateway, crm)
    await died(broken, crm, after=after)
    await Recovery(later(broken)).run()
    return broken


def outcomes(entries: list[Entry]) -> list[dict[str, Any]]:
    return [entry.body for entry in entries if entry.kind is Kind.OUTCOME]


@pytest.mark.parametrize(("after", "status"), [(True, "ok"), (False, "failed")])
async def test_what_a_dead_process_left_open_is_settled_by_what_the_back_end_says(
    opened: OpenGateway, entries: Entries, after: bool, status: str
) -> None:
    crm = RegisterThatRemembers()
    async with opened() as plain:
        gateway = with_crm(plain, crm)
        await died(gateway, crm, after=after)
        for _ in range(2):
            await Recovery(later(gateway)).run()
        answer = await add(later(gateway))
    [outcome] = outcomes(entries())
    assert (outcome["status"], outcome["recovered"]) == (status, True)
    assert answer.status == status
    assert crm.asked == 1


async def test_what_may_still_be_carried_out_elsewhere_is_left_alone(opened: OpenGateway, entries: Entries) -> None:
    crm = RegisterThatRemembers()
    async with opened() as plain:
        gateway = with_crm(plain, crm)
        await died(gateway, crm, after=False)
        await Recovery(gateway).run()
    assert outcomes(entries()) == []
    assert crm.fenced == set()


async def test_what_is_carried_out_here_is_left_alone_however_long_it_takes(
    opened: OpenGateway, entries: Entries
) -> None:
    crm, started, go_on = RegisterThatRemembers(), anyio.Event(), anyio.Event()

    async def wait() -> None:
        started.set()
        await go_on.wait()

    crm.before = wait
    async with opened() as plain, anyio.create_task_group() as tasks:
        gateway = with_crm(plain, crm)
        tasks.start_soon(add, gateway)
        await started.wait()
        await Recovery(later(gateway, minutes=60)).run()
        assert outcomes(entries()) == []
        go_on.set()
    assert [outcome["status"] for outcome in outcomes(entries())] == ["ok"]


async def test_an_interrupted_read_is_said_to_be_one(opened: OpenGateway, entries: Entries) -> None:
    async with opened() as gateway:
        body: dict[str, Any] = {"tool": "crm_get_contact", "arguments": {}, "person": ANA.person, "agent": None}
        await gateway.journal.append(Entry("call_1", "larkspur", ANA.name, gateway.now(), Kind.INTENT, body))
        await Recovery(later(gateway)).run()
    assert [outcome["status"] for outcome in outcomes(entries())] == ["interrupted"]


async def test_a_late_outcome_and_recovery_never_both_count(opened: OpenGateway, entries: Entries) -> None:
    crm, started, go_on = RegisterThatRemembers(), anyio.Event(), anyio.Event()
    answers = []

    async def wait() -> None:
        started.set()
        await go_on.wait()

    async def call(gateway: Gateway) -> None:
        answers.append(await add(gateway))

    crm.after = wait
    async with opened() as plain, anyio.create_task_group() as tasks:
        gateway = with_crm(plain, crm)
        tasks.start_soon(call, gateway)
        await started.wait()
        # As another process would see it, long after.
        await Recovery(later(replace(gateway, running=type(gateway.running)()), minutes=60)).run()
        go_on.set()
    [outcome] = outcomes(entries())
    assert (outcome["status"], outcome["recovered"]) == ("ok", True)
    assert [answer.status for answer in answers] == ["ok"]


async def test_an_outcome_that_could_not_be_recorded_here_is_made_up_for_at_once(
    opened: OpenGateway, entries: Entries
) -> None:
    async with opened() as plain:
        gateway = with_crm(plain, RegisterThatRemembers())
        failing: Any = JournalThatFailsFrom(gateway, 1)
        assert kind_of(await add(replace(gateway, journal=failing))) is ErrorKind.IN_DOUBT
        await Recovery(gateway).run()
        assert gateway.running.lost == ()
    assert [outcome["status"] for outcome in outcomes(entries())] == ["ok"]


async def test_while_the_back_end_is_silent_it_is_asked_again_and_after_an_hour_a_person_is(
    opened: OpenGateway, entries: Entries
) -> None:
    crm = RegisterThatRemembers()
    async with opened() as plain:
        gateway = with_crm(plain, crm)
        await died(gateway, crm, after=True)
        crm.silent = True
        recovery = Recovery(later(gateway))
        await recovery.run()
        assert outcomes(entries()) == []
        assert await doubts_of(gateway).open("larkspur") == []
        await Recovery(later(gateway, minutes=61)).run()
        assert [earlier.name for earlier in await doubts_of(gateway).open("larkspur")] == [NAME]
    assert [outcome["status"] for outcome in outcomes(entries())] == ["in_doubt"]


async def test_where_the_back_end_cannot_say_the_doubt_is_recorded_once(opened: OpenGateway, entries: Entries) -> None:
    async with opened() as plain:
        gateway = await in_doubt(plain)
        for _ in range(3):
            await Recovery(later(gateway)).run()
        [earlier] = await doubts_of(gateway).open("larkspur")
        assert await doubts_of(gateway).open("other") == []
    assert earlier.name == NAME
    assert kinds(entries()) == [Kind.INTENT, Kind.OUTCOME]


@pytest.mark.parametrize(("happened", "status"), [(True, "ok"), (False, "failed")])
async def test_what_a_person_says_is_what_whoever_repeats_it_hears(
    opened: OpenGateway, entries: Entries, happened: bool, status: str
) -> None:
    async with opened() as plain:
        gateway = await in_doubt(plain)
        policy = gateway.policy.current
        await doubts_of(gateway).settle(NAME, MAYA, policy, happened, "looked into the CRM", gateway.now())
        answers = [await add(each) for each in (gateway, later(gateway, minutes=90))]
        assert await doubts_of(gateway).open("larkspur") == []
        await Recovery(later(gateway)).run()
    assert [answer.status for answer in answers] == [status, status]
    assert "looked into the CRM" in answers[0].model_dump_json()
    told = "\n".join(why([entry for entry in entries() if entry.call_id == NAME]))
    assert "in doubt: nobody knows whether it happened" in told
    assert f"it {'happened' if happened else 'did not happen'}, says maya@larkspur.example" in told
    assert kinds(entries()).count(Kind.SETTLED) == 1


@pytest.mark.parametrize(
    ("who", "note", "told"),
    [
        (ANA, "x", "nobody answers a question of their own"),
        (Principal("larkspur", agent="triage"), "x", "only a person"),
        (Principal("larkspur", person=MAYA.person, agent="triage"), "x", "only a person"),
        (Principal("larkspur", person="ines@larkspur.example"), "x", "may not answer for `crm_create_contact`"),
        (Principal("other", person="zoe@other.example"), "x", "no such call in doubt"),
        (MAYA, " ", "a note has to say"),
    ],
)
async def test_only_another_person_whom_policy_names_settles_a_doubt_and_says_how(
    opened: OpenGateway, entries: Entries, who: Principal, note: str, told: str
) -> None:
    async with opened() as plain:
        gateway = await in_doubt(plain)
        with pytest.raises(NotSettled, match=told):
            await doubts_of(gateway).settle(NAME, who, gateway.policy.current, True, note, gateway.now())
    assert Kind.SETTLED not in kinds(entries())


async def test_of_two_people_who_settle_it_at_the_same_moment_one_counts(opened: OpenGateway, entries: Entries) -> None:
    refused: list[NotSettled] = []

    async def say(gateway: Gateway, happened: bool) -> None:
        try:
            await doubts_of(gateway).settle(NAME, MAYA, gateway.policy.current, happened, "x", gateway.now())
        except NotSettled as error:
            refused.append(error)

    async with opened() as plain:
        gateway = await in_doubt(plain)
        async with anyio.create_task_group() as tasks:
            for happened in (True, False, True):
                tasks.start_soon(say, gateway, happened)
    assert len(refused) == 2
    assert kinds(entries()).count(Kind.SETTLED) == 1


async def test_a_call_without_doubt_cannot_be_settled(opened: OpenGateway) -> None:
    async with opened() as plain:
        gateway = with_crm(plain, Register())
        await add(gateway)
        for name in (NAME, "call_never"):
            with pytest.raises(NotSettled, match="no such call in doubt"):
                await doubts_of(gateway).settle(name, MAYA, gateway.policy.current, True, "x", gateway.now())


async def test_what_is_known_to_have_ended_is_not_read_again(opened: OpenGateway) -> None:
    body = {"tool": "crm_create_contact", "arguments": KIM, "person": ANA.person, "agent": None, "status": "ok"}
    at = utc_now() - timedelta(hours=2)
    kinds_ = (Kind.INTENT, Kind.OUTCOME)
    ended = [Entry(f"call_{n}", "larkspur", ANA.name, at, kind, body) for n in range(1_500) for kind in kinds_]
    async with opened() as gateway, anyio.create_task_group() as tasks:
        for entry in ended:
            tasks.start_soon(gateway.journal.append, entry)
    async with opened() as gateway:
        await Recovery(gateway).run()
        assert await gateway.recorded.reached() == 3_000


def test_open_calls_and_doubts_are_found_by_index(tmp_path: Path) -> None:
    with Database.in_file(tmp_path / "remit.db") as database:
        database.prepare()
        for query in (open_between(3_000, 4_000), doubts_in("larkspur")):
            compiled = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
            with database.looking(EVERY_TENANT) as connection:
                steps = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))]
            assert any("SEARCH journal USING" in step for step in steps)
            assert not any("SCAN" in step for step in steps), steps


@pytest.mark.process
async def test_doubts_are_listed_and_settled_on_the_command_line(
    opened: OpenGateway, home: Path, policies: Path, database_url: str
) -> None:
    at_home, as_maya = ("--home", str(home)), ("--as", "person:maya@larkspur.example", "--policies", str(policies))
    async with opened() as plain:
        await in_doubt(plain)
    if database_url:
        (home / "remit.toml").write_text(f'database_url = "{database_url}"\n')
    assert NAME in remit("doubts", "list", "--json", *at_home).stdout
    assert "crm_create_contact" in remit("doubts", "list", *at_home).stdout
    refused = remit(
        "doubts", "settle", NAME, "--happened", "maybe", "--note", "x", *as_maya, *at_home, check=False
    ).stderr
    assert "takes yes or no" in refused
    done = remit("doubts", "settle", NAME, "--happened", "no", "--note", "not in the CRM", *as_maya, *at_home).stdout
    assert f"{NAME}: it did not happen, says maya@larkspur.example" in done
    assert "no call is in doubt" in remit("doubts", "list", *at_home).stdout
    assert "who notes: not in the CRM" in remit("journal", "why", NAME, *at_home).stdout
