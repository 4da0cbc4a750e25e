"""What is remembered to save time changes nothing: each short way finds what the long way finds."""

import os
from base64 import b64encode
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import Tool
from connectors.registry import TOOLS
from gateway.flow import finding, rows
from gateway.flow.copied import LONGEST_LINE, RUN, STRIDE, short_lines
from gateway.flow.evidence import Source
from gateway.flow.finding import Found, find_hidden, find_named
from gateway.flow.labels import CLEAN, Label
from gateway.flow.plain import disguised, is_masked, spaced
from gateway.flow.prints import printer_of
from gateway.flow.reading import read, survey
from gateway.flow.rows import Row, seal, unseal
from gateway.flow.size import is_larger
from gateway.flow.values import Kind, Value, host_of
from gateway.policy.language.flow import Integrity, Origin
from tests.flow.runs import KEY

EXAMPLES = int(os.environ.get("FLOW_EXAMPLES", "50"))
PRINTER = printer_of(KEY)
BY_NAME = {tool.name: tool for tool in TOOLS}

ADDRESS = "mallory@evil.example"
PLAIN = [
    "<mallory@evil.example>",
    "&lt;mallory@evil.example&gt;",
    "ｍallory@evil.example",
    "m%61llory@evil.example",
    "evil.example",
    "evil。example",
    "https://evil.example/a?b=1",
    "[here](https://evil.example/x)",
    "hxxp://evil",
    "192.168.0.1/x",
    "report.pdf",
    "file",
    "13",
    "#13",
    "file_id=13",
    "LI-21036",
    "channel",
    "general",
    "order",
    "with",
    "id",
    "no.",
    "2026-03-02",
    "19.11.",
    "May",
    "15th,",
    "2024",
    "15",
    "of",
    "10:30",
    "pm",
    "DE89",
    "3704",
    "0044",
    "0532",
    "0130",
    "00",
    "1.234,50",
    "1,234",
    "DE89370400440532013000",
    "4111-1111-1111-1111",
    "+49",
    "30",
    "5550123",
    "(030)",
    "555-0123",
    "tel:+4930555",
    "EUR",
    "50%",
    "€",
    "Freundliche",
    "Grüße",
    "it's",
    "字字",
    "𝟙𝟛",
    "①",
    "«",
    "»",
    "Thanks,",
    "the",
    "and",
]
MASKED = ("m\u0430llory@evil.example", "mal\u200blory@evil.example", b64encode(ADDRESS.encode()).decode())
TOKENS = (ADDRESS, *MASKED, *PLAIN, "\n", "\n\n", ", ", "a" * 300)
WRITTEN = st.lists(st.sampled_from(TOKENS) | st.text(max_size=6), max_size=30).map(" ".join)


def values_the_long_way(chunks: list[str], marked: list[int]) -> list[Found]:
    """`find` without anything remembered."""
    found: list[Found] = []
    taken = -1
    for at in marked:
        chunk = chunks[at]
        if at <= taken:
            continue
        if web := list(finding._web_values(chunk)):
            found += web
        elif len(chunk) <= finding._LONGEST and finding._DIGIT.search(chunk):
            counted, taken = finding._counted(chunks, at)
            found += counted
    return found


def hidden_the_long_way(chunks: list[str], marked: list[int]) -> list[Found]:
    found: list[Found] = []
    for at in marked:
        for text in disguised(chunks[at]):
            parts = text.split()
            found += values_the_long_way(parts, list(range(len(parts))))
    return found


def runs_the_long_way(words: list[int]) -> set[int]:
    runs = [words[at : at + RUN] for at in range(0, len(words), STRIDE)]
    return {finding_hash(run) for run in (*(run for run in runs if len(run) == RUN), words[-RUN:])}


def finding_hash(words: list[int]) -> int:
    return hash(tuple(words)) & ((1 << 60) - 1)


def shown_the_long_way(text: str, origin: Origin) -> tuple[set[Value], set[int]]:
    plain = spaced(text)
    chunks, marked, words = PRINTER.words.take_apart(plain.split())
    clear = [at for at in marked if chunks[at].isprintable() and not is_masked(chunks[at])]
    found = values_the_long_way(chunks, clear)
    if origin is Origin.OUTSIDER:
        found += hidden_the_long_way(chunks, marked)
    if origin is Origin.REQUEST:
        found += find_named(chunks)
        runs = {finding_hash(words[at : at + n]) for n in range(1, RUN + 1) for at in range(len(words) - n + 1)}
    else:
        runs = runs_the_long_way(words)
        for line in short_lines(plain):
            of_line = PRINTER.words.read(line).words
            if len(of_line) <= LONGEST_LINE:
                runs |= runs_the_long_way(of_line)
    values = {form for each in found for form in each.forms}
    return values | {host_of(value) for value in values if value.kind is Kind.URL}, runs


