"""What every mail back end does, whatever system is behind it: the contract of the email tools as tests."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

import pytest

from connectors.contract import CallContext, Tool
from connectors.email.mime import ParsedMessage, parse
from connectors.email.tools import (
    CreateDraft,
    Email,
    Folder,
    GetThread,
    MessageSummary,
    PreviewsMail,
    ReadAttachment,
    ReplyEmail,
    SearchEmail,
    SendDraft,
    SendEmail,
    SentMessage,
    Thread,
    UpdateDraft,
)
from connectors.errors import Conflict, InvalidInput, NotFound
from connectors.registry import TOOLS

TOOL: dict[str, Tool] = {tool.name: tool for tool in TOOLS}
NOW = datetime(2026, 6, 3, 10, 0, tzinfo=UTC)
TENANT = "larkspur"
CUSTOMER = "jo@customer.example"

_NO_SYNTAX = (
    ')"',
    'no"such',
    "no\\such",
    "{10}",
    "{10+}",
    "ALL) (SEEN",
    '" UNSEEN "',
    "* % (",
    "'; --",
    "NOT",
    "Grüße {3}",
)
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Put:
    """A message that is in a mailbox before anything is called."""

    raw: bytes
    folder: Folder = "inbox"
    unread: bool = False


class MailWorld(ABC):
    """A back end with a mailbox of its own for each test.

    `mailbox` is the tenant's, `other_mailbox` another one of the tenant's.
    """

    email: Any
    mailbox: str
    other_mailbox: str

    @abstractmethod
    async def put(self, messages: Sequence[Put]) -> None:
        """Put messages into the mailbox, as they arrived there one after the other."""

    @abstractmethod
    async def delivered(self) -> list[bytes]:
        """Every message that went out to anybody, as it went out, once for each recipient or once for all."""


def call(key: str = "k", tenant: str = TENANT, now: datetime = NOW) -> CallContext:
    return CallContext(tenant=tenant, actor="ana@larkspur.example", key=key, now=now)


def key() -> str:
    """A key that no other call has."""
    return f"key-{next(_numbers)}"


def raw(
    name: str, subject: str = "Broken lamp", body: str = "It is broken.", *, minutes: int = 0, **more: str
) -> bytes:
    """A message that somebody sent the day before."""
    at = NOW - timedelta(days=1) + timedelta(minutes=minutes)
    lines = {"From": f"Jo Doe <{CUSTOMER}>", "To": "support@larkspur.example", "Subject": subject}
    lines |= {"Date": format_datetime(at), "Message-ID": f"<{name}>"}
    lines |= {header.replace("_", "-"): value for header, value in more.items()}
    head = "".join(f"{header}: {value}\r\n" for header, value in lines.items() if value)
    kind = "" if "Content-Type" in lines else "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    return f"{head}{kind}\r\n{body}\r\n".encode()


def with_attachments(name: str = "att@x") -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = CUSTOMER, "support@larkspur.example", "Files"
    message["Message-ID"], message["Date"] = f"<{name}>", format_datetime(NOW - timedelta(days=1))
    message.set_content("see attached")
    message.add_attachment("Grüße €\n" * 3, subtype="csv", filename="../../a.csv", charset="utf-8")
    message.add_attachment(bytes(range(256)), maintype="image", subtype="png", filename="p.png")
    return message.as_bytes()


class EmailContract:
    """The contract. Each test gets a `world` of its own."""

    # Finding

    async def test_a_search_needs_every_word_wherever_it_stands(self, world: MailWorld) -> None:
        await world.put(
            [
                Put(raw("1@x", "Lamp order", "STRASSE und ÄRGER")),
                Put(raw("2@x", "Chair order", "nothing", minutes=1)),
                Put(raw("3@x", "Other", "x", minutes=2, From="Lukas <lukas@y.example>")),
            ]
        )
        for query, subjects in {
            "order": ["Chair order", "Lamp order"],
            "lamp order": ["Lamp order"],
            "ärger LAMP": ["Lamp order"],
            "lamp missing": [],
            "lukas": ["Other"],
            "lukas@y.example": ["Other"],
        }.items():
            assert [message.subject for message in await found(world, query=query)] == subjects, query

    @pytest.mark.parametrize(
        "query",
        [
            ')"',
            'no"such',
            "no\\such",
            "{10}",
            "{10+}",
            "ALL) (SEEN",
            '" UNSEEN "',
            "* % (",
            "'; --",
            "NOT",
            "Grüße {3}",
        ],
    )
    async def test_whatever_is_searched_for_is_only_text(self, world: MailWorld, query: str) -> None:
        await world.put([Put(raw("1@x"))])
        assert await found(world, query=query) == []
        assert len(await found(world)) == 1

    async def test_a_search_is_narrowed_by_folder_sender_and_unread(self, world: MailWorld) -> None:
        await world.put(
            [
                Put(raw("1@x", "one"), unread=True),
                Put(raw("2@x", "two", minutes=1, From="Li <li@y.example>"), folder="archive"),
                Put(raw("3@x", "three", minutes=2, From="Vli <vli@y.example>")),
            ]
        )
        assert [each.subject for each in await found(world, folder="archive")] == ["two"]
        assert [each.subject for each in await found(world, sender="LI@y.example")] == ["two"]
        assert [each.subject for each in await found(world, unread=True)] == ["one"]
        assert [each.subject for each in await found(world, unread=False)] == ["three", "two"]
        assert {each.folder for each in await found(world)} == {"inbox", "archive"}

    async def test_pages_hold_every_one_of_a_thousand_messages_once_newest_first(self, world: MailWorld) -> None:
        await world.put([Put(raw(f"{n}@x", f"number {n}", minutes=n)) for n in range(1_000)])
        seen: list[MessageSummary] = []
        cursor, pages = "", 0
        while pages == 0 or cursor:
            args = SearchEmail(mailbox=world.mailbox, limit=50, cursor=cursor)
            page = await world.email.email_search_messages(call(), args)
            assert 0 < len(page.messages) <= 50
            seen += page.messages
            cursor, pages = page.next_cursor, pages + 1
        assert [each.subject for each in seen] == [f"number {n}" for n in reversed(range(1_000))]
        assert len({each.id for each in seen}) == 1_000
        assert pages <= 21

    async def test_a_cursor_goes_on_where_it_was_whatever_arrives_meanwhile(self, world: MailWorld) -> None:
        await world.put([Put(raw(f"{n}@x", f"{n}", minutes=n)) for n in range(6)])
        first = await world.email.email_search_messages(call(), SearchEmail(mailbox=world.mailbox, limit=3))
        await world.put([Put(raw("new@x", "new", minutes=60))])
        args = SearchEmail(mailbox=world.mailbox, limit=3, cursor=first.next_cursor)
        second = await world.email.email_search_messages(call(), args)
        assert [each.subject for each in (*first.messages, *second.messages)] == ["5", "4", "3", "2", "1", "0"]

    async def test_a_foreign_cursor_is_refused(self, world: MailWorld) -> None:
        await world.put([Put(raw("1@x"))])
        with pytest.raises(InvalidInput) as error:
            await found(world, cursor="bm9uc2Vuc2U")
        assert error.value.field == "cursor"

    # Reading

    async def test_a_conversation_is_shown_oldest_first_and_stays_unread(self, world: MailWorld) -> None:
        await world.put(
            [
                Put(raw("1@x", "Lamp")),
                Put(raw("2@x", "Re: Lamp", "> quoted\r\nnew text", minutes=2, In_Reply_To="<1@x>"), unread=True),
                Put(raw("3@x", "Chair", minutes=3)),
            ]
        )
        _, reply, first = await found(world)
        assert reply.thread_id == first.thread_id
        thread = await thread_of(world, reply)
        assert [each.subject for each in thread.messages] == ["Lamp", "Re: Lamp"]
        assert (thread.subject, thread.mailbox) == ("Lamp", world.mailbox)
        assert (thread.messages[1].snippet, thread.messages[1].body) == ("new text", "> quoted\nnew text")
        assert [each.id for each in await found(world, unread=True)] == [reply.id]

    async def test_a_conversation_goes_over_folders(self, world: MailWorld) -> None:
        await world.put(
            [
                Put(raw("1@x", "Lamp"), folder="archive"),
                Put(raw("2@x", "Re: Lamp", minutes=1, References="<1@x>", From=world.mailbox), folder="sent"),
                Put(raw("3@x", "Re: Lamp", minutes=2, References="<1@x> <2@x>")),
            ]
        )
        messages = await found(world)
        assert len({each.thread_id for each in messages}) == 1
        thread = await thread_of(world, messages[0])
        assert [each.folder for each in thread.messages] == ["archive", "sent", "inbox"]

    async def test_html_is_read_as_the_text_that_a_person_sees(self, world: MailWorld) -> None:
        html = raw("1@x", body="<p>Hello <b>you</b></p><p style='display:none'>do it</p>", Content_Type="text/html")
        await world.put([Put(html)])
        (message,) = (await thread_of(world, (await found(world))[0])).messages
        assert message.body.startswith("Hello you")
        assert "[hidden text: do it]" in message.body

    async def test_long_bodies_are_cut_and_say_so(self, world: MailWorld) -> None:
        await world.put([Put(raw("1@x", body="word word word word\r\n" * 2_000))])
        (message,) = (await thread_of(world, (await found(world))[0])).messages
        assert message.truncated
        assert len(message.body) == 20_000

    async def test_attachments_are_read_in_parts_that_make_up_the_whole(self, world: MailWorld) -> None:
        await world.put([Put(with_attachments())])
        (summary,) = await found(world)
        (message,) = (await thread_of(world, summary)).messages
        text, image = message.attachments
        assert (summary.attachment_count, text.name, image.media_type, image.size) == (2, "a.csv", "image/png", 256)
        whole, offset = "", 0
        while True:
            args = ReadAttachment(mailbox=world.mailbox, attachment_id=text.id, offset=offset, max_bytes=3)
            part = await world.email.email_read_attachment(call(), args)
            assert (part.encoding, part.sender_email) == ("text", CUSTOMER)
            whole += part.content
            if part.next_offset is None:
                break
            offset = part.next_offset
        assert whole.strip() == ("Grüße €\n" * 3).strip()
        args = ReadAttachment(mailbox=world.mailbox, attachment_id=image.id, offset=254, max_bytes=10)
        part = await world.email.email_read_attachment(call(), args)
        assert (part.encoding, part.content, part.next_offset, part.size) == ("base64", "/v8=", None, 256)
        with pytest.raises(InvalidInput, match="256"):
            await world.email.email_read_attachment(call(), args.model_copy(update={"offset": 256}))

    # Sending

    async def test_a_message_goes_out_once_and_is_among_the_sent(self, world: MailWorld) -> None:
        await world.put([Put(raw("1@x"))])
        sent = await world.email.email_send_message(call(key()), send(world, cc=["li@customer.example"]))
        assert (sent.to, sent.cc, sent.subject, sent.sent_at) == ([CUSTOMER], ["li@customer.example"], "Grüße", NOW)
        (kept,) = await found(world, folder="sent")
        assert (kept.id, kept.thread_id, kept.sender_email) == (sent.id, sent.thread_id, world.mailbox)
        out = await sent_out(world)
        assert {each.message_id for each in out} == {out[0].message_id}
        assert (out[0].sender_email, out[0].to, out[0].cc) == (world.mailbox, (CUSTOMER,), ("li@customer.example",))
        assert (out[0].subject, out[0].text) == ("Grüße", "Hällo\n.\n..x")

    async def test_what_was_sent_is_found_by_its_key(self, world: MailWorld) -> None:
        await world.put([Put(raw("1@x"))])
        made = call(key())
        sent = await world.email.email_send_message(made, send(world))
        assert await world.email.find_effect(made, TOOL["email_send_message"]) == sent

    async def test_what_was_never_sent_is_given_up_for_good(self, world: MailWorld) -> None:
        await world.put([Put(raw("1@x"))])
        late = call(key())
        assert await world.email.find_effect(late, TOOL["email_send_message"]) is None
        with pytest.raises(Conflict):
            await world.email.email_send_message(late, send(world))
        assert await world.delivered() == []

    async def test_a_reply_goes_to_the_sender_alone_in_its_conversation(self, world: MailWorld) -> None:
        more: dict[str, Any] = {"Reply_To": "mallory@evil.example", "Cc": "boss@x.example", "References": "<0@x>"}
        await world.put([Put(raw("1@x", "Lamp", "One\r\nTwo", minutes=0, **more))])
        (message,) = await found(world)
        args = ReplyEmail(mailbox=world.mailbox, message_id=message.id, body="Thanks.")
        sent = await world.email.email_reply_message(call(key()), args)
        assert (sent.to, sent.cc, sent.subject) == ([CUSTOMER], [], "Re: Lamp")
        assert len((await thread_of(world, sent)).messages) == 2
        (written,) = await sent_out(world)
        assert written.in_reply_to == "1@x"
        assert "1@x" in written.references
        assert written.text.startswith("Thanks.\n")
        assert "One" in written.text

    async def test_a_message_of_ones_own_is_not_answered(self, world: MailWorld) -> None:
        await world.put([Put(raw("1@x", From=world.mailbox))])
        (message,) = await found(world)
        args = ReplyEmail(mailbox=world.mailbox, message_id=message.id, body="Hi")
        with pytest.raises(InvalidInput):
            await world.email.email_reply_message(call(key()), args)
        assert await world.delivered() == []

    async def test_a_preview_shows_what_would_be_sent_and_sends_nothing(self, world: MailWorld) -> None:
        await world.put([Put(raw("1@x", "Lamp", "One"))])
        (message,) = await found(world)
        if not isinstance(world.email, PreviewsMail):
            pytest.skip("this back end shows no previews")
        args = ReplyEmail(mailbox=world.mailbox, message_id=message.id, body="Thanks.")
        shown = await world.email.preview_mail(call(), args)
        assert (shown.to, shown.subject, shown.body) == ([CUSTOMER], "Re: Lamp", "Thanks.")
        assert await world.delivered() == []

    # Drafts

    async def test_a_draft_is_changed_and_sent_exactly_as_it_stands(self, world: MailWorld) -> None:
        await world.put([Put(raw("1@x", "Lamp"))])
        (original,) = await found(world)
        made = await world.email.email_create_draft(call(key()), draft(world, in_reply_to=original.id))
        assert (made.to, made.subject, made.body, made.in_reply_to) == ([CUSTOMER], "Hi", "Text", original.id)
        assert await world.delivered() == []
        args = UpdateDraft(
            mailbox=world.mailbox, draft_id=made.id, version=made.version, body="Better", cc=["li@customer.example"]
        )
        changed = await world.email.email_update_draft(call(key()), args)
        assert (changed.id, changed.body, changed.subject, changed.cc) == (
            made.id,
            "Better",
            "Hi",
            ["li@customer.example"],
        )
        assert changed.version != made.version
        as_it_is = SendDraft(mailbox=world.mailbox, draft_id=made.id, version=changed.version)
        sent = await world.email.email_send_draft(call(key()), as_it_is)
        assert (sent.to, sent.cc, sent.thread_id) == ([CUSTOMER], ["li@customer.example"], original.thread_id)
        assert {each.text for each in await sent_out(world)} == {"Better"}

    async def test_a_draft_at_another_version_is_neither_changed_nor_sent(self, world: MailWorld) -> None:
        await world.put([Put(raw("1@x"))])
        made = await world.email.email_create_draft(call(key()), draft(world))
        args = UpdateDraft(mailbox=world.mailbox, draft_id=made.id, version=made.version, body="Better")
        await world.email.email_update_draft(call(key()), args)
        with pytest.raises(Conflict):
            await world.email.email_update_draft(call(key()), args.model_copy(update={"body": "Best"}))
        old = SendDraft(mailbox=world.mailbox, draft_id=made.id, version=made.version)
        with pytest.raises(Conflict):
            await world.email.email_send_draft(call(key()), old)
        assert await world.delivered() == []

    async def test_a_sent_draft_is_gone(self, world: MailWorld) -> None:
        await world.put([Put(raw("1@x"))])
        made = await world.email.email_create_draft(call(key()), draft(world))
        args = SendDraft(mailbox=world.mailbox, draft_id=made.id, version=made.version)
        await world.email.email_send_draft(call(key()), args)
        with pytest.raises((Conflict, NotFound)):
            await world.email.email_send_draft(call(key()), args)
        again = UpdateDraft(mailbox=world.mailbox, draft_id=made.id, version=made.version, body="x")
        with pytest.raises((Conflict, NotFound)):
            await world.email.email_update_draft(call(key()), again)
        assert len({each.message_id for each in await sent_out(world)}) == 1

    async def test_an_update_that_changes_nothing_is_refused(self, world: MailWorld) -> None:
        await world.put([Put(raw("1@x"))])
        made = await world.email.email_create_draft(call(key()), draft(world))
        args = UpdateDraft(mailbox=world.mailbox, draft_id=made.id, version=made.version, body="Text")
        with pytest.raises(InvalidInput, match="nothing to change"):
            await world.email.email_update_draft(call(key()), args)

    async def test_a_draft_is_found_by_the_key_that_made_it(self, world: MailWorld) -> None:
        await world.put([Put(raw("1@x"))])
        made = call(key())
        kept = await world.email.email_create_draft(made, draft(world))
        assert await world.email.find_effect(made, TOOL["email_create_draft"]) == kept
        assert await world.email.find_effect(call(key()), TOOL["email_create_draft"]) is None

    # Whose mail it is

    async def test_mail_of_another_tenant_or_mailbox_is_not_found(self, world: MailWorld) -> None:
        await world.put([Put(with_attachments())])
        (message,) = await found(world)
        attachment = (await thread_of(world, message)).messages[0].attachments[0].id
        kept = await world.email.email_create_draft(call(key()), draft(world))
        for tenant, mailbox in [("other", world.mailbox), (TENANT, world.other_mailbox), (TENANT, "no@x.example")]:
            asked, email = call(key(), tenant=tenant), world.email
            there: dict[str, Any] = {"mailbox": mailbox}
            for attempt in (
                email.email_get_thread(asked, GetThread(**there, thread_id=message.thread_id)),
                email.email_read_attachment(asked, ReadAttachment(**there, attachment_id=attachment)),
                email.email_create_draft(asked, draft(world, **there, in_reply_to=message.id)),
                email.email_update_draft(asked, UpdateDraft(**there, draft_id=kept.id, version=kept.version, body="x")),
                email.email_send_draft(asked, SendDraft(**there, draft_id=kept.id, version=kept.version)),
                email.email_reply_message(asked, ReplyEmail(**there, message_id=message.id, body="x")),
            ):
                with pytest.raises(NotFound):
                    await attempt
        assert await world.delivered() == []

    async def test_an_unknown_mailbox_can_neither_be_searched_nor_written_from(self, world: MailWorld) -> None:
        there: dict[str, Any] = {"mailbox": "no@larkspur.example"}
        for attempt in (
            world.email.email_search_messages(call(), SearchEmail(**there)),
            world.email.email_send_message(call(key()), send(world, **there)),
            world.email.email_create_draft(call(key()), draft(world, **there)),
        ):
            with pytest.raises(NotFound, match=r"no@larkspur\.example"):
                await attempt


async def found(world: MailWorld, **args: object) -> list[MessageSummary]:
    asked = SearchEmail.model_validate({"mailbox": world.mailbox, **args})
    page = await _email(world).email_search_messages(call(), asked)
    return page.messages


async def thread_of(world: MailWorld, message: MessageSummary | SentMessage) -> Thread:
    return await _email(world).email_get_thread(call(), GetThread(mailbox=world.mailbox, thread_id=message.thread_id))


async def sent_out(world: MailWorld) -> list[ParsedMessage]:
    return [parse(each) for each in await world.delivered()]


def send(world: MailWorld, **args: object) -> SendEmail:
    given = {"mailbox": world.mailbox, "to": [CUSTOMER], "subject": "Grüße", "body": "Hällo\n.\n..x\n"}
    return SendEmail.model_validate(given | args)


def draft(world: MailWorld, **args: object) -> CreateDraft:
    given = {"mailbox": world.mailbox, "to": [CUSTOMER], "subject": "Hi", "body": "Text"}
    return CreateDraft.model_validate(given | args)


def _email(world: MailWorld) -> Email:
    email: Email = world.email
    return email
