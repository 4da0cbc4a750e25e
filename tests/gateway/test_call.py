"""The way of one call: decided, recorded, carried out, recorded; and what happens where it breaks."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from connectors.contract import CallContext
from connectors.crm.tools import Contact, CreateContact, GetContact
from connectors.errors import InDoubt
from gateway.access import Access
from gateway.answer import Answer, ErrorKind
from gateway.call import call_tool
from gateway.catalog import Catalog, UnknownTool
from gateway.database import Database
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.journal import Entry, JournalUnavailable, Kind
from gateway.principal import Principal
from tests.gateway.conftest import OpenGateway
from tests.gateway.journals import locked

ANA = Principal("larkspur", person="ana@larkspur.example")
INES = Principal("larkspur", person="ines@larkspur.example")
TRIAGE = Principal("larkspur", agent="triage")
TRIAGE_FOR_INES = Principal("larkspur", person="ines@larkspur.example", agent="triage")
KIM = {"name": "Kim Doe", "email": "kim@customer.example"}
REFUND = {"order_id": "ord_abcd2345", "currency": "EUR", "reason": "late"}

Entries = Callable[[], list[Entry]]


async def ask(
    gateway: Gateway, who: Principal, tool: str, arguments: dict[str, Any], key: str | None = None
) -> Answer[Any]:
    declared = Declared.model_validate({"remit/key": key} if key else {})
    return await call_tool(gateway, ToolCall(who, tool, arguments, declared))


def kinds(entries: list[Entry]) -> list[Kind]:
    return [entry.kind for entry in entries]


def with_crm(gateway: Gateway, crm: Any) -> Gateway:
    return replace(gateway, back_ends=replace(gateway.back_ends, crm=crm))


class StandInCrm:
    """A back end that misbehaves on demand, and counts what it was asked."""

    def __init__(self, behave: Callable[[], Any]) -> None:
        self.behave = behave
        self.asked = 0

    async def crm_create_contact(self, call: CallContext, args: CreateContact) -> Contact:
        self.asked += 1
        await self.behave()
        return Contact(
            id="con_made", name=args.name, email=args.email, created_at=call.now, updated_at=call.now, version=1
        )

    async def crm_get_contact(self, call: CallContext, args: GetContact) -> Contact:
        self.asked += 1
        await self.behave()
        return Contact(
            id=args.contact_id, name="Kim", email="k@x.example", created_at=call.now, updated_at=call.now, version=1
        )


async def at_once() -> None:
    pass


async def test_an_allowed_call_is_recorded_before_and_after_it_runs(opened: OpenGateway, entries: Entries) -> None:
    async with opened() as gateway:
        answer = await ask(gateway, ANA, "crm_create_contact", KIM)
    assert answer.status == "ok"
    assert answer.result is not None
    assert answer.result.name == "Kim Doe"
    intent, outcome = entries()
    assert (intent.kind, outcome.kind) == (Kind.INTENT, Kind.OUTCOME)
    assert intent.call_id == outcome.call_id == answer.call_id
    assert intent.body["rules"] == ["A1"]
    assert intent.body["arguments"]["email"] == "kim@customer.example"
    assert intent.body["person"] == "ana@larkspur.example"
    assert outcome.body["status"] == "ok"
    assert outcome.body["saw"] == [answer.result.id]


async def test_the_intent_is_on_the_disk_while_the_back_end_works(opened: OpenGateway, entries: Entries) -> None:
    seen: list[Kind] = []

    async def look() -> None:
        seen.extend(kinds(entries()))

    async with opened() as gateway:
        await ask(with_crm(gateway, StandInCrm(look)), ANA, "crm_create_contact", KIM)
    assert seen == [Kind.INTENT]


async def test_text_that_outsiders_may_have_written_is_named(opened: OpenGateway) -> None:
    async with opened() as gateway:
        answer = await ask(gateway, ANA, "crm_create_contact", KIM)
    assert answer.untrusted == ["name", "email"]


async def test_a_denied_call_does_nothing_and_names_the_rule(opened: OpenGateway, entries: Entries) -> None:
    crm = StandInCrm(at_once)
    async with opened() as gateway:
        answer = await ask(with_crm(gateway, crm), ANA, "crm_issue_refund", {**REFUND, "amount": 900})
    assert (answer.status, answer.rules) == ("denied", ["A3"])
    assert "nobody refunds more than 500" in (answer.reason or "")
    assert crm.asked == 0
    assert kinds(entries()) == [Kind.DENIED]


async def test_a_call_that_needs_a_yes_waits_under_one_name(opened: OpenGateway, entries: Entries) -> None:
    async with opened() as gateway:
        first = await ask(gateway, ANA, "crm_issue_refund", {**REFUND, "amount": 60})
        again = await ask(gateway, ANA, "crm_issue_refund", {"amount": 60.00, **REFUND})
        other = await ask(gateway, ANA, "crm_issue_refund", {**REFUND, "amount": 61})
    assert {first.status, again.status, other.status} == {"pending_approval"}
    assert first.rules == ["A2"]
    assert first.approval == again.approval != other.approval
    assert kinds(entries()) == [Kind.ASKED, Kind.PENDING, Kind.PENDING, Kind.ASKED, Kind.PENDING]


async def test_a_hidden_tool_is_answered_and_recorded_like_one_that_does_not_exist(
    opened: OpenGateway, entries: Entries
) -> None:
    async with opened() as gateway:
        for tool in ("crm_issue_refund", "crm_launch_rocket"):
            with pytest.raises(UnknownTool):
                await ask(gateway, INES, tool, {"anything": 1})
    hidden, unknown = entries()
    assert hidden.kind == unknown.kind == Kind.UNKNOWN_TOOL
    assert {**hidden.body, "tool": ""} == {**unknown.body, "tool": ""}


async def test_wrong_arguments_are_refused_by_name_before_policy_is_asked(
    opened: OpenGateway, entries: Entries
) -> None:
    async with opened() as gateway:
        answer = await ask(gateway, ANA, "crm_create_contact", {**KIM, "email": "nonsense"})
    assert answer.error is not None
    assert (answer.error.kind, answer.error.field) == (ErrorKind.INVALID_INPUT, "email")
    assert kinds(entries()) == [Kind.INVALID]
    assert "nonsense" not in str(entries()[0].body)


async def test_an_agent_never_exceeds_the_person_nor_the_person_the_agent(opened: OpenGateway) -> None:
    async with opened() as gateway:
        assert (await ask(gateway, TRIAGE, "crm_create_contact", KIM)).status == "ok"
        with pytest.raises(UnknownTool):
            await ask(gateway, TRIAGE_FOR_INES, "crm_create_contact", KIM)
        with pytest.raises(UnknownTool):
            await ask(gateway, TRIAGE_FOR_INES, "crm_get_account", {"account_id": "acc_abcd"})
        answer = await ask(gateway, TRIAGE_FOR_INES, "crm_get_contact", {"contact_id": "con_abcd"})
    assert answer.error is not None
    assert answer.error.kind is ErrorKind.NOT_FOUND


async def test_a_read_whose_answer_was_lost_is_unavailable_and_may_be_repeated(
    opened: OpenGateway, entries: Entries
) -> None:
    async def lose_touch() -> None:
        raise InDoubt("the connection broke")

    async with opened() as plain:
        gateway = with_crm(plain, StandInCrm(lose_touch))
        answer = await ask(gateway, ANA, "crm_get_contact", {"contact_id": "con_abcd2345"})
    assert answer.error
    assert (answer.error.kind, answer.error.message) == (ErrorKind.UNAVAILABLE, "the connection broke")
    assert kinds(entries()) == [Kind.INTENT, Kind.OUTCOME]


class Desk:
    """A CRM of one tenant's, which can do nothing but get a contact."""

    crm_get_contact = StandInCrm(at_once).crm_get_contact

    async def look(self, call: CallContext) -> str:
        return "all is well"

    async def close(self) -> None:
        pass


