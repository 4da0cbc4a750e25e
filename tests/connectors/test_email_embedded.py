"""The embedded mailbox keeps real messages, sends nothing into the world, and does every effect once."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import CallContext
from connectors.email.compose import Outgoing, compose
from connectors.email.embedded import EmbeddedEmail
from connectors.email.mime import parse
from connectors.email.threads import Node, bare_subject, roots
from connectors.email.tools import (
    CreateDraft,
    GetThread,
    MessageSummary,
    ReadAttachment,
    ReplyEmail,
    SearchEmail,
    SendDraft,
    SendEmail,
    SentMessage,
    Thread,
    UpdateDraft,
)
from connectors.embedded.database import Database
from connectors.embedded.loading import LoadReport
from connectors.errors import Conflict, InvalidInput, NotFound, Unavailable
from connectors.records import MessageRecord

SUPPORT = "support@larkspur.example"
SALES = "sales@larkspur.example"
NOW = datetime(2025, 6, 3, 10, 0, tzinfo=UTC)


def call(key: str = "k1", tenant: str = "larkspur", now: datetime = NOW) -> CallContext:
    return CallContext(tenant=tenant, actor="ana@larkspur.example", key=key, now=now)


def raw(
    name: str = "1@x.example",
    subject: str = "Broken lamp",
    body: str = "The lamp is broken.",
    sender: str = "Jo Doe <jo@x.example>",
    minutes: int = 0,
    **headers: str,
) -> bytes:
    date = (NOW - timedelta(days=1) + timedelta(minutes=minutes)).strftime("%d %b %Y %H:%M:%S +0000")
    lines = {"From": sender, "To": SUPPORT, "Subject": subject, "Date": date, "Message-ID": f"<{name}>"}
    lines |= {header.replace("_", "-"): value for header, value in headers.items()}
    return ("".join(f"{header}: {value}\n" for header, value in lines.items() if value) + f"\n{body}\n").encode()


def record(data: bytes, mailbox: str = SUPPORT, **more: object) -> MessageRecord:
    return MessageRecord.model_validate({"source_id": parse(data).message_id, "mailbox": mailbox, "raw": data, **more})


@pytest.fixture
def database(company_url: str) -> Iterator[Database]:
    database = Database(company_url)
    yield database
    database.close()


@pytest.fixture
def email(database: Database, tmp_path: Path) -> EmbeddedEmail:
    return EmbeddedEmail(database, tmp_path / "outbox")


async def found(email: EmbeddedEmail, tenant: str = "larkspur", **args: object) -> list[MessageSummary]:
    page = await email.email_search_messages(
        call(tenant=tenant), SearchEmail.model_validate({"mailbox": SUPPORT, **args})
    )
    return page.messages


async def thread_of(email: EmbeddedEmail, message: MessageSummary | SentMessage, mailbox: str = SUPPORT) -> Thread:
    return await email.email_get_thread(call(), GetThread(mailbox=mailbox, thread_id=message.thread_id))


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "outbox").iterdir())


# Loading


async def test_loading_the_same_messages_again_changes_nothing(email: EmbeddedEmail) -> None:
    records = [record(raw(f"{n}@x")) for n in range(3)]
    assert await email.load("larkspur", records) == LoadReport(added=3)
    assert await email.load("larkspur", [*records, records[0]]) == LoadReport(unchanged=4)
    assert len(await found(email)) == 3


async def test_loading_moves_a_message_but_never_replaces_it(email: EmbeddedEmail) -> None:
    await email.load("larkspur", [record(raw(), unread=True)])
    forged = record(raw(body="something else"), folder="archive")
    assert await email.load("larkspur", [forged]) == LoadReport(changed=1)
    (message,) = await found(email)
    assert (message.folder, message.unread, message.snippet) == ("archive", False, "The lamp is broken.")


async def test_one_message_id_in_two_mailboxes_is_two_messages(email: EmbeddedEmail) -> None:
    await email.load("larkspur", [record(raw()), record(raw(), mailbox=SALES)])
    (one,), (two,) = await found(email), await found(email, mailbox=SALES)
    assert one.id != two.id
    assert one.thread_id != two.thread_id


async def test_a_broken_message_is_kept_and_readable(email: EmbeddedEmail) -> None:
    await email.load("larkspur", [MessageRecord(source_id="sha", mailbox=SUPPORT, raw=b"\x00\xff From nobody")])
    (message,) = await found(email)
    assert message.at.year == 1970
    assert (await thread_of(email, message)).messages[0].id == message.id


# Conversations


async def _threads(email: EmbeddedEmail) -> set[frozenset[str]]:
    threads: dict[str, set[str]] = {}
    for message in await found(email, limit=50):
        threads.setdefault(message.thread_id, set()).add(message.subject)
    return {frozenset(subjects) for subjects in threads.values()}


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_reply_joins_its_conversation_by_whatever_names_it(email: EmbeddedEmail, *, reverse: bool) -> None:
    records = [
        record(raw("1@x", "Lamp")),
        record(raw("2@x", "a", In_Reply_To="<1@x>")),
        record(raw("3@x", "b", In_Reply_To="<2@x>")),
        record(raw("4@x", "c", References="<1@x> <2@x>")),
        record(raw("5@x", "AW: Re: lamp", minutes=5)),
        record(raw("6@x", "Re: Lamp", sender="else@x.example", minutes=5)),
        record(raw("7@x", "Lamp", minutes=9)),
        record(raw("8@x", "SV: Lamp", sender=SUPPORT, To="jo@x.example", minutes=8)),
    ]
    for each in reversed(records) if reverse else records:
        await email.load("larkspur", [each])
    messages = await found(email, limit=50)
    together: dict[str, set[int]] = {}
    by_id = {message.id: message for message in messages}
    assert len(by_id) == 8
    for message in messages:
        together.setdefault(message.thread_id, set()).add(len(message.subject))
    assert await _threads(email) == {
        frozenset({"Lamp", "a", "b", "c", "AW: Re: lamp", "SV: Lamp"}),
        frozenset({"Re: Lamp"}),
        frozenset({"Lamp"}),
    }


_NAMES = [f"{n}@x" for n in range(6)]
_MAIL = st.lists(
    st.builds(
        lambda name, subject, parent, refs, minutes: raw(
            name,
            subject,
            minutes=minutes,
            In_Reply_To=f"<{parent}>" if parent else "",
            References=" ".join(f"<{ref}>" for ref in refs),
        ),
        st.sampled_from(_NAMES),
        st.sampled_from(["A", "Re: A", "AW: a", "B", ""]),
        st.sampled_from(["", "", *_NAMES]),
        st.lists(st.sampled_from(_NAMES), max_size=2),
        st.integers(0, 3),
    ),
    max_size=6,
    unique_by=lambda data: parse(data).message_id,
)


@settings(max_examples=40, deadline=None)
@given(mail=_MAIL, data=st.data())
async def test_conversations_come_out_the_same_in_any_order_and_number_of_loads(
    mail: list[bytes], data: st.DataObject
) -> None:
    async def load(batches: Sequence[Sequence[bytes]]) -> dict[str, str]:
        database = Database("sqlite:///file::memory:?uri=true")
        try:
            email = EmbeddedEmail(database)
            for batch in batches:
                await email.load("larkspur", [record(each) for each in batch])
            return {message.id: message.thread_id for message in await found(email, limit=50)} if mail else {}
        finally:
            database.close()

    order = data.draw(st.permutations(mail))
    cut = data.draw(st.integers(0, len(mail)))
    assert await load([mail]) == await load([order[:cut], *([each] for each in order[cut:])])


def test_forged_circles_of_replies_have_one_root() -> None:
    nodes = [Node(n, n, parent, "", by_subject=False, at=NOW) for n, parent in [("a", "b"), ("b", "c"), ("c", "a")]]
    assert set(roots(nodes).values()) == {"a"}


@pytest.mark.parametrize(
    ("subject", "bare"),
    [("Re: Re: Lamp", "lamp"), ("RE[2]: AW : SV:Lamp", "lamp"), ("Reward: Lamp", "reward: lamp"), ("回复：灯", "灯")],
)
def test_a_subject_loses_its_marks_of_a_reply(subject: str, bare: str) -> None:
    assert bare_subject(subject) == (bare, bare != subject.casefold())


# Searching and reading


async def test_a_search_needs_every_word_wherever_it_stands_in_any_case_and_script(email: EmbeddedEmail) -> None:
    await email.load(
        "larkspur",
        [
            record(raw("1@x", "Größe", "STRASSE und ÄRGER")),
            record(raw("2@x", "100%_sure", "nothing")),
            record(raw("3@x", "Other", "x", sender="Łukasz <l@y.example>")),
        ],
    )
    for query, subjects in {
        "straße ärger": ["Größe"],
        "GRÖSSE": ["Größe"],
        "größe missing": [],
        "łukasz": ["Other"],
        "%_": ["100%_sure"],
        "l@y.example": ["Other"],
        "'; drop table email_messages; --": [],
    }.items():
        assert [message.subject for message in await found(email, query=query)] == subjects


async def test_a_search_is_narrowed_by_folder_sender_and_unread(email: EmbeddedEmail) -> None:
    await email.load(
        "larkspur",
        [
            record(raw("1@x"), unread=True),
            record(raw("2@x", sender="Li@y.example"), folder="archive"),
        ],
    )
    assert len(await found(email, folder="archive")) == 1
    assert len(await found(email, sender="LI@y.example")) == 1
    assert [message.unread for message in await found(email, unread=True)] == [True]
    assert [message.unread for message in await found(email, unread=False)] == [False]


@settings(max_examples=15, deadline=None)
@given(count=st.integers(0, 12), limit=st.integers(1, 5), minutes=st.integers(0, 3))
async def test_pages_hold_every_message_once_newest_first(count: int, limit: int, minutes: int) -> None:
    database = Database("sqlite:///file::memory:?uri=true")
    try:
        email = EmbeddedEmail(database)
        await email.load("larkspur", [record(raw("other@x"), mailbox=SUPPORT, folder="archive")])
        await email.load("larkspur", [record(raw(f"{n}@x", minutes=n * minutes)) for n in range(count)])
        seen: list[MessageSummary] = []
        cursor = ""
        for _ in range(count + 1):
            args = SearchEmail(mailbox=SUPPORT, folder="inbox", limit=limit, cursor=cursor)
            page = await email.email_search_messages(call(), args)
            assert len(page.messages) <= limit
            seen += page.messages
            cursor = page.next_cursor
            if not cursor:
                break
        assert len({message.id for message in seen}) == len(seen) == count
        assert [(m.at, m.id) for m in seen] == sorted(((m.at, m.id) for m in seen), reverse=True)
    finally:
        database.close()


async def test_a_foreign_cursor_is_refused(email: EmbeddedEmail) -> None:
    await email.load("larkspur", [record(raw())])
    with pytest.raises(InvalidInput):
        await found(email, cursor="bm9uc2Vuc2U")


async def test_reading_a_conversation_shows_it_oldest_first_and_leaves_it_unread(email: EmbeddedEmail) -> None:
    await email.load(
        "larkspur",
        [
            record(raw("2@x", "Re: Lamp", "> quoted\nnew text", minutes=2, In_Reply_To="<1@x>"), unread=True),
            record(raw("1@x", "Lamp")),
        ],
    )
    newest, _ = await found(email)
    thread = await thread_of(email, newest)
    assert [message.subject for message in thread.messages] == ["Lamp", "Re: Lamp"]
    assert thread.subject == "Lamp"
    assert thread.messages[1].snippet == "new text"
    assert thread.messages[1].body == "> quoted\nnew text"
    assert (await found(email, unread=True))[0].id == newest.id


async def test_long_bodies_of_a_conversation_are_cut_and_say_so(email: EmbeddedEmail) -> None:
    await email.load("larkspur", [record(raw(body="word " * 10_000))])
    (message,) = (await thread_of(email, (await found(email))[0])).messages
    assert message.truncated
    assert len(message.body) == 20_000


def _with_attachments() -> bytes:
    message = EmailMessage()
    message["Message-ID"] = "<att@x>"
    message.set_content("see attached")
    message.add_attachment("Grüße €\n" * 3, subtype="csv", filename="../../a.csv", charset="utf-8")
    message.add_attachment(bytes(range(256)), maintype="image", subtype="png", filename="p.png")
    return message.as_bytes()


async def test_attachments_are_read_in_parts_that_make_up_the_whole(email: EmbeddedEmail) -> None:
    await email.load("larkspur", [record(_with_attachments())])
    (message,) = (await thread_of(email, (await found(email))[0])).messages
    text, image = message.attachments
    assert (message.attachment_count, text.name, image.media_type) == (2, "a.csv", "image/png")
    whole, offset = "", 0
    while True:
        args = ReadAttachment(mailbox=SUPPORT, attachment_id=text.id, offset=offset, max_bytes=3)
        part = await email.email_read_attachment(call(), args)
        assert part.encoding == "text"
        whole += part.content
        if part.next_offset is None:
            break
        offset = part.next_offset
    assert whole.strip() == ("Grüße €\n" * 3).strip()
    part = await email.email_read_attachment(
        call(), ReadAttachment(mailbox=SUPPORT, attachment_id=image.id, offset=254, max_bytes=10)
    )
    assert (part.encoding, part.content, part.next_offset, part.size) == ("base64", "/v8=", None, 256)


async def test_an_offset_beyond_an_attachment_is_refused(email: EmbeddedEmail) -> None:
    await email.load("larkspur", [record(_with_attachments())])
    image = (await thread_of(email, (await found(email))[0])).messages[0].attachments[1]
    with pytest.raises(InvalidInput, match="256"):
        await email.email_read_attachment(call(), ReadAttachment(mailbox=SUPPORT, attachment_id=image.id, offset=256))


# Sending


def send(**args: object) -> SendEmail:
    defaults = {"mailbox": SUPPORT, "to": ["jo@x.example"], "subject": "Grüße", "body": "Hällo\n"}
    return SendEmail.model_validate(defaults | args)


async def test_a_sent_message_is_in_the_sent_folder_and_the_outbox_as_a_real_message(
    email: EmbeddedEmail, tmp_path: Path
) -> None:
    await email.load("larkspur", [record(raw())])
    sent = await email.email_send_message(call(), send(cc=["li@y.example"]))
    assert (sent.to, sent.cc, sent.subject, sent.sent_at) == (["jo@x.example"], ["li@y.example"], "Grüße", NOW)
    (kept,) = await found(email, folder="sent")
    assert kept.id == sent.id
    (file,) = files(tmp_path)
    assert file.name == f"20250603T100000Z-{sent.id}.eml"
    message = parse(file.read_bytes())
    assert (message.sender_email, message.to, message.cc) == (SUPPORT, ("jo@x.example",), ("li@y.example",))
    assert (message.subject, message.text, message.sent_at) == ("Grüße", "Hällo", NOW)
    assert message.message_id.endswith("@larkspur.example")


async def test_one_key_sends_one_message(email: EmbeddedEmail, tmp_path: Path, database: Database) -> None:
    await email.load("larkspur", [record(raw())])
    first = await email.email_send_message(call("a"), send())
    again = await email.email_send_message(call("a", now=NOW + timedelta(hours=1)), send())
    other = await email.email_send_message(call("b"), send())
    assert first == again
    assert first.id != other.id
    assert len(await found(email, folder="sent")) == len(files(tmp_path)) == 2
    with database.engine.connect().execution_options(tenant="larkspur") as connection:
        assert connection.exec_driver_sql("select count(*) from email_outbox").scalar() == 2


async def test_what_cannot_be_put_into_the_outbox_is_not_sent(email: EmbeddedEmail, tmp_path: Path) -> None:
    await email.load("larkspur", [record(raw())])
    (tmp_path / "outbox").rmdir()
    with pytest.raises(Unavailable, match="nothing was sent"):
        await email.email_send_message(call(), send())
    assert await found(email, folder="sent") == []
    (tmp_path / "outbox").mkdir()
    await email.email_send_message(call(), send())
    assert len(files(tmp_path)) == 1


async def test_a_file_that_was_not_named_before_a_crash_is_named_when_the_call_is_repeated(
    email: EmbeddedEmail, tmp_path: Path
) -> None:
    await email.load("larkspur", [record(raw())])
    await email.email_send_message(call(), send())
    (file,) = files(tmp_path)
    file.rename(file.with_name(f".{file.name}.part"))
    await email.email_send_message(call(), send())
    assert files(tmp_path) == [file]


async def test_a_reply_goes_to_the_sender_alone_with_the_original_quoted_in_its_conversation(
    email: EmbeddedEmail, tmp_path: Path
) -> None:
    original = raw("1@x", "Lamp", "One\nTwo", Reply_To="mallory@evil.example", Cc="boss@x.example", References="<0@x>")
    await email.load("larkspur", [record(original)])
    (message,) = await found(email)
    reply = ReplyEmail(mailbox=SUPPORT, message_id=message.id, body="Thanks.")
    sent = await email.email_reply_message(call(), reply)
    assert (sent.to, sent.cc, sent.subject) == (["jo@x.example"], [], "Re: Lamp")
    assert sent.thread_id == message.thread_id
    written = parse(files(tmp_path)[0].read_bytes())
    assert (written.in_reply_to, written.references) == ("1@x", ("0@x", "1@x"))
    assert written.text == ("Thanks.\n\nOn 2025-06-02 at 10:00 UTC, Jo Doe <jo@x.example> wrote:\n\n> One\n> Two")


@pytest.mark.parametrize("original", [raw(name=""), raw(Message_ID=""), raw("ünusable"), raw(subject="")])
async def test_a_reply_stays_in_its_conversation_even_if_the_original_is_odd(
    email: EmbeddedEmail, original: bytes
) -> None:
    await email.load("larkspur", [MessageRecord(source_id="digest", mailbox=SUPPORT, raw=original)])
    (message,) = await found(email)
    sent = await email.email_reply_message(call(), ReplyEmail(mailbox=SUPPORT, message_id=message.id, body="Hi"))
    assert len((await thread_of(email, sent)).messages) == 2


@pytest.mark.parametrize("sender", ["", "no address", "a@b", "a@[127.0.0.1]", SUPPORT])
async def test_a_message_without_a_sender_to_answer_is_not_answered(email: EmbeddedEmail, sender: str) -> None:
    await email.load("larkspur", [record(raw(sender=sender))])
    (message,) = await found(email)
    with pytest.raises(InvalidInput):
        await email.email_reply_message(call(), ReplyEmail(mailbox=SUPPORT, message_id=message.id, body="Hi"))


@pytest.mark.parametrize(
    "outgoing",
    [
        Outgoing(SUPPORT, ["jo@x.example"], "Hi\r\nBcc: mallory@evil.example", "x"),
        Outgoing(SUPPORT, ["jo@x.example"], "Hi\x85there", "x"),
        Outgoing(SUPPORT, ["jo@x.example\nBcc: mallory@evil.example"], "Hi", "x"),
        Outgoing(SUPPORT, ["jo@x.example, mallory@evil.example"], "Hi", "x"),
        Outgoing(SUPPORT, ["mallory@evil.example (jo@x.example)"], "Hi", "x"),
        Outgoing(f"{SUPPORT}\r\nX: y", ["jo@x.example"], "Hi", "x"),
        Outgoing(SUPPORT, ["jo@x.example"], "=?utf-8?q?hidden?=", "x"),
    ],
)
def test_nothing_breaks_out_of_a_header(outgoing: Outgoing) -> None:
    with pytest.raises(InvalidInput):
        compose(outgoing, "1@x", NOW)


@given(
    subject=st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=200),
    body=st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    references=st.lists(st.text(max_size=300), max_size=40),
)
def test_whatever_is_written_has_its_own_headers_and_no_others(subject: str, body: str, references: list[str]) -> None:
    try:
        written = compose(Outgoing(SUPPORT, ["jo@x.example"], subject, body, references=references), "1@x", NOW)
    except InvalidInput:
        return
    head = written.partition(b"\r\n\r\n")[0]
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n") if line[:1] not in {b" ", b"\t"}]
    assert len(names) == len(set(names))
    allowed = {b"from", b"to", b"subject", b"date", b"message-id", b"in-reply-to", b"references"}
    assert set(names) <= allowed | {b"content-type", b"content-transfer-encoding", b"mime-version"}
    assert parse(written).to == ("jo@x.example",)


# Drafts


def draft(**args: object) -> CreateDraft:
    defaults = {"mailbox": SUPPORT, "to": ["jo@x.example"], "subject": "Hi", "body": "Text"}
    return CreateDraft.model_validate(defaults | args)


async def test_a_draft_is_changed_and_sent_exactly_as_it_stands(email: EmbeddedEmail, tmp_path: Path) -> None:
    await email.load("larkspur", [record(raw("1@x"))])
    (original,) = await found(email)
    created = await email.email_create_draft(call("1"), draft(in_reply_to=original.id))
    assert files(tmp_path) == []
    changed = await email.email_update_draft(
        call("2"), UpdateDraft(mailbox=SUPPORT, draft_id=created.id, version=1, body="Better", cc=["li@y.example"])
    )
    assert (changed.version, changed.body, changed.subject, changed.cc) == (2, "Better", "Hi", ["li@y.example"])
    sent = await email.email_send_draft(call("3"), SendDraft(mailbox=SUPPORT, draft_id=created.id, version=2))
    assert (sent.to, sent.cc, sent.thread_id) == (["jo@x.example"], ["li@y.example"], original.thread_id)
    (file,) = files(tmp_path)
    assert parse(file.read_bytes()).text == "Better"


async def test_a_draft_at_another_version_is_neither_changed_nor_sent(email: EmbeddedEmail) -> None:
    await email.load("larkspur", [record(raw())])
    created = await email.email_create_draft(call("1"), draft())
    with pytest.raises(Conflict, match="version 1, not 2"):
        await email.email_send_draft(call("2"), SendDraft(mailbox=SUPPORT, draft_id=created.id, version=2))
    with pytest.raises(Conflict):
        await email.email_update_draft(
            call("3"), UpdateDraft(mailbox=SUPPORT, draft_id=created.id, version=2, body="x")
        )
    assert await found(email, folder="sent") == []


async def test_a_sent_draft_is_gone_and_says_what_became_of_it(email: EmbeddedEmail) -> None:
    await email.load("larkspur", [record(raw())])
    created = await email.email_create_draft(call("1"), draft())
    args = SendDraft(mailbox=SUPPORT, draft_id=created.id, version=1)
    sent = await email.email_send_draft(call("2"), args)
    assert await email.email_send_draft(call("2"), args) == sent
    with pytest.raises(Conflict, match=sent.id):
        await email.email_send_draft(call("3"), args)
    with pytest.raises(Conflict, match=sent.id):
        await email.email_update_draft(
            call("4"), UpdateDraft(mailbox=SUPPORT, draft_id=created.id, version=1, body="x")
        )


async def test_an_update_that_changes_nothing_is_refused(email: EmbeddedEmail) -> None:
    await email.load("larkspur", [record(raw())])
    created = await email.email_create_draft(call("1"), draft())
    with pytest.raises(InvalidInput, match="nothing to change"):
        await email.email_update_draft(
            call("2"), UpdateDraft(mailbox=SUPPORT, draft_id=created.id, version=1, body="Text")
        )


# Whose mail it is


@pytest.mark.parametrize(("tenant", "mailbox"), [("other", SUPPORT), ("larkspur", SALES), ("larkspur", "no@x.example")])
async def test_mail_of_another_tenant_or_mailbox_is_not_found(
    email: EmbeddedEmail, tenant: str, mailbox: str, tmp_path: Path
) -> None:
    await email.load("larkspur", [record(_with_attachments()), record(raw("s@x"), mailbox=SALES)])
    await email.load("other", [record(raw("o@x"), mailbox=SALES)])
    (message,) = await found(email)
    attachment = (await thread_of(email, message)).messages[0].attachments[0].id
    kept = await email.email_create_draft(call("d"), draft())
    asked, id_ = call("x", tenant=tenant), message.id
    for attempt in (
        email.email_get_thread(asked, GetThread(mailbox=mailbox, thread_id=message.thread_id)),
        email.email_read_attachment(asked, ReadAttachment(mailbox=mailbox, attachment_id=attachment)),
        email.email_create_draft(asked, draft(mailbox=mailbox, in_reply_to=id_)),
        email.email_update_draft(asked, UpdateDraft(mailbox=mailbox, draft_id=kept.id, version=1, body="x")),
        email.email_send_draft(asked, SendDraft(mailbox=mailbox, draft_id=kept.id, version=1)),
        email.email_reply_message(asked, ReplyEmail(mailbox=mailbox, message_id=id_, body="x")),
    ):
        with pytest.raises(NotFound):
            await attempt
    assert files(tmp_path) == []


async def test_an_unknown_mailbox_can_neither_be_searched_nor_written_from(email: EmbeddedEmail) -> None:
    for attempt in (
        email.email_search_messages(call(), SearchEmail(mailbox=SUPPORT)),
        email.email_send_message(call(), send()),
        email.email_create_draft(call(), draft()),
    ):
        with pytest.raises(NotFound, match=SUPPORT):
            await attempt


async def test_two_tenants_keep_the_same_mail_apart(email: EmbeddedEmail) -> None:
    await email.load("larkspur", [record(raw())])
    await email.load("other", [record(raw()), record(raw("2@x"))])
    assert len(await found(email)) == 1
    assert len(await found(email, tenant="other")) == 2
