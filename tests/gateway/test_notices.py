"""Approvers hear that something waits: a link, no contents, each once."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.contract import CallContext
from connectors.email.embedded import EmbeddedEmail
from connectors.email.loading import load
from connectors.email.tools import SearchEmail
from connectors.records import MessageRecord
from gateway.call import call_tool
from gateway.gateway import Gateway, ToolCall
from gateway.journal import Entry, JournalUnavailable, Kind
from gateway.notices.channels import Channel, Mail, NotDelivered, Webhook, sign
from gateway.notices.notice import Asked, Notice
from gateway.notices.telling import Notices
from gateway.principal import Principal
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_approvals import ANA, APPROVERS, MAYA, ROLES, RULES, UPDATE, later, refund
from tests.processes import free_port

SECRET = b"a secret of the receiver's"
NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
ASKED = Asked("apr_1", "crm_issue_refund", "Issue a refund", "look", NOW)
NOTICE = Notice(
    "apr_1.0", (ASKED,), "larkspur", ("maya@larkspur.example",), "ana", "https://remit.example/console/approvals/apr_1"
)


@pytest.fixture
def policies(policies: Path) -> Path:
    (policies / "roles.csv").write_text(ROLES + "g, person:tom@larkspur.example, role:agent, larkspur\n")
    (policies / "rules.csv").write_text(RULES)
    (policies / "approvers.csv").write_text(APPROVERS + "approver, role:agent, crm_*, *, after=4h\n")
    return policies


class Heard:
    """A channel that writes down what it is given, or fails."""

    name = "heard"

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.failing = False

    async def send(self, notice: Notice) -> None:
        if self.failing:
            raise NotDelivered("no")
        self.notices.append(notice)

    @property
    def people(self) -> list[tuple[str, ...]]:
        return [notice.people for notice in self.notices]


def link(approval_id: str) -> str:
    return f"https://remit.example/console/approvals/{approval_id}"


async def told(gateway: Gateway, *channels: Channel, gather: timedelta = timedelta()) -> float:
    return await Notices(gateway, channels, link, gather).tell()


async def test_everybody_who_can_answer_hears_once_and_the_asker_never(
    opened: OpenGateway, entries: Callable[[], list[Entry]]
) -> None:
    channel = Heard()
    async with opened() as gateway:
        await told(gateway, channel)
        asked = await refund(gateway)
        await told(gateway, channel)
        await told(gateway, channel)
    assert asked.approval is not None
    assert channel.people == [("maya@larkspur.example", "nadia@larkspur.example")]
    assert channel.notices[0].url == link(asked.approval.id)
    [recorded] = [entry.body for entry in entries() if entry.kind is Kind.NOTIFIED]
    assert recorded["via"] == ["heard"]


async def test_who_was_told_is_recorded_although_the_process_ends_in_that_moment(
    opened: OpenGateway, entries: Callable[[], list[Entry]]
) -> None:
    class LastHeard(Heard):
        async def send(self, notice: Notice) -> None:
            await super().send(notice)
            ending.cancel()

    channel = LastHeard()
    async with opened() as gateway:
        await refund(gateway)
        with anyio.CancelScope() as ending:
            await told(gateway, channel)
        await told(gateway, channel)
    assert len(channel.notices) == 1
    assert [entry.kind for entry in entries()].count(Kind.NOTIFIED) == 1


async def test_nothing_of_what_would_be_done_is_told(opened: OpenGateway) -> None:
    channel = Heard()
    async with opened() as gateway:
        await refund(gateway, note="a secret of Kim's", order_id="ord_secret77")
        await told(gateway, channel)
    [notice] = channel.notices
    for said in (notice.text, notice.subject, repr(notice)):
        assert "secret" not in said


async def test_escalation_and_passing_on_reach_those_who_may_answer_from_then_on(opened: OpenGateway) -> None:
    channel = Heard()
    async with opened() as gateway:
        first = await refund(gateway)
        await told(gateway, channel)
        await told(later(gateway, hours=4), channel)
        assert channel.people[1:] == [("tom@larkspur.example",)]
        assert first.approval is not None
        await refund(gateway, amount=81)
        await told(gateway, channel)
    assert channel.people[2:] == [("maya@larkspur.example", "nadia@larkspur.example")]


async def test_what_a_task_asks_within_a_short_time_is_told_once_and_nothing_is_lost(
    opened: OpenGateway, entries: Callable[[], list[Entry]]
) -> None:
    channel, gather = Heard(), timedelta(seconds=15)
    async with opened() as gateway:
        first = await refund(gateway)
        assert 14 < await told(gateway, channel, gather=gather) <= 15, "it looks again when the others have come"
        second = await refund(later(gateway, seconds=14), amount=81)
        await told(later(gateway, seconds=14), channel, gather=gather)
        assert channel.notices == []
        await told(later(gateway, seconds=15), channel, gather=gather)
        third = await refund(later(gateway, seconds=16), amount=82)
        for seconds in (16, 31, 60):
            await told(later(gateway, seconds=seconds), channel, gather=gather)
    names = [asked.approval.id for asked in (first, second, third) if asked.approval]
    assert [[each.approval for each in notice.asked] for notice in channel.notices] == [names[:2], names[2:]]
    assert channel.notices[0].url == f"{link(names[0])}/together"
    assert channel.notices[0].subject.endswith(": 2 calls of one task")
    assert channel.notices[0].text.count("Why you are asked: ") == 2
    assert sorted(entry.call_id for entry in entries() if entry.kind is Kind.NOTIFIED) == sorted(names)


async def test_a_question_is_told_of_while_there_is_time_to_answer_it(opened: OpenGateway) -> None:
    channel, gather = Heard(), timedelta(hours=1)
    async with opened(approval_ttl=100) as gateway:
        await refund(gateway)
        assert 29 < await told(later(gateway, seconds=20), channel, gather=gather) <= 30
        await told(later(gateway, seconds=50), channel, gather=gather)
    assert len(channel.notices) == 1


async def test_nobody_hears_of_a_call_that_is_not_theirs_to_answer(opened: OpenGateway, policies: Path) -> None:
    (policies / "approvers.csv").write_text("approver, role:lead, crm_*, *\napprover, role:agent, crm_update_*, *\n")
    channel = Heard()
    async with opened() as gateway:
        await refund(gateway)
        await call_tool(gateway, ToolCall(ANA, "crm_update_contact", UPDATE))
        await told(gateway, channel)
        await told(gateway, channel)
    heard = {notice.people: [each.tool for each in notice.asked] for notice in channel.notices}
    assert heard == {
        ("maya@larkspur.example", "nadia@larkspur.example"): ["crm_issue_refund", "crm_update_contact"],
        ("tom@larkspur.example",): ["crm_update_contact"],
    }


async def test_what_two_callers_ask_is_never_told_in_one_notice(opened: OpenGateway) -> None:
    channel = Heard()
    async with opened() as gateway:
        await refund(gateway)
        await refund(gateway, Principal("larkspur", agent="triage"))
        await told(gateway, channel)
    assert [len(notice.asked) for notice in channel.notices] == [1, 1]


async def test_when_a_notice_went_out_unrecorded_and_more_was_asked_since_the_next_one_is_another_notice(
    opened: OpenGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = Heard()

    async def fail(_entry: Entry) -> None:
        raise JournalUnavailable("no disk")

    async with opened() as gateway:
        await refund(gateway)
        await refund(gateway, amount=81)
        with monkeypatch.context() as patched:
            patched.setattr(gateway.journal, "append", fail)
            with pytest.raises(JournalUnavailable):
                await told(gateway, channel)
        await refund(gateway, amount=82)
        await told(gateway, channel)
    [two, three] = channel.notices
    assert (len(two.asked), len(three.asked)) == (2, 3)
    assert two.id != three.id, "or a channel that knows the first would drop the second, and what is new in it"


async def test_an_answered_question_is_not_told_of(opened: OpenGateway) -> None:
    channel = Heard()
    async with opened() as gateway:
        asked = await refund(gateway)
        assert asked.approval is not None
        now = gateway.now()
        await gateway.approvals.answer(asked.approval.id, MAYA, gateway.policy.current, True, "", now)
        await told(gateway, channel)
    assert channel.notices == []


async def test_what_could_not_be_delivered_is_tried_again(opened: OpenGateway) -> None:
    channel = Heard()
    async with opened() as gateway:
        await refund(gateway)
        channel.failing = True
        await told(gateway, channel)
        channel.failing = False
        await told(gateway, channel)
        await told(gateway, channel)
    assert len(channel.notices) == 1


async def test_mail_comes_from_the_named_mailbox_once_to_each(opened: OpenGateway) -> None:
    async with opened() as gateway:
        email = gateway.back_ends.email
        assert isinstance(email, EmbeddedEmail)
        raw = b"From: kim@customer.example\r\nTo: remit@larkspur.example\r\nSubject: x\r\n\r\nx\r\n"
        record = MessageRecord(source_id="1", mailbox="remit@larkspur.example", folder="inbox", raw=raw)
        await email._database.change("larkspur", lambda connection: load(connection, "larkspur", [record]))
        await refund(gateway)
        channel = Mail(lambda _tenant: email, "remit@larkspur.example", lambda: NOW)
        await told(gateway, channel)
        await channel.send(NOTICE)
        await channel.send(NOTICE)
        context = CallContext(tenant="larkspur", actor="test", key="look", now=NOW)
        found = await email.email_search_messages(context, SearchEmail(mailbox="remit@larkspur.example", folder="sent"))
    assert sorted(message.to for message in found.messages) == [
        ["maya@larkspur.example"],
        ["maya@larkspur.example"],
        ["nadia@larkspur.example"],
    ], "of this question and of another one"
    assert all("Issue a refund" in message.subject for message in found.messages)


async def test_a_mailbox_that_does_not_exist_is_reported(opened: OpenGateway) -> None:
    async with opened() as gateway:
        channel = Mail(lambda _tenant: gateway.back_ends.email, "nowhere@larkspur.example", lambda: NOW)
        with pytest.raises(NotDelivered, match=r"mail to maya@larkspur\.example"):
            await channel.send(NOTICE)


@asynccontextmanager
async def receiver(statuses: list[int]) -> AsyncIterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A real HTTP server that answers with the given statuses, then with 204."""
    got: list[tuple[dict[str, str], bytes]] = []

    async def take(request: Request) -> Response:
        got.append((dict(request.headers), await request.body()))
        return Response(status_code=statuses.pop(0) if statuses else 204)

    port = free_port()
    config = uvicorn.Config(Starlette(routes=[Route("/hook", take, methods=["POST"])]), port=port, log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells in no other way
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}/hook", got
    finally:
        server.should_exit = True
        await serving