async def test_a_tenants_declared_back_end_serves_it_alone_and_lacks_what_its_system_cannot_do(
    opened: OpenGateway,
) -> None:
    async with opened() as plain:
        declared: Any = {("borealis", "crm"): Desk()}
        back_ends = replace(plain.back_ends, declared=declared)
        catalog = Catalog(plain.catalog.tools.values(), offered=back_ends.offers)
        gateway = replace(plain, back_ends=back_ends, catalog=catalog)
        theirs = replace(ANA, tenant="borealis")
        assert not gateway.catalog.is_open("crm_create_contact", "borealis")
        with pytest.raises(UnknownTool):
            await ask(gateway, theirs, "crm_create_contact", KIM)
        assert (await ask(gateway, ANA, "crm_create_contact", KIM)).status == "ok"


async def test_a_back_ends_refusal_reaches_the_caller_and_the_journal(opened: OpenGateway, entries: Entries) -> None:
    async with opened() as gateway:
        answer = await ask(gateway, ANA, "crm_get_contact", {"contact_id": "con_abcd"})
    assert answer.error is not None
    assert answer.error.kind is ErrorKind.NOT_FOUND
    assert entries()[-1].body["status"] == "failed"


async def test_a_back_end_that_breaks_shows_nothing_of_its_inside(opened: OpenGateway, entries: Entries) -> None:
    async def break_() -> None:
        raise RuntimeError("password=hunter2")

    async with opened() as gateway:
        answer = await ask(with_crm(gateway, StandInCrm(break_)), ANA, "crm_create_contact", KIM)
    assert answer.error is not None
    assert answer.error.kind is ErrorKind.IN_DOUBT, "it may have happened before it broke"
    assert "hunter2" not in answer.model_dump_json()
    assert "hunter2" not in str([entry.body for entry in entries()])
    assert kinds(entries()) == [Kind.INTENT, Kind.OUTCOME]