@settings(max_examples=EXAMPLES, deadline=None)
@given(WRITTEN, WRITTEN, st.sampled_from([Origin.REQUEST, Origin.ORGANISATION, Origin.CUSTOMER, Origin.OUTSIDER]))
def test_a_text_shows_the_same_whatever_was_read_before(one: str, other: str, origin: Origin) -> None:
    for text in (one, f"{one} {other}", other, f"> {one}\n\n{other}", one):  # quoted, and begun again
        values, runs = shown_the_long_way(text, origin)
        prints = PRINTER.of_text(text, origin)
        assert set(prints.values) == set(map(PRINTER.of, values))
        assert set(prints.runs) == runs


@settings(max_examples=EXAMPLES, deadline=None)
@given(WRITTEN)
def test_hidden_values_are_found_the_same_whatever_was_read_before(text: str) -> None:
    chunks, marked, _ = PRINTER.words.read(text)
    assert list(find_hidden(chunks, marked)) == hidden_the_long_way(chunks, marked)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.one_of(st.integers(), st.floats(), st.decimals(), st.sampled_from(TOKENS)),
    st.sampled_from([Kind.IDENTIFIER, Kind.NUMBER, Kind.TEXT, Kind.URL, Kind.ADDRESS]),
    st.sampled_from(["", "drive.file"]),
    st.sampled_from([Origin.ORGANISATION, Origin.OUTSIDER]),
)
def test_a_field_shows_the_same_however_often_it_is_read(value: Any, kind: Kind, space: str, origin: Origin) -> None:
    known = PRINTER.of_value(value, kind, space, origin)
    anew = PRINTER._of_value(value, kind, space, is_outsiders=origin is Origin.OUTSIDER)
    again = PRINTER.of_value(value, kind, space, origin)
    assert set(known.values) == set(anew.values) == set(again.values)
    assert set(known.runs) == set(anew.runs) == set(again.runs)


CONTACTS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    id=st.sampled_from(["con_1", "con_2", "con_3"]),
    name=st.sampled_from(["Lena", "Ana", ""]),
    email=st.sampled_from(["lena@a.example", "ana@b.example", "me@larkspur.example", None]),
    account_id=st.sampled_from(["acc_1", None]),
    notes=st.sampled_from(["likes calls", ADDRESS, 13, 1.5, True]),
    created_at=st.just(datetime(2026, 3, 2, tzinfo=UTC)),
)
COMMENTS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict, id=st.sampled_from(["com_1", "com_2"]), by_staff=st.booleans(), body=WRITTEN, tags=st.lists(st.just("x"))
)
TICKETS: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    id=st.sampled_from(["tic_1", "tic_2"]),
    subject=WRITTEN,
    requester_email=st.sampled_from(["lena@a.example", "", "ana@larkspur.example"]),
    comments=st.lists(COMMENTS, max_size=1),
) | st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3)
KNOWN = st.dictionaries(
    st.sampled_from(["crm::con_1", "ticket::tic_1", "ticket::com_2", "crm:", "ticket:"]),
    st.sampled_from([Label(Integrity.ANYONE), Label(Integrity.CUSTOMER, owners=frozenset({"x"})), CLEAN]),
)


def shown(tool: Tool, output: dict[str, Any], known: dict[str, Label]) -> Counter[tuple[Any, ...]]:
    reading = read(tool, output, known, known, CLEAN, ("larkspur.example",))
    return Counter(
        (each.path, repr(value), each.author, each.is_kept, each.label, each.namespace)
        for each in reading.values
        for value in each.values
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(CONTACTS, max_size=6), st.lists(TICKETS, max_size=6), KNOWN)
def test_a_record_reads_the_same_alone_and_amid_others(
    contacts: list[dict[str, Any]], tickets: list[dict[str, Any]], known: dict[str, Label]
) -> None:
    for tool, name, records in (
        (BY_NAME["crm_search_contacts"], "contacts", contacts),
        (BY_NAME["ticket_search_tickets"], "tickets", tickets),
    ):
        alone = sum((shown(tool, {name: [record]}, known) for record in records), Counter[tuple[Any, ...]]())
        assert shown(tool, {name: records}, known) == alone


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(CONTACTS | TICKETS, max_size=20), st.integers(0, 3_000))
def test_a_look_over_a_result_tells_its_size(records: list[dict[str, Any]], most: int) -> None:
    output = {"tickets": records}
    assert (survey(BY_NAME["ticket_search_tickets"], output).size > most) is is_larger(output, most)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(WRITTEN, min_size=1, max_size=4), st.frozensets(st.text(max_size=5), max_size=3))
def test_what_is_sealed_here_reads_as_it_does_elsewhere(texts: list[str], owners: frozenset[str]) -> None:
    source = Source(Origin.OUTSIDER, owners=owners, place="mail")
    written = [Row(source, *PRINTER.of_text(text, Origin.OUTSIDER)) for text in texts]
    sealed = seal(written, KEY)
    assert list(unseal(sealed, KEY)) == list(rows._opened(sealed, KEY)) == written