async def test_a_webhook_is_signed_and_repeated_with_the_same_id_until_it_is_taken() -> None:
    async with receiver([503]) as (url, got), httpx.AsyncClient() as client:
        await Webhook(client, url, SECRET, lambda: NOW).send(NOTICE)
    assert len(got) == 2
    for headers, body in got:
        assert headers["webhook-id"] == "apr_1.0"
        signature = sign(SECRET, "apr_1.0", headers["webhook-timestamp"], body)
        assert headers["webhook-signature"] == signature
        assert sign(b"another", "apr_1.0", headers["webhook-timestamp"], body) != signature
        data = json.loads(body)["data"]
        assert data["url"].endswith("apr_1")
        assert data["approval"] == "apr_1"
        assert [each["approval"] for each in data["calls"]] == ["apr_1"]


async def test_a_webhook_that_goes_on_failing_is_reported_without_its_address() -> None:
    async with receiver([500] * 9) as (url, _got), httpx.AsyncClient() as client:
        with pytest.raises(NotDelivered, match="the webhook answers 500"):
            await Webhook(client, url, SECRET, lambda: NOW).send(NOTICE)
    async with httpx.AsyncClient() as client:
        with pytest.raises(NotDelivered, match="ConnectError"):
            await Webhook(client, f"http://127.0.0.1:{free_port()}/hook", SECRET, lambda: NOW).send(NOTICE)


def test_the_signature_is_that_of_the_standard_webhooks_specification() -> None:
    # The example of the specification's reference libraries.
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )
