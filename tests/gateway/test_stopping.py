"""What is stopped never begins, in any process, until it is resumed; where nobody can know, nothing begins."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from connectors.contract import CallContext
from gateway.answer import Answer
from gateway.call import call_tool
from gateway.database import Database
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.journal import Entry, JournalUnavailable, Kind
from gateway.journal.telling import told_entry
from gateway.principal import Principal
from gateway.stopping.book import NotStopped
from gateway.stopping.in_force import StopsInForce, StopsUnread
from gateway.stopping.refusing import offered
from gateway.stopping.stop import BadStop, Stop, Target, What, lasting, named, reason
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_call import ANA, INES, KIM, TRIAGE, TRIAGE_FOR_INES, StandInCrm, at_once, kinds, with_crm

ZOE = Principal("other", person="zoe@other.example")
Entries = Callable[[], list[Entry]]


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """A file, unless a test says that it is about both databases."""
    on_server = getattr(request, "param", "sqlite") == "postgresql"
    return request.getfixturevalue("postgres_url") if on_server else ""


on_each = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)


async def call(
    gateway: Gateway, who: Principal, run: str | None = None, tool: str = "crm_create_contact", **arguments: Any
) -> Answer[Any]:
    declared = Declared.model_validate({"remit/run": run} if run else {})
    return await call_tool(gateway, ToolCall(who, tool, arguments or KIM, declared))


async def stop(gateway: Gateway, what: What, name: str = "", tenant: str = "larkspur", **until: Any) -> Stop:
    target = named(what, name, tenant)
    stopped = await gateway.stops.book.stop(
        target, "ines@larkspur.example", "it mails strangers", gateway.now(), **until
    )
    await gateway.stops.read()
    return stopped


async def resume(gateway: Gateway, stopped: Stop) -> None:
    await gateway.stops.book.resume(stopped.id, "*", "ines@larkspur.example", "looked into", gateway.now())
    await gateway.stops.read()


@pytest.mark.parametrize(
    ("what", "name", "stopped", "going_on"),
    [
        (What.AGENT, "triage", (TRIAGE, TRIAGE_FOR_INES), (ANA, ZOE)),
        (What.AGENT, "agent:TRIAGE", (TRIAGE, TRIAGE_FOR_INES), (ANA, ZOE)),
        (What.PERSON, "ines@larkspur.example", (INES, TRIAGE_FOR_INES), (ANA, TRIAGE, ZOE)),
        (What.TOOL, "crm_create_contact", (ANA, TRIAGE), (ZOE,)),
        (What.TOOL, "crm_*", (ANA, TRIAGE), (ZOE,)),
        (What.TENANT, "larkspur", (ANA, INES, TRIAGE), (ZOE,)),
        (What.EVERYTHING, "", (ANA, INES, TRIAGE, ZOE), ()),
    ],
)
def test_a_stop_covers_what_it_names_and_nothing_else(
    what: What, name: str, stopped: tuple[Principal, ...], going_on: tuple[Principal, ...]
) -> None:
    target = named(what, name, "larkspur")
    assert [target.covers(who, "crm_create_contact", ()) for who in stopped] == [True] * len(stopped)
    assert [target.covers(who, "crm_create_contact", ()) for who in going_on] == [False] * len(going_on)


async def test_a_stopped_call_is_denied_on_the_record_with_the_reason_and_whom_to_ask(
    opened: OpenGateway, entries: Entries
) -> None:
    async with opened() as gateway:
        stopped = await stop(gateway, What.AGENT, "triage")
        answer = await call(gateway, TRIAGE)
        other = await call(gateway, ANA)
        metrics = gateway.metrics.written().decode().splitlines()
    assert (answer.status, other.status) == ("denied", "ok")
    assert {"remit_stops 1.0", "remit_calls_stopped_total 1.0", "remit_stops_unread 0.0"} <= set(metrics)
    assert answer.rules == [f"stop:{stopped.id}"]
    assert answer.reason
    for told in ("agent triage", "it mails strangers", "ask ines@larkspur.example"):
        assert told in answer.reason
    said, denied, *_ = entries()
    assert (said.kind, denied.kind) == (Kind.STOPPED, Kind.DENIED)
    assert told_entry(said) == "agent triage is stopped by ines@larkspur.example, because: it mails strangers"
    assert denied.body["rules"] == answer.rules
    assert denied.body["arguments"]["email"] == KIM["email"]
    # The words of why stand with the stop alone, where they can be erased.
    assert "strangers" not in denied.body["reason"]


@on_each
async def test_resumed_it_works_again(opened: OpenGateway, entries: Entries) -> None:
    async with opened() as gateway:
        first, second = [await stop(gateway, What.AGENT, "triage") for _ in range(2)]
        await resume(gateway, first)
        assert (await call(gateway, TRIAGE)).rules == [f"stop:{second.id}"]
        await resume(gateway, second)
        assert (await call(gateway, TRIAGE)).status == "ok"
        with pytest.raises(NotStopped, match="remit stop list"):
            await resume(gateway, first)
    assert kinds(entries())[:3] == [Kind.STOPPED, Kind.STOPPED, Kind.RESUMED]


async def test_a_stopped_run_is_refused_and_another_one_goes_on(opened: OpenGateway) -> None:
    async with opened() as gateway:
        await stop(gateway, What.RUN, "run-7")
        assert (await call(gateway, TRIAGE, "run-7")).status == "denied"
        assert (await call(gateway, TRIAGE, "run-8")).status == "ok"


async def test_a_stop_with_a_time_ends_by_itself(opened: OpenGateway) -> None:
    async with opened() as gateway:
        until = gateway.now() + lasting("2h")
        await stop(gateway, What.AGENT, "triage", until=until)
        assert (await call(gateway, TRIAGE)).status == "denied"
        later = replace(gateway, now=lambda: until)
        assert (await call(later, TRIAGE)).status == "ok"


async def test_what_is_stopped_is_not_offered(opened: OpenGateway) -> None:
    async with opened() as gateway:
        names = ["crm_create_contact", "ticket_get_ticket"]
        assert await offered(gateway, TRIAGE, names) == set(names)
        await stop(gateway, What.TOOL, "crm_*")
        assert await offered(gateway, TRIAGE, names) == {"ticket_get_ticket"}
        await stop(gateway, What.AGENT, "triage")
        assert await offered(gateway, TRIAGE, names) == set()


async def test_a_stop_of_every_tenant_names_nobody_to_the_stopped(opened: OpenGateway) -> None:
    async with opened() as gateway:
        await stop(gateway, What.EVERYTHING)
        answer = await call(gateway, ZOE)
    assert answer.status == "denied"
    assert answer.reason
    assert "ines" not in answer.reason
    assert "ask whoever runs this gateway" in answer.reason


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Slow:
    """What a call waits for; tells when it waits."""

    def __init__(self) -> None:
        self.waits, self.go_on = anyio.Event(), anyio.Event()

    async def __call__(self) -> None:
        self.waits.set()
        await self.go_on.wait()


async def test_a_call_that_is_being_carried_out_is_not_torn(opened: OpenGateway, entries: Entries) -> None:
    slow = Slow()
    crm = StandInCrm(slow)
    async with opened() as gateway, anyio.create_task_group() as tasks:
        tasks.start_soon(call, with_crm(gateway, crm), TRIAGE)
        await slow.waits.wait()
        await stop(gateway, What.AGENT, "triage")
        slow.go_on.set()
    assert kinds(entries()) == [Kind.INTENT, Kind.STOPPED, Kind.OUTCOME]
    assert entries()[-1].body["status"] == "ok"


async def test_a_call_that_waits_in_the_queue_is_refused_when_it_would_begin(opened: OpenGateway) -> None:
    slow = Slow()
    crm = StandInCrm(slow)
    answers: list[Answer[Any]] = []
    async with opened(max_calls=1) as gateway, anyio.create_task_group() as tasks:
        held = with_crm(gateway, crm)

        async def second() -> None:
            answers.append(await call(held, TRIAGE))

        tasks.start_soon(call, held, ANA)
        await slow.waits.wait()
        tasks.start_soon(second)
        while not gateway.slots.waiting:
            await anyio.lowlevel.checkpoint()
        await stop(gateway, What.AGENT, "triage")
        slow.go_on.set()
    assert [answer.status for answer in answers] == ["denied"]
    assert crm.asked == 1


async def test_a_call_stopped_between_decision_and_intent_does_not_begin(opened: OpenGateway) -> None:
    async with opened() as gateway:
        crm = StandInCrm(at_once)
        find = gateway.recorded.of

        async def stop_meanwhile(*names: Any) -> list[Entry]:
            await stop(gateway, What.AGENT, "triage")
            return await find(*names)

        gateway.recorded.of = stop_meanwhile  # type: ignore[assignment,method-assign]
        keyed = ToolCall(TRIAGE, "crm_create_contact", KIM, Declared.model_validate({"remit/key": "k1"}))
        answer = await call_tool(with_crm(gateway, crm), keyed)
    assert (answer.status, crm.asked) == ("denied", 0)


async def test_an_approved_call_waits_behind_a_stop_and_runs_once_resumed(opened: OpenGateway, policies: Path) -> None:
    (policies / "approvers.csv").write_text("approver, role:auditor, crm_*, larkspur\n")
    refund: dict[str, Any] = {"order_id": "ord_abcd2345", "amount": 80, "currency": "EUR", "reason": "late"}
    async with opened() as gateway:
        asked = await call(gateway, ANA, tool="crm_issue_refund", **refund)
        assert asked.approval
        policy, now = gateway.policy.current, gateway.now()
        await gateway.approvals.answer(asked.approval.id, INES, policy, True, "", now)
        stopped = await stop(gateway, What.TOOL, "crm_issue_refund")
        assert (await call(gateway, ANA, tool="crm_issue_refund", **refund)).rules == [f"stop:{stopped.id}"]
        await resume(gateway, stopped)
        answer = await call(gateway, ANA, tool="crm_issue_refund", **refund)
    # There is no such order; it was the back end that said so.
    assert answer.error
    assert answer.error.kind == "not_found"


@on_each
async def test_another_process_learns_of_a_stop_from_the_database_alone(opened: OpenGateway) -> None:
    async with opened() as one, opened() as second:
        clock = Clock()
        other = replace(second, stops=StopsInForce(second.stops.book, every=0.4, longest=5, clock=clock))
        assert (await call(other, TRIAGE)).status == "ok"
        stopped = await stop(one, What.AGENT, "triage")
        clock.seconds += 0.81
        assert (await call(other, TRIAGE)).rules == [f"stop:{stopped.id}"]


async def test_what_cannot_be_read_for_too_long_counts_as_stopped(opened: OpenGateway, entries: Entries) -> None:
    async with opened() as gateway:
        clock, broken = Clock(), False
        read = gateway.stops.book.read

        def read_or_fail() -> tuple[Stop, ...]:
            if broken:
                raise OperationalError("SELECT", {}, Exception("gone"))
            return read()

        gateway.stops.book.read = read_or_fail  # type: ignore[method-assign]
        watched = replace(gateway, stops=StopsInForce(gateway.stops.book, every=0.4, longest=5, clock=clock))
        assert (await call(watched, TRIAGE)).status == "ok"
        broken = True
        clock.seconds += 4.9
        assert (await call(watched, TRIAGE, email="a@customer.example", name="A")).status == "ok"
        clock.seconds += 0.2
        refused = await call(watched, TRIAGE)
        assert await offered(watched, TRIAGE, ["crm_create_contact"]) == set()
        broken = False
        clock.seconds += 1
        assert (await call(watched, TRIAGE, email="b@customer.example", name="B")).status == "ok"
    assert (refused.status, refused.rules) == ("denied", ["stop:unread"])
    assert kinds(entries()).count(Kind.DENIED) == 1


async def test_a_call_waits_for_the_look_that_the_watcher_is_taking(opened: OpenGateway) -> None:
    looking, go_on = threading.Event(), threading.Event()
    async with opened() as gateway, anyio.create_task_group() as tasks:
        read = gateway.stops.book.read

        def read_slowly() -> tuple[Stop, ...]:
            looking.set()
            go_on.wait()
            return read()

        gateway.stops.book.read = read_slowly  # type: ignore[method-assign]
        tasks.start_soon(gateway.stops.watch)
        await anyio.to_thread.run_sync(looking.wait)
        async with anyio.create_task_group() as calling:
            calling.start_soon(_expect_ok, gateway)
            await anyio.wait_all_tasks_blocked()
            go_on.set()
        tasks.cancel_scope.cancel()


async def test_a_caller_who_goes_away_while_it_looks_leaves_no_stop_unseen_by_the_others(opened: OpenGateway) -> None:
    looking, go_on = threading.Event(), threading.Event()
    async with opened() as gateway:
        clock, read = Clock(), gateway.stops.book.read

        def read_slowly() -> tuple[Stop, ...]:
            looking.set()
            go_on.wait()
            return read()

        other = replace(gateway, stops=StopsInForce(gateway.stops.book, every=0.4, longest=5, clock=clock))
        assert (await call(other, TRIAGE)).status == "ok"
        stopped = await stop(gateway, What.AGENT, "triage")
        clock.seconds += 0.81
        gateway.stops.book.read = read_slowly  # type: ignore[method-assign]
        answers: list[Answer[Any]] = []

        async def stay() -> None:
            answers.append(await call(other, TRIAGE, email="a@customer.example", name="A"))

        async with anyio.create_task_group() as calling:
            gone = anyio.CancelScope()
            calling.start_soon(_call_within, gone, other)
            await anyio.to_thread.run_sync(looking.wait)
            calling.start_soon(stay)
            await anyio.wait_all_tasks_blocked()
            gone.cancel()
            await anyio.wait_all_tasks_blocked()
            go_on.set()
    assert [(each.status, each.rules) for each in answers] == [("denied", [f"stop:{stopped.id}"])]


async def _call_within(scope: anyio.CancelScope, gateway: Gateway) -> None:
    with scope:
        await call(gateway, TRIAGE)


async def _expect_ok(gateway: Gateway) -> None:
    assert (await call(gateway, TRIAGE)).status == "ok"


async def test_nothing_runs_before_the_stops_were_read_once(opened: OpenGateway) -> None:
    async with opened() as gateway:
        stops = StopsInForce(gateway.stops.book, every=0.4, longest=5)

        def fail() -> tuple[Stop, ...]:
            raise OperationalError("SELECT", {}, Exception("gone"))

        gateway.stops.book.read = fail  # type: ignore[method-assign]
        with pytest.raises(StopsUnread):
            await stops.current(gateway.now())


async def test_a_stop_that_cannot_be_recorded_is_in_force_and_a_resumption_is_not(opened: OpenGateway) -> None:
    async with opened() as gateway:
        stopped = await stop(gateway, What.TENANT, "other")

        async def unavailable(_entry: Entry) -> None:
            raise JournalUnavailable("the disk is full")

        append, gateway.journal.append = gateway.journal.append, unavailable  # type: ignore[assignment,method-assign]
        with pytest.raises(JournalUnavailable, match="is in force, but that could not be recorded"):
            await stop(gateway, What.AGENT, "triage")
        with pytest.raises(JournalUnavailable, match="stays in force"):
            await resume(gateway, stopped)
        gateway.journal.append = append  # type: ignore[method-assign]
        found = await gateway.stops.book.in_force("*", gateway.now())
    assert [each.target.label for each in found] == ["tenant other", "agent triage"]


async def test_stops_of_another_tenant_are_neither_seen_nor_ended(opened: OpenGateway) -> None:
    async with opened() as gateway:
        mine = await stop(gateway, What.AGENT, "triage")
        everything = await stop(gateway, What.EVERYTHING)
        book, now = gateway.stops.book, gateway.now()
        assert [each.id for each in await book.in_force("other", now)] == [everything.id]
        for one in (mine, everything):
            with pytest.raises(NotStopped):
                await book.resume(one.id, "other", "zoe@other.example", "me", now)
        assert len(await book.in_force("*", now)) == 2


@on_each
async def test_what_ended_by_itself_is_forgotten_with_the_next_stop(opened: OpenGateway, database: Database) -> None:
    async with opened() as gateway:
        await stop(gateway, What.AGENT, "triage", until=gateway.now() - timedelta(seconds=1))
        kept = await stop(gateway, What.AGENT, "other")
        assert [each.id for each in gateway.stops.book.read()] == [kept.id]


@pytest.mark.parametrize(
    ("what", "name"), [("agent", ""), ("agent", "person:x"), ("run", " "), ("tool", "a\nb"), ("everything", "x")]
)
def test_a_target_that_names_nothing_is_refused(what: str, name: str) -> None:
    with pytest.raises(BadStop):
        named(What(what), name, "larkspur")


@pytest.mark.parametrize("text", ["", "2", "0h", "h", "-1h", "1y", "2h3m", "99999d"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadStop):
        lasting(text)


def test_a_reason_is_one_line_that_says_something() -> None:
    assert reason(" it\n mails  strangers ") == "it mails strangers"
    for text in ("", " \n", "x" * 501):
        with pytest.raises(BadStop):
            reason(text)


_who = st.builds(
    Principal,
    tenant=st.sampled_from(["larkspur", "other"]),
    person=st.sampled_from(["ana", "Ana", "ines"]),
    agent=st.sampled_from([None, "triage", "other"]),
)
_targets = st.one_of(
    st.builds(named, st.just(What.AGENT), st.sampled_from(["triage", "other"]), st.sampled_from(["larkspur", "*"])),
    st.builds(named, st.just(What.PERSON), st.sampled_from(["ana", "ines"]), st.sampled_from(["larkspur", "other"])),
    st.builds(named, st.just(What.TOOL), st.sampled_from(["crm_*", "crm_create_contact"]), st.just("larkspur")),
    st.builds(named, st.just(What.RUN), st.sampled_from(["run-7", "run-8"]), st.just("larkspur")),
    st.builds(named, st.just(What.TENANT), st.sampled_from(["larkspur", "other"]), st.just("")),
    st.builds(named, st.just(What.EVERYTHING), st.just(""), st.just("")),
)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("stop"), _targets),
        st.tuples(st.just("resume"), st.integers(0, 5)),
        st.tuples(st.just("call"), st.tuples(_who, st.sampled_from([None, "run-7", "run-8"]))),
    ),
    min_size=2,
    max_size=12,
)


def _concerns(target: Target, who: Principal, run: str | None) -> bool:
    """Said again in the plainest way."""
    here = target.tenant in ("*", who.tenant)
    match target.what:
        case What.AGENT:
            return here and target.name == who.agent
        case What.PERSON:
            return here and who.person is not None and target.name == who.person.lower()
        case What.RUN:
            return here and target.name == run
        case What.TOOL | What.TENANT | What.EVERYTHING:
            return here
        case What.TOKEN:
            return False


@pytest.fixture
def open_to_all(policies: Path) -> None:
    (policies / "roles.csv").write_text("")
    (policies / "rules.csv").write_text("p, A1, role:everyone, crm_create_contact, , allow, everybody\n")


@given(steps=_steps)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_is_stopped_never_begins_and_what_is_not_goes_on(
    opened: OpenGateway, open_to_all: None, steps: list[tuple[str, Any]]
) -> None:
    begun: list[str] = []
    stopped: list[Stop] = []
    async with opened() as gateway:
        for each in await gateway.stops.book.in_force("*", gateway.now()):
            await resume(gateway, each)

        class Crm(StandInCrm):
            async def crm_create_contact(self, call: CallContext, args: Any) -> Any:
                begun.append(call.actor)
                return await super().crm_create_contact(call, args)

        watched = with_crm(gateway, Crm(at_once))
        for step, what in steps:
            if step == "stop":
                stopped.append(await stop_target(gateway, what))
            elif step == "resume" and stopped:
                await resume(gateway, stopped.pop(what % len(stopped)))
            elif step == "call":
                who, run = what
                begun.clear()
                answer = await call(watched, who, run)
                expected = any(_concerns(each.target, who, run) for each in stopped)
                assert bool(begun) is not expected
                assert answer.status == ("denied" if expected else "ok")


async def stop_target(gateway: Gateway, target: Target) -> Stop:
    stopped = await gateway.stops.book.stop(target, "ines@larkspur.example", "a drill", gateway.now())
    await gateway.stops.read()
    return stopped
