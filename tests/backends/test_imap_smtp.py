"""Mail over IMAP and SMTP, with a real Dovecot and a real Postfix: the contract, and what the protocols do to it."""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from connectors.credentials import Access
from connectors.email.declared_mailbox import DeclaredMailbox
from connectors.email.imap_boxes import DeclaredMail
from connectors.email.imap_smtp import ImapSmtpEmail
from connectors.email.tools import Folder, GetThread, ReplyEmail, SearchEmail, SendDraft, UpdateDraft
from connectors.embedded.database import Database
from connectors.errors import Conflict, InDoubt, InvalidInput, NotFound, Unavailable
from connectors.vendor.kinds import Surroundings
from tests.backends.email import (
    CUSTOMER,
    TENANT,
    TOOL,
    EmailContract,
    MailWorld,
    Put,
    call,
    draft,
    found,
    key,
    raw,
    send,
    sent_out,
    thread_of,
)
from tests.backends.required import required
from tests.backends.systems.mail import PASSWORD, MailSystem, is_installed, mail_system, token_for
from tests.backends.tcp_faults import Action, Fault, TcpFaults, tcp_faults
from tests.sqlite import ready_company

_FOLDERS = {"inbox": "", "sent": "Sent", "archive": "Archive"}
_numbers = itertools.count(1)


@dataclass
class Passwords:
    """Where the back end gets what it shows: the password, or whatever a test says."""

    password: str = PASSWORD
    after: str = ""
    """What is shown once `password` was refused."""
    token: str = ""
    """Shown in place of a password."""
    asked: list[str] = field(default_factory=list)

    async def of(self, back_end: str, tenant: str, person: str | None = None) -> Access:
        self.asked.append(back_end)
        if self.token:
            return Access(back_end, tenant, None, 3, SecretStr(self.token))
        return Access(back_end, tenant, None, 1, SecretStr(self.password), "by-address")

    async def refused(self, access: Access) -> Access | None:
        if not self.after:
            return None
        return Access(access.back_end, access.tenant, None, 2, SecretStr(self.after), access.user)


@dataclass
class ImapWorld(MailWorld):
    """A fresh mailbox on the mail system, with a proxy before each of its servers.

    Args:
        system: The mail system.
        imap: The proxy before Dovecot.
        smtp: The proxy before Postfix.
        company: Where the back end keeps what it hands over.
    """

    system: MailSystem
    imap: TcpFaults
    smtp: TcpFaults
    company: Database
    passwords: Passwords = field(default_factory=Passwords)
    recipients: set[str] = field(default_factory=lambda: {CUSTOMER, "li@customer.example", "mallory@evil.example"})

    def __post_init__(self) -> None:
        number = next(_numbers)
        self.mailbox, self.other_mailbox = (f"{name}{number}@larkspur.example" for name in ("support", "sales"))
        for address in self.recipients:
            shutil.rmtree(self.system.maildir(address), ignore_errors=True)
        self.email = self.back_end()

    def back_end(self, **more: object) -> ImapSmtpEmail:
        """The back end, as it is declared unless more is said."""
        mailboxes = [DeclaredMailbox(address=each, login=each) for each in (self.mailbox, self.other_mailbox)]
        given = {
            "tenant": TENANT,
            "imap": f"imaps://127.0.0.1:{self.imap.port}",
            "smtp": f"smtps://127.0.0.1:{self.smtp.port}",
            "ca": self.system.ca,
            "inside": True,
            "mailboxes": mailboxes,
        }
        return ImapSmtpEmail(DeclaredMail.model_validate(given | more), Surroundings(self.passwords, self.company))

    async def put(self, messages: Sequence[Put]) -> None:
        for folder, name in _FOLDERS.items():
            if there := [(each.raw, each.unread) for each in messages if each.folder == folder]:
                await asyncio.to_thread(self.system.put, self.mailbox, there, name)

    async def arrives(self, message: bytes) -> None:
        """Have a message arrive in the mailbox."""
        await asyncio.to_thread(self.system.deliver, self.mailbox, message)

    async def delivered(self) -> list[bytes]:
        with anyio.fail_after(10):
            while not self.system.is_idle():  # noqa: ASYNC110 - the queue is a folder
                await anyio.sleep(0.02)
        return [message for address in sorted(self.recipients) for message in self.system.raws(address)]


@pytest.fixture(scope="session")
def mail() -> Iterator[MailSystem]:
    required(is_installed(), "the mail system")
    # Paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="mail") as folder, mail_system(Path(folder)) as system:
        yield system


@pytest.fixture
async def world(mail: MailSystem, tmp_path: Path) -> AsyncIterator[ImapWorld]:
    database = Database(ready_company(tmp_path / "company.db"))
    async with AsyncExitStack() as stack:
        imap = await stack.enter_async_context(tcp_faults(mail.ports.imaps, mail.folder))
        smtp = await stack.enter_async_context(tcp_faults(mail.ports.submissions, mail.folder))
        made = ImapWorld(mail, imap, smtp, database)
        yield made
        await made.email.close()
    database.close()


class TestImapSmtp(EmailContract):
    pass


SEND = TOOL["email_send_message"]

# What may be lost on the way out


@pytest.mark.parametrize("action", [Action.DROP, Action.GARBLE])
async def test_a_message_whose_acceptance_is_lost_is_in_doubt_and_never_sent_again(
    world: ImapWorld, action: Action
) -> None:
    made = call(key())
    world.smtp.next = Fault(action, after=b"\r\n.\r\n")
    with pytest.raises(InDoubt):
        await world.email.email_send_message(made, send(world))
    for _ in range(2):
        with pytest.raises(InDoubt):
            await world.email.find_effect(made, SEND)
    with pytest.raises(InDoubt):
        await world.email.email_send_message(made, send(world))
    assert len(await world.delivered()) == 1


@pytest.mark.parametrize("after", [b"RCPT TO:<jo@customer.example>\r\n", b"DATA\r\n", b"]\r\n"])
async def test_what_is_lost_before_the_message_itself_was_not_sent_and_may_be_tried_again(
    world: ImapWorld, after: bytes
) -> None:
    made = call(key())
    world.smtp.next = Fault(Action.DROP, after=after)
    with pytest.raises(Unavailable):
        await world.email.email_send_message(made, send(world))
    assert world.smtp.happened.is_set()
    assert await world.delivered() == []
    sent = await world.email.email_send_message(made, send(world))
    assert len(await world.delivered()) == 1
    assert await world.email.find_effect(made, SEND) == sent


async def test_what_was_lost_before_the_message_itself_is_given_up_for_good_once_it_is_looked_into(
    world: ImapWorld,
) -> None:
    made = call(key())
    world.smtp.next = Fault(Action.DROP, after=b"RCPT TO:<jo@customer.example>\r\n")
    with pytest.raises(Unavailable):
        await world.email.email_send_message(made, send(world))
    assert await world.email.find_effect(made, SEND) is None
    with pytest.raises(Conflict):
        await world.email.email_send_message(made, send(world))
    assert await world.delivered() == []


async def test_one_refused_recipient_keeps_the_message_from_all(world: ImapWorld) -> None:
    made = call(key())
    with pytest.raises(InvalidInput, match=r"nobody@customer\.example") as error:
        await world.email.email_send_message(made, send(world, cc=["nobody@customer.example"]))
    assert error.value.field == "cc"
    assert error.value.is_untrusted
    assert await world.delivered() == []


async def test_a_message_that_the_server_refuses_after_it_saw_it_was_not_sent(world: ImapWorld) -> None:
    made = call(key())
    with pytest.raises(InvalidInput, match="not this one"):
        await world.email.email_send_message(made, send(world, subject="refuse me"))
    assert await world.email.find_effect(made, SEND) is None
    assert await world.delivered() == []


@pytest.mark.parametrize("answer", [b"+ OK", b"APPENDUID"])
async def test_an_accepted_message_that_could_not_be_kept_is_kept_when_it_is_looked_into(
    world: ImapWorld, answer: bytes
) -> None:
    made = call(key())
    await found(world)
    world.imap.next = Fault(Action.DROP, answer=answer)
    with pytest.raises(InDoubt, match="accepted"):
        await world.email.email_send_message(made, send(world))
    sent = await world.email.find_effect(made, SEND)
    assert [each.id for each in await found(world, folder="sent")] == [sent.id]
    assert await world.email.find_effect(made, SEND) == sent
    assert len(await world.delivered()) == 1


async def test_an_accepted_message_is_kept_once_even_if_several_look_into_it_at_once(world: ImapWorld) -> None:
    made = call(key())
    await found(world)
    world.imap.next = Fault(Action.DROP, answer=b"+ OK")
    with pytest.raises(InDoubt):
        await world.email.email_send_message(made, send(world))
    others = [world.back_end() for _ in range(3)]
    await asyncio.gather(*(each.find_effect(made, SEND) for each in others), return_exceptions=True)
    sent = await world.email.find_effect(made, SEND)
    assert [each.id for each in await found(world, folder="sent")] == [sent.id]
    for each in others:
        await each.close()


async def test_a_server_that_keeps_what_is_sent_is_left_to_it(
    world: ImapWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.email.writing._PAUSES", (0.05,) * 100)
    email = world.back_end(keeps_sent=True)
    world.smtp.next = Fault(Action.TELL, after=b"\r\n.\r\n")
    sending = asyncio.ensure_future(email.email_send_message(call(key()), send(world)))
    await world.smtp.happened.wait()
    (out,) = await world.delivered()
    await asyncio.to_thread(world.system.put, world.mailbox, [(out, False)], "Sent")
    sent = await sending
    assert [each.id for each in await found(world, folder="sent")] == [sent.id]
    await email.close()


async def test_a_draft_whose_sending_is_in_doubt_is_not_sent_by_another_call(world: ImapWorld) -> None:
    made = await world.email.email_create_draft(call(key()), draft(world))
    args = SendDraft(mailbox=world.mailbox, draft_id=made.id, version=made.version)
    world.smtp.next = Fault(Action.DROP, after=b"\r\n.\r\n")
    with pytest.raises(InDoubt):
        await world.email.email_send_draft(call(key()), args)
    with pytest.raises(Conflict):
        await world.email.email_send_draft(call(key()), args)
    change = UpdateDraft(mailbox=world.mailbox, draft_id=made.id, version=made.version, body="other")
    with pytest.raises(Conflict):
        await world.email.email_update_draft(call(key()), change)
    assert len(await world.delivered()) == 1


async def test_a_draft_that_two_calls_send_at_once_goes_out_once(world: ImapWorld) -> None:
    made = await world.email.email_create_draft(call(key()), draft(world))
    args = SendDraft(mailbox=world.mailbox, draft_id=made.id, version=made.version)
    ends = await asyncio.gather(
        *(world.email.email_send_draft(call(key()), args) for _ in range(3)), return_exceptions=True
    )
    assert sorted(type(end).__name__ for end in ends) == ["Conflict", "Conflict", "SentMessage"]
    assert len(await world.delivered()) == 1


# Drafts


async def test_of_several_changes_of_one_version_of_a_draft_one_counts(world: ImapWorld) -> None:
    made = await world.email.email_create_draft(call(key()), draft(world))

    def change(body: str) -> UpdateDraft:
        return UpdateDraft(mailbox=world.mailbox, draft_id=made.id, version=made.version, body=body)

    ends = await asyncio.gather(
        *(world.email.email_update_draft(call(key()), change(f"body {n}")) for n in range(3)), return_exceptions=True
    )
    assert sorted(type(end).__name__ for end in ends) == ["Conflict", "Conflict", "Draft"]
    assert len(world.system.raws(world.mailbox, "Drafts")) == 1


async def test_a_draft_that_a_person_changed_in_a_mail_program_is_at_another_version(world: ImapWorld) -> None:
    made = await world.email.email_create_draft(call(key()), draft(world))
    (kept,) = world.system.raws(world.mailbox, "Drafts")
    await asyncio.to_thread(world.system.put, world.mailbox, [(kept.replace(b"Text", b"Mine"), False)], "Drafts")
    args = SendDraft(mailbox=world.mailbox, draft_id=made.id, version=made.version)
    with pytest.raises(Conflict, match="is now at version"):
        await world.email.email_send_draft(call(key()), args)


@pytest.mark.parametrize("answer", [b"+ OK", b"APPENDUID"])
async def test_a_draft_that_was_lost_on_the_way_is_found_or_in_doubt(world: ImapWorld, answer: bytes) -> None:
    made = call(key())
    await found(world)
    world.imap.next = Fault(Action.DROP, answer=answer)
    with pytest.raises(InDoubt):
        await world.email.email_create_draft(made, draft(world))
    there = len(world.system.raws(world.mailbox, "Drafts"))
    if there:
        assert (await world.email.find_effect(made, TOOL["email_create_draft"])).body == "Text"
    else:
        with pytest.raises(InDoubt):
            await world.email.find_effect(made, TOOL["email_create_draft"])


# Servers that are away, slow or talk nonsense


async def test_servers_that_are_away_are_unavailable(world: ImapWorld) -> None:
    world.imap.refuses = True
    with pytest.raises(Unavailable):
        await found(world)
    world.imap.refuses, world.smtp.refuses = False, True
    with pytest.raises(Unavailable, match="nothing was sent"):
        await world.email.email_send_message(call(key()), send(world))
    assert await world.delivered() == []


@pytest.mark.parametrize("action", [Action.DROP, Action.STALL, Action.GARBLE])
async def test_a_search_whose_answer_is_lost_is_made_once_more_on_another_connection(
    world: ImapWorld, action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.email.imap_session._READ_SECONDS", 1)
    await world.put([Put(raw("1@x"))])
    await found(world)
    world.imap.next = Fault(action, answer=b"Search completed")
    assert len(await found(world)) == 1
    assert world.imap.connections == 2


@pytest.mark.parametrize("answer", [b"Search completed", b"UIDVALIDITY", b"BODY[]"])
async def test_an_answer_that_makes_no_sense_is_no_result(world: ImapWorld, answer: bytes) -> None:
    await world.put([Put(raw("1@x"))])
    world.imap.next = Fault(Action.GARBLE, answer=answer)
    with pytest.raises(Unavailable):
        await found(world)


async def test_more_than_there_is_room_for_is_not_taken_in(world: ImapWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.put([Put(raw("1@x", body="word word\r\n" * 3_000))])
    monkeypatch.setattr("connectors.email.imap_session._ROOM", 20_000)
    with pytest.raises(Unavailable, match="room"):
        await found(world)


async def test_a_password_that_is_refused_is_asked_for_anew_once(world: ImapWorld) -> None:
    world.passwords.password = "expired password"
    for attempt in (found(world), world.email.email_send_message(call(key()), send(world))):
        with pytest.raises(Unavailable, match="refuses the credential `imap_smtp`"):
            await attempt
    assert await world.delivered() == []
    world.passwords.after = PASSWORD
    await world.email.email_send_message(call(key()), send(world))
    assert len(await world.delivered()) == 1


async def test_a_token_is_shown_in_place_of_a_password(world: ImapWorld) -> None:
    world.passwords.token = token_for(world.mailbox)
    await world.email.email_send_message(call(key()), send(world))
    assert len(await found(world, folder="sent")) == 1
    assert len(await world.delivered()) == 1
    world.passwords.token = token_for("somebody@else.example")
    for attempt in (found(world), world.email.email_send_message(call(key()), send(world))):
        with pytest.raises(Unavailable, match="refuses the credential"):
            await attempt


async def test_a_server_that_cannot_prove_who_it_is_gets_no_password(world: ImapWorld, tmp_path: Path) -> None:
    stranger = world.back_end(ca=None)
    for attempt in (
        stranger.email_search_messages(call(), SearchEmail(mailbox=world.mailbox)),
        stranger.email_send_message(call(key()), send(world)),
    ):
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await attempt
    await stranger.close()


async def test_a_server_at_a_private_address_is_asked_only_if_it_is_declared_to_be_inside(world: ImapWorld) -> None:
    outside = world.back_end(inside=False)
    with pytest.raises(Unavailable, match="inside"):
        await outside.email_search_messages(call(), SearchEmail(mailbox=world.mailbox))
    await outside.close()


async def test_encryption_may_begin_with_starttls(world: ImapWorld) -> None:
    ports = world.system.ports
    email = world.back_end(imap=f"imap://127.0.0.1:{ports.imap}", smtp=f"smtp://127.0.0.1:{ports.submission}")
    await email.email_send_message(call(key()), send(world))
    assert "mail.larkspur.example" in await email.look(call())
    assert len(await world.delivered()) == 1
    await email.close()


# Hearing of new mail


async def test_new_mail_is_told_as_it_comes_each_message_once(world: ImapWorld) -> None:
    await world.put([Put(raw("old@x", "old"))])
    async with aclosing(world.email.watch(call(), world.mailbox)) as new:
        for number in range(2):
            world.imap.happened.clear()
            world.imap.next = Fault(Action.TELL, after=b"IDLE\r\n")
            telling = asyncio.ensure_future(anext(new))
            await world.imap.happened.wait()
            await world.arrives(raw(f"{number}@x", f"new {number}"))
            message = await telling
            assert (message.subject, message.unread) == (f"new {number}", True)


async def test_mail_that_came_while_the_server_was_away_is_told_when_it_is_back(
    world: ImapWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.email.imap_watching._LONGEST_PAUSE_SECONDS", 0)
    async with aclosing(world.email.watch(call(), world.mailbox)) as new:
        world.imap.next = Fault(Action.TELL, after=b"IDLE\r\n")
        telling = asyncio.ensure_future(anext(new))
        await world.imap.happened.wait()
        world.imap.next = Fault(Action.DROP, answer=b"EXISTS")
        await world.arrives(raw("1@x", "meanwhile"))
        assert (await telling).subject == "meanwhile"
    assert world.imap.connections > 1


async def test_where_a_server_does_not_tell_it_is_asked(world: ImapWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.email.imap_session.Session.listen", lambda _session, _seconds: False)
    monkeypatch.setattr("connectors.email.imap_watching._POLLS_SECONDS", 0.05)
    world.imap.next = Fault(Action.TELL, answer=b"Search completed")
    async with aclosing(world.email.watch(call(), world.mailbox)) as new:
        telling = asyncio.ensure_future(anext(new))
        await world.imap.happened.wait()
        await world.arrives(raw("1@x", "asked for"))
        assert (await telling).subject == "asked for"


# What servers and mailboxes are like


async def test_connections_are_used_again_and_are_few(world: ImapWorld) -> None:
    for _ in range(3):
        await found(world)
    assert world.imap.connections == 1
    await asyncio.gather(*(found(world) for _ in range(12)))
    assert world.imap.connections <= 4


async def test_a_folder_that_was_numbered_anew_has_none_of_its_former_messages(world: ImapWorld) -> None:
    await world.put([Put(raw("1@x"))])
    (before,) = await found(world)
    await world.email.close()
    for name in ("dovecot-uidlist", "dovecot.index", "dovecot.index.log", "dovecot.index.cache"):
        # What is left says which UIDVALIDITY was the last one.
        (world.system.maildir(world.mailbox) / name).unlink(missing_ok=True)
    world.email = world.back_end()
    (after,) = await found(world)
    assert after.id != before.id
    with pytest.raises(NotFound):
        await world.email.email_get_thread(call(), GetThread(mailbox=world.mailbox, thread_id=before.thread_id))


async def test_a_folder_may_have_any_name(world: ImapWorld) -> None:
    await world.put([Put(raw("1@x"))])
    await asyncio.to_thread(world.system.put, world.mailbox, [(raw("2@x", "kept"), False)], "&AMQ-ltere &- neue")
    email = world.back_end(folders={"archive": "Ältere & neue"})
    page = await email.email_search_messages(call(), SearchEmail(mailbox=world.mailbox, folder="archive"))
    assert [each.subject for each in page.messages] == ["kept"]
    await email.close()


async def test_a_large_message_is_listed_by_its_beginning_with_all_its_attachments_counted(world: ImapWorld) -> None:
    message = EmailMessage()
    message["From"], message["Subject"], message["Message-ID"] = CUSTOMER, "Large", "<large@x>"
    message.set_content("see attached")
    for n in range(3):
        message.add_attachment(bytes(100_000), maintype="image", subtype="png", filename=f"{n}.png")
    await world.put([Put(message.as_bytes())])
    (summary,) = await found(world)
    assert (summary.attachment_count, summary.snippet) == (3, "see attached")
    (shown,) = (await thread_of(world, summary)).messages
    assert [each.size for each in shown.attachments] == [100_000] * 3


async def test_a_conversation_is_known_by_its_subject_where_nothing_else_names_it(world: ImapWorld) -> None:
    await world.put(
        [
            Put(raw("1@x", "Lamp")),
            Put(raw("2@x", "AW: Re: Lamp", minutes=1)),
            Put(raw("3@x", "Re: Lamp", minutes=2, From="else@y.example")),
        ]
    )
    other, reply, first = await found(world)
    assert reply.thread_id == first.thread_id != other.thread_id
    assert len((await thread_of(world, first)).messages) == 2


async def test_a_conversation_whose_beginning_is_missing_is_one(world: ImapWorld) -> None:
    await world.put(
        [Put(raw(f"{n}@x", f"Re: {n}", minutes=n, References="<gone@x>"), folder=folder) for n, folder in _SPREAD]
    )
    messages = await found(world)
    assert len({each.thread_id for each in messages}) == 1
    newest = await found(world, limit=1)
    assert newest[0].thread_id == messages[0].thread_id
    assert len((await thread_of(world, newest[0])).messages) == 3


_SPREAD: list[tuple[int, Folder]] = [(1, "archive"), (2, "inbox"), (3, "inbox")]


async def test_it_says_what_is_there_and_what_is_missing(world: ImapWorld) -> None:
    assert world.mailbox in await world.email.look(call())
    lacking = world.back_end(folders={"drafts": "Nowhere"})
    with pytest.raises(Unavailable, match="drafts"):
        await lacking.look(call())
    await lacking.close()


async def test_a_header_cannot_be_broken_out_of_by_what_an_outsider_wrote(world: ImapWorld) -> None:
    evil = raw("1@x", "=?utf-8?q?Hi=0D=0ABcc:_mallory=40evil.example?=", References="<a@x>\x0b<b\x00@x>")
    await world.put([Put(evil)])
    (message,) = await found(world)

    await world.email.email_reply_message(
        call(key()), ReplyEmail(mailbox=world.mailbox, message_id=message.id, body="x")
    )
    (out,) = await world.delivered()
    head = out.partition(b"\n\n")[0].lower()
    assert b"\nbcc:" not in head
    assert {each.to for each in await sent_out(world)} == {(CUSTOMER,)}