@pytest.mark.parametrize(
    ("tool", "arguments", "kind", "status"),
    [
        ("crm_get_contact", {"contact_id": "con_abcd"}, ErrorKind.TIMEOUT, "timeout"),
        ("crm_create_contact", KIM, ErrorKind.IN_DOUBT, "in_doubt"),
    ],
)
async def test_a_back_end_that_hangs_is_a_timeout_for_a_read_and_doubt_for_a_write(
    opened: OpenGateway, entries: Entries, tool: str, arguments: dict[str, Any], kind: ErrorKind, status: str
) -> None:
    async with opened(call_timeout=0.05) as gateway:
        answer = await ask(with_crm(gateway, StandInCrm(anyio.sleep_forever)), ANA, tool, arguments)
    assert answer.error is not None
    assert answer.error.kind is kind
    assert entries()[-1].body["status"] == status


async def test_a_read_stops_when_its_caller_goes_away_and_says_so(opened: OpenGateway, entries: Entries) -> None:
    started = anyio.Event()

    async def hang() -> None:
        started.set()
        await anyio.sleep_forever()

    async with opened() as gateway, anyio.create_task_group() as tasks:
        arguments = {"contact_id": "con_abcd"}
        tasks.start_soon(ask, with_crm(gateway, StandInCrm(hang)), ANA, "crm_get_contact", arguments)
        await started.wait()
        tasks.cancel_scope.cancel()
    assert entries()[-1].body["status"] == "cancelled"


async def test_a_read_whose_caller_goes_away_when_it_is_done_has_one_outcome(
    opened: OpenGateway, entries: Entries
) -> None:
    async def progress(done: float, total: float | None, message: str) -> None:
        if done == total:
            going.cancel()
        await anyio.lowlevel.checkpoint()

    async with opened() as gateway:
        with anyio.CancelScope() as going:
            await call_tool(gateway, ToolCall(ANA, "crm_search_accounts", {}, progress=progress))
    assert [entry.body.get("status") for entry in entries()] == [None, "ok"]


async def test_a_write_is_finished_and_recorded_when_its_caller_goes_away(
    opened: OpenGateway, entries: Entries
) -> None:
    started, go_on = anyio.Event(), anyio.Event()

    async def wait() -> None:
        started.set()
        await go_on.wait()

    async with opened() as gateway, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, with_crm(gateway, StandInCrm(wait)), ANA, "crm_create_contact", KIM)
        await started.wait()
        tasks.cancel_scope.cancel()
        go_on.set()
    assert entries()[-1].body["status"] == "ok"


async def test_without_a_writable_journal_no_tool_runs_and_service_resumes_with_it(
    opened: OpenGateway, entries: Entries, database: Database
) -> None:
    crm = StandInCrm(at_once)
    async with opened(journal_timeout=0.3) as gateway:
        with locked(database):
            answers = [
                await ask(with_crm(gateway, crm), ANA, "crm_create_contact", KIM),
                await ask(with_crm(gateway, crm), ANA, "crm_get_contact", {"contact_id": "con_abcd"}),
                await ask(with_crm(gateway, crm), ANA, "crm_issue_refund", {**REFUND, "amount": 900}),
            ]
        assert {answer.error.kind for answer in answers if answer.error} == {ErrorKind.JOURNAL_UNAVAILABLE}
        assert [answer.status for answer in answers] == ["failed"] * 3
        assert crm.asked == 0
        assert (await ask(with_crm(gateway, crm), ANA, "crm_create_contact", KIM)).status == "ok"
    assert kinds(entries()) == [Kind.INTENT, Kind.OUTCOME]


class JournalThatFailsFrom:
    """Writes the first entries and then fails, so that a call breaks between its intent and its outcome."""

    def __init__(self, gateway: Gateway, position: int) -> None:
        self.inner = gateway.journal
        self.left = position
        self.failing = ""

    def doubt(self, why: str) -> None:
        self.inner.doubt(why)

    async def append(self, entry: Entry) -> None:
        if self.left == 0:
            raise JournalUnavailable("test")
        self.left -= 1
        await self.inner.append(entry)


@pytest.mark.parametrize(
    ("tool", "arguments", "kind"),
    [
        ("crm_create_contact", KIM, ErrorKind.IN_DOUBT),
        ("crm_get_contact", {"contact_id": "con_abcd"}, ErrorKind.JOURNAL_UNAVAILABLE),
    ],
)
async def test_an_outcome_that_cannot_be_recorded_leaves_a_write_in_doubt_and_withholds_what_was_read(
    opened: OpenGateway, entries: Entries, tool: str, arguments: dict[str, Any], kind: ErrorKind
) -> None:
    async with opened() as gateway:
        failing: Any = JournalThatFailsFrom(gateway, 1)
        broken = replace(with_crm(gateway, StandInCrm(at_once)), journal=failing)
        answer = await ask(broken, ANA, tool, arguments)
    assert answer.error is not None
    assert answer.error.kind is kind
    assert answer.result is None
    assert kinds(entries()) == [Kind.INTENT]


async def test_a_repeated_key_does_a_thing_once_for_its_caller_only(opened: OpenGateway) -> None:
    async with opened() as gateway:
        once = await ask(gateway, ANA, "crm_create_contact", KIM, key="run-1/2")
        again = await ask(gateway, ANA, "crm_create_contact", KIM, key="run-1/2")
        assert again.to_wire() == once.to_wire()
        other_caller = await ask(gateway, TRIAGE, "crm_create_contact", KIM, key="run-1/2")
    assert other_caller.error is not None
    assert other_caller.error.kind is ErrorKind.CONFLICT


async def test_what_the_caller_declares_is_recorded(opened: OpenGateway, entries: Entries) -> None:
    said = {"remit/run": "run-7", "remit/model": "stand-in", "remit/prompt": "triage@1"}
    async with opened() as gateway:
        call = ToolCall(ANA, "crm_create_contact", KIM, Declared.model_validate(said))
        await call_tool(gateway, call)
    body = entries()[0].body
    assert (body["run"], body["model"], body["prompt"]) == ("run-7", "stand-in", "triage@1")


async def test_a_flood_is_told_to_come_back(opened: OpenGateway) -> None:
    started = anyio.Event()

    async def hang() -> None:
        started.set()
        await anyio.sleep_forever()

    async with opened(max_calls=1, max_waiting=0) as gateway, anyio.create_task_group() as tasks:
        slow = with_crm(gateway, StandInCrm(hang))
        tasks.start_soon(ask, slow, ANA, "crm_get_contact", {"contact_id": "con_abcd"})
        await started.wait()
        answer = await ask(slow, ANA, "crm_get_contact", {"contact_id": "con_abcd"})
        tasks.cancel_scope.cancel()
    assert answer.error is not None
    assert answer.error.kind is ErrorKind.BUSY


async def test_progress_tells_each_stage_and_only_grows(opened: OpenGateway) -> None:
    told: list[tuple[float, str]] = []

    async def progress(done: float, total: float | None, message: str) -> None:
        assert total == 2
        told.append((done, message))

    async with opened() as gateway:
        await call_tool(gateway, ToolCall(ANA, "crm_create_contact", KIM, progress=progress))
    assert told == [(1, "allowed and recorded"), (2, "done")]


