"""Facts about what a principal did lately: the same in all processes, and the same as counting the journal anew."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.contract import CallContext
from connectors.email.tools import ReplyEmail, SendEmail, SentMessage
from connectors.embedded.tenancy import EVERY_TENANT
from connectors.errors import Conflict
from gateway.activity.activity import Activity
from gateway.activity.recipients import Recipients
from gateway.activity.tally import CALLED, MOST, Event, Scope, Tally
from gateway.answer import Answer
from gateway.call import call_tool
from gateway.database import Database
from gateway.gateway import Gateway, ToolCall
from gateway.journal import Entry, Journal, Kind, read_journal
from gateway.principal import Principal
from tests.gateway.conftest import RULES, SECRET, OpenGateway
from tests.gateway.journals import Kept

ANA = Principal("larkspur", person="ana@larkspur.example")
ZOE = Principal("other", person="zoe@other.example")
TRIAGE = Principal("larkspur", agent="triage")
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
WINDOW = timedelta(days=1)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """A file, unless a test says that it is about both databases."""
    on_server = getattr(request, "param", "sqlite") == "postgresql"
    return request.getfixturevalue("postgres_url") if on_server else ""


on_each = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)


def _as_recorded(event: Event) -> Event:
    # Only an outcome says what was shown.
    return event if event.kind is Kind.OUTCOME else replace(event, saw=())


def events(longest_ago: int, most: int) -> st.SearchStrategy[list[Event]]:
    event = st.builds(
        Event,
        at=st.integers(0, longest_ago).map(lambda seconds: NOW.timestamp() - seconds),
        kind=st.sampled_from([Kind.INTENT, Kind.DENIED, Kind.OUTCOME, Kind.UNKNOWN_TOOL]),
        grant=st.sampled_from(["", "gra_1", "gra_2"]),
        saw=st.lists(st.sampled_from("abcdef"), max_size=4).map(tuple),
    )
    return st.lists(event.map(_as_recorded), max_size=most)


_scopes = st.builds(
    Scope,
    since=st.integers(0, 200).map(lambda seconds: NOW - timedelta(seconds=seconds)),
    grant=st.sampled_from(["", "gra_1", "gra_2"]),
)


def recount(events: Sequence[Event], scope: Scope, now: datetime) -> tuple[int, int, int]:
    """Calls, denials and records, counted in the plainest way."""
    mine = [
        event
        for event in events
        if event.at > scope.since.timestamp() and (not scope.grant or event.grant in ("", scope.grant))
    ]
    calls = [event for event in events if event.kind in CALLED and event.at > now.timestamp() - 60]
    denials = [event for event in mine if event.kind is Kind.DENIED]
    return len(calls), len(denials), len({record for event in mine for record in event.saw})


@given(told=events(longest_ago=110, most=40), scope=_scopes)
def test_a_tally_is_what_counting_anew_gives_in_whatever_order_it_was_told(told: list[Event], scope: Scope) -> None:
    tally = Tally()
    for event in told:
        tally.add(event)
    assert (tally.calls(NOW), tally.denials(scope), tally.records(scope)) == recount(told, scope, NOW)


def test_a_tally_stays_small_and_says_so_many_where_there_are_more() -> None:
    tally = Tally()
    for number in range(MOST + 50):
        tally.add(Event(NOW.timestamp() + number, Kind.DENIED, saw=(f"con_{number}",)))
    scope = Scope(NOW - WINDOW)
    assert (tally.denials(scope), tally.records(scope)) == (MOST, MOST)
    assert tally.records(Scope(NOW + timedelta(seconds=MOST + 40))) == 9
    assert tally.calls(NOW + timedelta(seconds=MOST + 49)) == 60


def entry(number: int, event: Event, who: Principal) -> Entry:
    at = datetime.fromtimestamp(event.at, UTC)
    body: dict[str, Any] = {"tool": "crm_get_contact", "saw": list(event.saw)}
    if event.grant:
        body["grant"] = event.grant
    return Entry(f"call_{number}", who.tenant, who.name, at, event.kind, body)


def read_back(database: Database, who: Principal) -> list[Event]:
    return [
        Event(each.at.timestamp(), each.kind, each.body.get("grant", ""), tuple(each.body["saw"]))
        for each in read_journal(database, EVERY_TENANT)
        if (each.tenant, each.principal) == (who.tenant, who.name)
    ]


# As late as clocks may lie apart, and not later.
_KINDS, _SAW = (Kind.DENIED, Kind.INTENT, Kind.OUTCOME), ((), (), ("a", "b"))
_batches = st.lists(
    st.tuples(st.sampled_from([ANA, TRIAGE, ZOE]), events(longest_ago=59, most=8)), min_size=1, max_size=4
)


@given(batches=_batches, scope=_scopes)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_caught_up_with_the_journal_it_is_what_counting_the_journal_gives(
    kept: Kept, batches: list[tuple[Principal, list[Event]]], scope: Scope
) -> None:
    asyncio.run(_catches_up(kept, batches, scope))


@on_each
@pytest.mark.parametrize("grant", ["", "gra_1"])
def test_it_catches_up_on_each_database(kept: Kept, grant: str) -> None:
    told = [
        Event(NOW.timestamp() - number, _KINDS[number % 3], "gra_1" * (number % 2), _SAW[number % 3])
        for number in range(59)
    ]
    batches = [(ANA, told[:30]), (TRIAGE, told), (ANA, told[30:])]
    asyncio.run(_catches_up(kept, batches, Scope(NOW - timedelta(seconds=40), grant)))


async def _catches_up(kept: Kept, batches: list[tuple[Principal, list[Event]]], scope: Scope) -> None:
    activity = Activity(kept.database, Recipients(kept.database, SECRET), WINDOW)
    with closing(Journal(kept.database, timeout=30)) as journal:
        for who, told in batches:
            for number, event in enumerate(told):
                await journal.append(entry(number, event, who))
            for each in (ANA, TRIAGE, ZOE):
                tally = await activity.of(each, NOW)
                expected = recount(read_back(kept.database, each), scope, NOW)
                assert (tally.calls(NOW), tally.denials(scope), tally.records(scope)) == expected


async def test_what_was_long_ago_no_longer_counts(kept: Kept) -> None:
    activity = Activity(kept.database, Recipients(kept.database, SECRET), WINDOW)
    with closing(Journal(kept.database, timeout=30)) as journal:
        await journal.append(entry(1, Event(NOW.timestamp(), Kind.DENIED, saw=("a",)), ANA))
    found = []
    for later in (timedelta(hours=1), timedelta(hours=25), timedelta(hours=60)):
        scope = activity.scope(NOW + later)
        found.append(
            (
                await activity.recent_calls(ANA, NOW + later),
                await activity.denials(ANA, scope, NOW + later),
                await activity.records(ANA, scope, NOW + later),
            )
        )
    assert found == [(0, 1, 1), (0, 0, 0), (0, 0, 0)]


def test_a_grants_run_reaches_back_to_its_issue_and_no_further_than_any_run(kept: Kept) -> None:
    activity = Activity(kept.database, Recipients(kept.database, SECRET), WINDOW)
    assert activity.scope(NOW) == Scope(NOW - WINDOW)
    assert activity.scope(NOW, "gra_1", NOW - timedelta(hours=1)) == Scope(NOW - timedelta(hours=1), "gra_1")
    assert activity.scope(NOW, "gra_1", NOW - timedelta(days=9)) == Scope(NOW - WINDOW, "gra_1")


@on_each
async def test_two_processes_see_each_others_calls(opened: OpenGateway) -> None:
    async with opened() as one, opened() as other:

        async def ask(gateway: Gateway, tool: str, **arguments: Any) -> Answer[Any]:
            return await call_tool(gateway, ToolCall(ANA, tool, arguments))

        made = await ask(one, "crm_create_contact", name="Kim", email="kim@customer.example")
        assert made.result
        await ask(other, "crm_get_contact", contact_id=made.result.id)
        await ask(one, "crm_issue_refund", order_id="ord_abcd2345", amount=900, currency="EUR", reason="late")
        await ask(other, "crm_issue_refund", order_id="ord_abcd2345", amount=80, currency="EUR", reason="late")
        for gateway in (one, other):
            now, activity = gateway.now(), gateway.activity
            scope = activity.scope(now)
            assert await activity.recent_calls(ANA, now) == 4
            assert await activity.denials(ANA, scope, now) == 1
            assert await activity.records(ANA, scope, now) == 1
            assert await activity.recent_calls(TRIAGE, now) == 0


class Mailer:
    """A back end that sends what it is given, or refuses."""

    def __init__(self) -> None:
        self.refuses = False

    async def email_send_message(self, call: CallContext, args: SendEmail) -> SentMessage:
        if self.refuses:
            raise Conflict("the mailbox is full")
        return self._sent(call, args.to, args.cc, args.subject)

    async def email_reply_message(self, call: CallContext, args: ReplyEmail) -> SentMessage:
        return self._sent(call, ["lou@customer.example"], [], "Re: hello")

    def _sent(self, call: CallContext, to: list[str], cc: list[str], subject: str) -> SentMessage:
        return SentMessage(
            id="msg_sent2345",
            thread_id="thr_sent2345",
            mailbox="support@larkspur.example",
            to=to,
            cc=cc,
            subject=subject,
            sent_at=call.now,
        )


@pytest.fixture
def open_mailer(policies: Path, opened: OpenGateway) -> OpenGateway:
    (policies / "rules.csv").write_text(f"{RULES}p, M1, role:agent, email_*, , allow, support writes\n")
    return opened


async def send(gateway: Gateway, who: Principal, *to: str, **more: Any) -> Answer[Any]:
    mail = {"mailbox": "support@larkspur.example", "to": list(to), "subject": "Hello", "body": "Hi", **more}
    return await call_tool(gateway, ToolCall(who, "email_send_message", mail))


def mailing(gateway: Gateway, mailer: Any) -> Gateway:
    return replace(gateway, back_ends=replace(gateway.back_ends, email=mailer))


async def test_a_recipient_is_new_until_something_was_sent_to_them_by_this_principal(open_mailer: OpenGateway) -> None:
    async with open_mailer() as opened, open_mailer() as other:
        gateway = mailing(opened, Mailer())
        first_time = other.activity.recipients.first_time
        assert await first_time(ANA, ["kim@customer.example"])
        answer = await send(gateway, ANA, "kim@customer.example", cc=["boss@customer.example"])
        assert answer.status == "ok", answer
        assert not await first_time(ANA, ["Kim@Customer.example", "boss@customer.example"])
        assert await first_time(ANA, ["kim@customer.example", "eve@evil.example"])
        assert not await first_time(ANA, [])
        assert await first_time(TRIAGE, ["kim@customer.example"])
        assert await first_time(ZOE, ["kim@customer.example"])


async def test_whom_a_reply_reached_is_known_from_its_result(open_mailer: OpenGateway) -> None:
    async with open_mailer() as opened:
        reply = {"mailbox": "support@larkspur.example", "message_id": "msg_abcd2345", "body": "Hi"}
        answer = await call_tool(mailing(opened, Mailer()), ToolCall(ANA, "email_reply_message", reply))
        assert answer.status == "ok", answer
        assert not await opened.activity.recipients.first_time(ANA, ["lou@customer.example"])


async def test_what_failed_or_was_only_written_down_leaves_a_recipient_new(open_mailer: OpenGateway) -> None:
    async with open_mailer() as opened:
        mailer = Mailer()
        mailer.refuses = True
        assert (await send(mailing(opened, mailer), ANA, "kim@customer.example")).status == "failed"
        ticket = {"subject": "x", "body": "y", "requester_name": "Kim", "requester_email": "kim@customer.example"}
        assert (await call_tool(opened, ToolCall(ANA, "ticket_create_ticket", ticket))).status == "ok"
        assert await opened.activity.recipients.first_time(ANA, ["kim@customer.example"])


@on_each
async def test_recipients_are_kept_as_keyed_hashes_and_forgotten_by_age_or_on_request(
    open_mailer: OpenGateway, database: Database
) -> None:
    async with open_mailer() as opened:
        recipients = opened.activity.recipients
        await send(mailing(opened, Mailer()), ANA, "kim@customer.example", "lou@customer.example")
        with database.looking(EVERY_TENANT) as connection:
            rows = connection.exec_driver_sql("SELECT * FROM recipients_seen").all()
        assert len(rows) == 2
        assert "customer.example" not in json.dumps([list(row) for row in rows])
        assert recipients.forget("other", ["kim@customer.example"]) == 0
        assert recipients.forget("larkspur", ["KIM@customer.example"]) == 1
        assert await recipients.first_time(ANA, ["kim@customer.example"])
        assert not await recipients.first_time(ANA, ["lou@customer.example"])
        assert recipients.forget_before(opened.now() - timedelta(minutes=1)) == 0
        assert recipients.forget_before(opened.now() + timedelta(minutes=1)) == 1
        assert await recipients.first_time(ANA, ["lou@customer.example"])


async def test_who_was_written_to_is_committed_with_the_outcome_that_says_so(
    open_mailer: OpenGateway, database: Database, entries: Callable[[], list[Entry]]
) -> None:
    async with open_mailer() as opened:
        await send(mailing(opened, Mailer()), ANA, "kim@customer.example")
        [outcome] = [each for each in entries() if each.kind is Kind.OUTCOME]
        with database.looking(EVERY_TENANT) as connection:
            [position] = connection.exec_driver_sql("SELECT position FROM recipients_seen").scalars()
        assert position == outcome.position
