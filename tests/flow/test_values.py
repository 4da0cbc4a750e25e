from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from gateway.flow.tracing import trace_value
from gateway.flow.values import Given, Kind
from gateway.policy.language.flow import Origin
from tests.flow.runs import kept, run

BERLIN = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("said", "value", "kind"),
    [
        ("write to Bob@Acme.example", "bob@acme.EXAMPLE", Kind.ADDRESS),
        ("write to bob@acme.example.", "Bob Smith <bob@acme.example>", Kind.ADDRESS),
        ("write to <mailto:bob@acme.example>", "bob@acme.example", Kind.ADDRESS),
        ("write to 'bob@acme.example'", "mailto:bob@acme.example", Kind.ADDRESS),
        ("write to “bob@acme.example”", "bob@acme.example", Kind.ADDRESS),
        ("write to ｂｏｂ＠ａｃｍｅ．ｅｘａｍｐｌｅ", "bob@acme.example", Kind.ADDRESS),
        ("write to anna@bücher.example", "anna@xn--bcher-kva.example", Kind.ADDRESS),
        ('{"to":"bob@acme.example","n":5}', "bob@acme.example", Kind.ADDRESS),
        ("write to o'brien@acme.example", "o'brien@acme.example", Kind.ADDRESS),
        ("see HTTPS://Acme.Example:443/%7Ebob", "https://acme.example/~bob", Kind.URL),
        ("see https://acme.example./a?b=%2f#c", "https://acme.example/a?b=%2F#c", Kind.URL),
        ("see https://bücher.example", "https://xn--bcher-kva.example/", Kind.URL),
        ("see (https://acme.example/x).", "https://acme.example/x", Kind.URL),
        ("see https://acme.example/x_(y)", "https://acme.example/x_(y)", Kind.URL),
        ("see [the page](https://acme.example/x)", "https://acme.example/x", Kind.URL),
        ('see <a href="https://acme.example/?a=1&amp;b=2">it</a>', "https://acme.example/?a=1&b=2", Kind.URL),
        ("see acme.example/x", "https://acme.example/x", Kind.URL),
        ("see acme.example", "ACME.example.", Kind.DOMAIN),
        ("refund 1,000.50", Decimal("1000.5"), Kind.NUMBER),
        ("refund 1.000,50 €", Decimal("1000.50"), Kind.NUMBER),
        ("refund EUR 1000.5", "1000.50", Kind.NUMBER),
        ("refund $1,000", 1000, Kind.NUMBER),
        ("refund 1'000'000 CHF", 1_000_000, Kind.NUMBER),
        ("refund 12,50", 12.5, Kind.NUMBER),
        ("on 2024-05-15", date(2024, 5, 15), Kind.DATE),
        ("on May 15th 2024", "2024-05-15", Kind.DATE),
        ("on May 15, 2024", "2024-05-15", Kind.DATE),
        ("on 15 May 2024", "2024-05-15", Kind.DATE),
        ("on the 15th of May", "2024-05-15", Kind.DATE),
        ("am 15. Mai 2024", "2024-05-15", Kind.DATE),
        ("am 15.05.2024", "2024-05-15", Kind.DATE),
        ("on 5/6/2024", "2024-05-06", Kind.DATE),
        ("on 5/6/2024", "2024-06-05", Kind.DATE),
        ("on 5/15/2024", "2024-05-15", Kind.DATE),
        ("on May 15th 2024 at 10:30", datetime(2024, 5, 15, 10, 30), Kind.DATE),  # noqa: DTZ001 - no zone is meant
        ("on May 15th 2024 at 3 pm", "2024-05-15T15:00", Kind.DATE),
        ("at 2024-05-15T10:30:00+02:00", datetime(2024, 5, 15, 8, 30, tzinfo=UTC), Kind.DATE),
        ("call +49 (0)170 123-4567", "0049 170 1234567", Kind.PHONE),
        ("call (555) 123-4567.", "555 123 4567", Kind.PHONE),
        ("pay to DE89 3704 0044 0532 0130 00.", "de89370400440532013000", Kind.ACCOUNT),
        ("charge 4111 1111 1111 1111", "4111-1111-1111-1111", Kind.ACCOUNT),
        ("find INV-2024-0012", "inv-2024-0012", Kind.IDENTIFIER),
        ("find (con_8f3a2b)", "con_8f3a2b", Kind.IDENTIFIER),
        ("post it to 'Quarterly  Report'", "quarterly report", Kind.TEXT),
    ],
)
def test_a_value_of_the_request_is_known_however_it_is_written(said: str, value: Given, kind: Kind) -> None:
    assert trace_value(run(said), value, kind).origin is Origin.REQUEST


@pytest.mark.parametrize(
    ("said", "value", "kind"),
    [
        ("write to bob.a@evil.example", "a@evil.example", Kind.ADDRESS),
        ("write to a@evil.example.com", "a@evil.example", Kind.ADDRESS),
        ("write to a@evil.example", "b@evil.example", Kind.ADDRESS),
        ("write to a@evil.example", "evil.example", Kind.DOMAIN),
        ("see https://evil.example/a", "evil.example", Kind.DOMAIN),
        ("write to bob@acme.example", "bob@acme.example, eve@evil.example", Kind.ADDRESS),
        ("write to bob@acme.example", "bob@acme.example <eve@evil.example>", Kind.ADDRESS),
        ("write to bob@acme.example", "bob@acme.example\r\nBcc: eve@evil.example", Kind.ADDRESS),
        ("write to bob@acme.example", "bob+eve@acme.example", Kind.ADDRESS),
        ("see https://acme.example/x", "https://acme.example/y", Kind.URL),
        ("see https://acme.example/x", "https://acme.example/X", Kind.URL),
        ("see https://acme.example/x", "https://acme.example/x?q=secret", Kind.URL),
        ("see https://acme.example/x", "https://acme.example/x#secret", Kind.URL),
        ("see https://acme.example/x", "https://acme.example@evil.example/x", Kind.URL),
        ("see https://acme.example/x", "https://evil.example\\@acme.example/x", Kind.URL),
        ("see https://acme.example/x", "https://acme.example:8443/x", Kind.URL),
        ("see https://acme.example/x", "http://acme.example/x", Kind.URL),
        ("see https://acme.example.evil.example", "https://acme.example", Kind.URL),
        ("on 15.05.2024", 15, Kind.NUMBER),
        ("at 10:30", 10, Kind.NUMBER),
        ("on June 13", 13, Kind.NUMBER),
        ("refund 1,000.50", Decimal("1.0"), Kind.NUMBER),
        ("refund 100", Decimal(1000), Kind.NUMBER),
        ("refund 100", Decimal(-100), Kind.NUMBER),
        ("on May 15th 2024", "2025-05-15", Kind.DATE),
        ("on May 15th 2024 at 10:30", "2024-05-15T11:30", Kind.DATE),
        ("at 2024-05-15T10:30:00+02:00", datetime(2024, 5, 15, 10, 30, tzinfo=UTC), Kind.DATE),
        ("call +49 170 1234567", "+49 170 12345678", Kind.PHONE),
        ("pay to DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 01", Kind.ACCOUNT),
        ("find INV-2024-0012", "INV-2024-001", Kind.IDENTIFIER),
        ("find INV-2024-0012", "2024-0012", Kind.IDENTIFIER),
    ],
)
def test_a_value_is_not_known_by_a_part_or_by_something_alike(said: str, value: Given, kind: Kind) -> None:
    assert trace_value(run(said), value, kind).origin is Origin.NOWHERE


@pytest.mark.parametrize(
    "said",
    [
        "file 13",
        "file #13",
        "File: 13.",
        "file with id 13",
        "files 13",
        "the file no. 13",
        "file_id=13",
        "file13 file:13",
    ],
)
def test_a_short_identifier_is_known_by_the_noun_before_it(said: str) -> None:
    assert trace_value(run(f"Delete {said}"), "13", Kind.IDENTIFIER, "drive.file").origin is Origin.REQUEST


@pytest.mark.parametrize(
    "said",
    [
        "on June 13",
        "on 13 June",
        "file it on 13.06.2024",
        "file 13 June",
        "file 13:30",
        "file 13 EUR",
        "event 13",
        "file. 13 people came",
        "13 file",
        "file 2013",
        "file 13a",
        "file 1.13",
        "refund 13",
    ],
)
def test_a_number_that_says_something_else_is_no_identifier(said: str) -> None:
    assert trace_value(run(said), "13", Kind.IDENTIFIER, "file").origin is Origin.NOWHERE


def test_a_name_of_letters_is_known_by_the_noun_before_it_in_the_request_alone() -> None:
    assert trace_value(run("post to channel #general"), "general", Kind.IDENTIFIER, "channel").origin is Origin.REQUEST
    assert trace_value(run("a general remark"), "general", Kind.IDENTIFIER, "channel").origin is Origin.NOWHERE


def test_an_identifier_of_a_field_is_known_in_its_namespace_alone() -> None:
    seen = kept(5, Kind.IDENTIFIER, "event")
    assert trace_value(seen, "5", Kind.IDENTIFIER, "event").origin is Origin.ORGANISATION
    assert trace_value(seen, "5", Kind.IDENTIFIER, "file").origin is Origin.NOWHERE
    long = kept("abc-123456", Kind.IDENTIFIER, "event")
    assert trace_value(long, "abc-123456", Kind.IDENTIFIER, "file").origin is Origin.NOWHERE


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize(
    "value", ["", " ", "\x00", "<>", "@", "://", "\ud800", "9" * 5000, "1e999999999", "sNaN", "٣", "a" * 100_000]
)
def test_any_value_of_any_kind_can_be_seen_and_traced(value: str, kind: Kind) -> None:
    assert trace_value(kept(value, kind, "file"), value, kind, "file").origin is Origin.ORGANISATION
