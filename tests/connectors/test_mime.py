"""Messages are read as their reader would see them, whatever bytes they are made of."""

import re
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.email.charset import visible
from connectors.email.html import html_to_text
from connectors.email.mime import MAX_NAME, MAX_TEXT, parse, safe_name


def test_an_ordinary_message_is_read_whole() -> None:
    message = parse(
        b'From: Ana Lind <Ana@Larkspur.example>\r\nTo: a@x.example, "Doe, Jo" <Jo@x.example>\r\nCc: c@x.example\r\n'
        b"Subject: Hello\r\n there\r\nMessage-ID: <1@x>\r\nIn-Reply-To: <0@x>\r\nReferences: <r@x>\r\n <0@x>\r\n"
        b"Date: Tue, 3 Jun 2025 10:00:00 +0200\r\n\r\nHi\r\nJo"
    )
    assert (message.sender_name, message.sender_email) == ("Ana Lind", "ana@larkspur.example")
    assert message.to == ("a@x.example", "jo@x.example")
    assert message.cc == ("c@x.example",)
    assert message.subject == "Hello there"
    assert (message.message_id, message.in_reply_to, message.references) == ("1@x", "0@x", ("r@x", "0@x"))
    assert message.sent_at == datetime(2025, 6, 3, 8, 0, tzinfo=UTC)
    assert message.text == "Hi\nJo"


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        (b"=?iso-8859-1?q?Gr=FC=DFe?=", "Grüße"),
        (b"=?utf-8?b?R3LDvMOfZQ==?= und mehr", "Grüße und mehr"),
        (b"=?utf-8?q?Gr=C3=BC?=\r\n =?utf-8?q?=C3=9Fe?=", "Grüße"),
        (b"=?no-such-charset?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (b"before =?utf-8?b?!!!?= after", "before after"),
        ("Grüße".encode(), "Grüße"),
        ("Grüße".encode("latin-1"), "Grüße"),
        (b"a\x00b\x1b[31m", "ab[31m"),
        ("a\u202eb".encode(), "ab"),
    ],
)
def test_a_subject_is_decoded_and_cleaned(header: bytes, subject: str) -> None:
    assert parse(b"Subject: " + header + b"\r\n\r\n").subject == subject


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (b'"ceo@larkspur.example" <mallory@evil.example>', "mallory@evil.example"),
        (b"=?utf-8?q?=3Cceo=40larkspur.example=3E?= <mallory@evil.example>", "mallory@evil.example"),
        (b"mallory@evil.example (ceo@larkspur.example)", "mallory@evil.example"),
        (b"no address at all", ""),
        (b"<<broken@@x>", ""),
        (b"j\xf6rg@x.example", "jörg@x.example"),
        (b"(" * 5_000 + b" a@x.example", "a@x.example"),
    ],
)
def test_the_sender_is_the_real_address_and_not_one_inside_the_name(value: bytes, address: str) -> None:
    assert parse(b"From: " + value + b"\n\n").sender_email == address


@pytest.mark.parametrize("date", [b"yesterday", b"", b"Tue, 99 Jun 2025 10:00:00 +9999", b"31 Dec 9999 23:00:00 -1200"])
def test_a_date_that_is_none_is_absent(date: bytes) -> None:
    assert parse(b"Date: " + date + b"\n\n").sent_at is None


def test_a_message_without_date_was_sent_when_its_last_server_received_it() -> None:
    raw = b"Received: from a by b; Tue, 3 Jun 2025 10:00:00 +0000\nReceived: from c; Mon, 2 Jun 2025 10:00:00 +0000\n\n"
    assert parse(raw).sent_at == datetime(2025, 6, 3, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("utf-8", "Grüße".encode(), "Grüße"),
        ("us-ascii", "Grüße".encode(), "Grüße"),
        ("iso-8859-1", "„Grüße“".encode("cp1252"), "„Grüße“"),
        ("utf-8", "Grüße".encode("cp1252"), "Gr��e"),
        ("no-such", "Grüße".encode("cp1252"), "Grüße"),
        ("base64", b"plain", "plain"),
        ("gb2312", "你好".encode("gb18030"), "你好"),
        ("koi8-r", "Привет".encode("koi8-r"), "Привет"),
        ("iso-2022-jp", "日本".encode("iso-2022-jp"), "日本"),
    ],
)
def test_a_body_is_decoded_by_its_charset_unless_the_bytes_disagree(charset: str, body: bytes, text: str) -> None:
    assert parse(f"Content-Type: text/plain; charset={charset}\n\n".encode() + body).text == text