@pytest.mark.parametrize("total", [100.0, None])
async def test_a_back_ends_own_progress_stays_between_the_stages_and_never_goes_back(
    opened: OpenGateway, total: float | None
) -> None:
    told: list[float] = []

    class ChattyCrm:
        async def crm_get_contact(self, call: CallContext, args: GetContact) -> Contact:
            for done in (0, 50, 50, 20, 100, 200):
                await call.progress(done, total, "reading")
            return await StandInCrm(at_once).crm_get_contact(call, args)

    async def progress(done: float, total: float | None, message: str) -> None:
        told.append(done)

    async with opened() as gateway:
        call = ToolCall(ANA, "crm_get_contact", {"contact_id": "con_abcd"}, progress=progress)
        assert (await call_tool(with_crm(gateway, ChattyCrm()), call)).status == "ok"
    assert (told[0], told[-1]) == (1, 2)
    assert told == sorted(set(told))
    assert len(told) > 2


@pytest.mark.parametrize(
    ("who", "tool", "arguments", "kind"),
    [
        (ANA, "crm_issue_refund", {**REFUND, "amount": 900}, Kind.DENIED),
        (ANA, "crm_issue_refund", {**REFUND, "amount": 60}, Kind.ASKED),
        (ANA, "crm_issue_refund", {}, Kind.INVALID),
        (INES, "crm_issue_refund", {}, Kind.UNKNOWN_TOOL),
    ],
)
async def test_a_caller_who_goes_away_at_once_is_recorded_all_the_same(
    opened: OpenGateway, entries: Entries, who: Principal, tool: str, arguments: dict[str, Any], kind: Kind
) -> None:
    async with opened() as gateway, anyio.create_task_group() as tasks:

        async def ask_and_leave() -> None:
            with suppress(UnknownTool):
                await ask(gateway, who, tool, arguments)

        tasks.start_soon(ask_and_leave)
        while gateway.journal._queue.empty() and not entries():
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert kinds(entries())[0] is kind


async def test_nothing_is_told_of_a_decision_before_it_is_recorded(opened: OpenGateway, entries: Entries) -> None:
    recorded_when_told: list[int] = []

    async def progress(done: float, total: float | None, message: str) -> None:
        recorded_when_told.append(len(entries()))

    async with opened() as gateway:
        for amount in (1, 60, 900):
            arguments = {**REFUND, "amount": amount}
            await call_tool(gateway, ToolCall(ANA, "crm_issue_refund", arguments, progress=progress))
    assert recorded_when_told == [1]


async def test_one_amount_in_two_spellings_is_one_refund_under_one_key(opened: OpenGateway, entries: Entries) -> None:
    async with opened() as gateway:
        for amount in (10, 10.0, "10", "1E1", "10.00"):
            await ask(gateway, ANA, "crm_issue_refund", {**REFUND, "amount": amount}, key="run-1/1")
    hashes = {entry.body["arguments_hash"] for entry in entries() if "arguments_hash" in entry.body}
    assert len(hashes) == 1


async def test_another_tenants_record_is_as_absent_as_one_that_never_was(opened: OpenGateway) -> None:
    zoe = Principal("other", person="zoe@other.example")
    async with opened() as gateway:
        kim: Any = (await ask(gateway, ANA, "crm_create_contact", KIM)).result
        theirs = await ask(gateway, zoe, "crm_get_contact", {"contact_id": kim.id})
        never = await ask(gateway, zoe, "crm_get_contact", {"contact_id": "con_never"})
    assert theirs.error is not None
    assert never.error is not None
    assert theirs.error.message.replace(kim.id, "") == never.error.message.replace("con_never", "")


async def test_a_call_whose_token_ends_while_it_waits_does_not_run(opened: OpenGateway) -> None:
    async with opened() as gateway:
        ends = gateway.now().timestamp() + 60
        waiting = ToolCall(ANA, "crm_create_contact", KIM, access=Access(ANA, "at_1", expires_at=ends))
        later = replace(gateway, now=lambda: datetime.fromtimestamp(ends, UTC))
        answer = await call_tool(later, waiting)
        assert (answer.status, answer.rules) == ("denied", ["scope"])
        assert "ended while the call waited" in str(answer.reason)
        assert (await call_tool(gateway, waiting)).status == "ok"