def test_the_plain_text_stands_for_its_html_alternative() -> None:
    message = EmailMessage()
    message.set_content("plain")
    message.add_alternative("<p>html</p>", subtype="html")
    assert parse(message.as_bytes()).text == "plain"


def test_html_alone_is_turned_into_text() -> None:
    raw = b"Content-Type: text/html\n\n<h1>Hi</h1><script>x()</script><style>b{}</style><ul><li>one<li>two</ul>"
    assert parse(raw).text.split() == ["Hi", "*", "one", "*", "two"]


@pytest.mark.parametrize(
    "html",
    [
        '<p style="display : NONE">secret</p>',
        '<p style="visibility:hidden">secret</p>',
        "<p hidden>secret</p>",
        '<p style="font-size:0">secret</p>',
        '<p style="font: 1px Arial">secret</p>',
        '<p style="opacity:0">secret</p>',
        '<p style="color:#fff">secret</p>',
        '<p style="color:rgb(254, 254, 254)">secret</p>',
        '<font color="white">secret</font>',
        '<div style="background:#123456"><b style="color:#123457">secret</b></div>',
        '<p style="position:absolute;left:-9999px">secret</p>',
        '<p style="max-height:0;overflow:hidden">secret</p>',
        '<style>.x, #y {display:/* */none}</style><p class="a x">secret</p><p id="y">secret</p>',
        '<p style="font-size:0">secret<b style="font-size:12px">.</b>secret</p>',
        '<div style="display:none">sec<script>x()</script>ret <b style="color:#fff">[hidden text: secret]</b></div>',
    ],
)
def test_what_html_hides_from_people_is_shown_as_hidden(html: str) -> None:
    told = html_to_text(f"<body><p>before</p>{html}<p>after</p></body>")
    assert "[hidden text: " in told
    assert "secret" not in re.sub(r"\[hidden text: [^\[\]]*\]", "", told)
    assert told.split()[0] == "before"


@pytest.mark.parametrize(
    "html",
    [
        "<!-- secret -->",
        "<template>secret</template>",
        "<script>secret()</script>",
        '<div style="display:none"><style>secret</style>&zwnj;&nbsp;&#847;</div>',
    ],
)
def test_what_is_no_text_of_a_page_is_left_out(html: str) -> None:
    assert html_to_text(f"<body><p>before</p>{html}<p>after</p></body>").split() == ["before", "after"]


def test_a_long_hidden_text_is_shown_by_its_beginning() -> None:
    told = html_to_text(f'<p>before</p><p style="display:none">{"word " * 1_000}</p>')
    assert told.startswith("before")
    assert len(told) < 300


@pytest.mark.parametrize(
    "html",
    [
        '<p style="font-size:0.9em">seen</p>',
        '<table style="font-size:0px"><tr><td style="font-size:13px">seen</td></tr></table>',
        '<a style="background:#00f;color:white">seen</a>',
        '<table bgcolor="navy"><tr><td style="color:white">seen</td></tr></table>',
        '<p style="line-height:0;overflow:hidden">seen</p>',
        "<style>@media print{.x{display:none}}</style><p class=x>seen</p>",
        '<p style="visibility:hidden"><b style="visibility:visible">seen</b></p>',
    ],
)
def test_what_html_shows_is_kept(html: str) -> None:
    assert "seen" in html_to_text(html)


def test_invisible_characters_are_left_out_of_text() -> None:
    assert visible("a\u200b\U000e0041\U000e0042b\x00\r\nc\u202e") == "ab\nc"


def test_parts_without_their_boundaries_are_read_as_one_text() -> None:
    assert parse(b"Content-Type: multipart/mixed\n\nfirst\n\nsecond").text == "first\n\nsecond"
    assert "first" in parse(b"Content-Type: multipart/mixed; boundary=a\n\n--b\n\nfirst\n--b--").text


def test_attachments_are_listed_with_name_type_and_content() -> None:
    message = EmailMessage()
    message.set_content("see attached")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="Rechnung Mär.pdf")
    message.add_attachment("a;ü", subtype="csv", filename="x.csv")
    inner = EmailMessage()
    inner["Subject"] = "inner: ../1"
    inner.set_content("inner text")
    message.add_attachment(inner)
    parsed = parse(message.as_bytes())
    assert parsed.text == "see attached"
    assert [(a.name, a.media_type) for a in parsed.attachments] == [
        ("Rechnung Mär.pdf", "application/pdf"),
        ("x.csv", "text/csv"),
        ("1.eml", "message/rfc822"),
    ]
    assert parsed.attachments[0].content == b"%PDF"
    assert parsed.attachments[1].content.decode().strip() == "a;ü"
    assert b"inner text" in parsed.attachments[2].content


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\windows\\evil.exe", "evil.exe"),
        ("..", ""),
        (".bashrc", "bashrc"),
        ("a\x00b\r\n.txt", "ab .txt"),
        ("x" * 300 + ".pdf", "x" * (MAX_NAME - 4) + ".pdf"),
        ("report\u202efdp.exe", "reportfdp.exe"),
    ],
)
def test_an_attachment_name_is_reduced_to_a_plain_file_name(given_name: str, name: str) -> None:
    assert safe_name(given_name) == name


@given(st.text())
def test_no_attachment_name_leads_anywhere_else(name: str) -> None:
    safe = safe_name(name)
    assert not set(safe) & set("/\\\x00\r\n")
    assert safe not in {".", ".."}
    assert len(safe) <= MAX_NAME


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00\x00",
        b"Content-Type: multipart/mixed\n\nno boundary",
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\nnever closed",
        b"Content-Type: text/plain; charset*=%00''x\n\nx",
        b"Content-Type: multipart/mixed; boundary*=\x00'\xff'b\n\n--b\n\nx",
        b"Content-Type: multipart/mixed; boundary*0*=x''%ff; boundary*1=b\n\nx",
        b"Content-Disposition: attachment; filename*=\"a\x00''b\"\n\nx",
        b"Content-Transfer-Encoding: base64\n\n!!!",
        b"Content-Transfer-Encoding: x-uuencode\n\nbegin 666 a\nzzz",
        b"Content-Type: message/rfc822\n\n",
        b"Content-Type: text/html\n\n<html",
        b"Content-Type: text/html; charset=utf-16\n\n<p>x",
        b"From: \xff\xfe\nTo: <>\nSubject:\n\xff",
    ],
)
def test_broken_messages_are_still_read(raw: bytes) -> None:
    parse(raw)


def test_a_bomb_of_nested_parts_is_read_without_going_down_to_its_end() -> None:
    raw = b"Subject: bomb\n" + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(5_000)
    )
    assert parse(raw).subject == "bomb"


def test_a_header_that_would_take_forever_to_take_apart_is_cut() -> None:
    parsed = parse(b"Content-Type: text/plain; " + b";" * 5_000_000 + b"\nSubject: bomb\n\ntext")
    assert (parsed.subject, parsed.text) == ("bomb", "text")


def test_a_huge_body_is_cut_and_says_so() -> None:
    parsed = parse(b"Subject: long\n\n" + b"word " * 500_000)
    assert len(parsed.text) == MAX_TEXT
    assert parsed.truncated


_HEADERS = st.sampled_from(
    b"From To Subject Date Message-ID References Content-Type Content-Disposition Content-Transfer-Encoding".split()
)
_VALUES = st.lists(
    st.sampled_from(
        b"multipart/mixed multipart/alternative text/html text/plain message/rfc822 ; boundary= b charset= utf-8 utf-7 "
        b"undefined base64 filename *0*= *= '' %00 \" \\ =? ?= ?q? ?b? < > @ a ( , :".split()
    )
    | st.sampled_from([b"\n ", b" ", b"\x00", b"\xff"])
    | st.binary(max_size=4),
    max_size=12,
).map(b"".join)
_BODIES = st.lists(
    st.sampled_from([b"--b\n", b"--b--\n", b"\n\n", b"<p style='", b"color:", b"<table>", b"<td>", b"</", b">", b"x"])
    | st.binary(max_size=8)
    | st.tuples(_HEADERS, _VALUES).map(b": ".join),
    max_size=20,
).map(b"".join)


@given(headers=st.lists(st.tuples(_HEADERS, _VALUES).map(b": ".join), max_size=6), body=_BODIES)
def test_no_bytes_can_make_reading_fail(headers: list[bytes], body: bytes) -> None:
    parsed = parse(b"\n".join([*headers, b"", body]))
    lines = [parsed.sender_name, parsed.sender_email, parsed.subject, parsed.message_id, *parsed.to, *parsed.references]
    assert all(line.isprintable() or not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in line) for line in lines)
    "".join([parsed.text, *lines, *(a.name for a in parsed.attachments)]).encode()


@given(st.binary(max_size=300))
def test_random_bytes_can_be_read(raw: bytes) -> None:
    parse(raw)
