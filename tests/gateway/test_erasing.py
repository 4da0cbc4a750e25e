"""What was erased is gone from everywhere the gateway keeps it, and the journal still proves what it proved."""

import asyncio
import csv
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count, pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database
from gateway.erasing import erasure as erasing
from gateway.erasing.erasure import Erasure, carry_out, erased_positions, erasures, lost, ranges, record
from gateway.grants.table import GrantTable
from gateway.journal import Journal, JournalUnavailable, Kind, read_journal
from gateway.journal.chain import Key, Stored
from gateway.journal.findings import Finding
from gateway.journal.lines import from_lines, heading_of, to_lines
from gateway.journal.ocsf import to_ocsf
from gateway.journal.personal import split
from gateway.journal.snapshot import snapshot
from gateway.journal.table import to_csv
from gateway.journal.telling import why
from gateway.journal.verify import check, check_file
from gateway.settled import SettledAnswers
from tests.gateway.journals import ENTRY, NOW, Kept, change_a_byte, change_a_row

_names = count()


def erase(kept: Kept, positions: Sequence[int], *, carried_out: bool = True) -> None:
    async def run() -> None:
        journal = Journal(kept.database, timeout=30)
        await record(journal, Erasure("larkspur", ranges(sorted(positions)), "ines", "case 1017"), NOW)
        journal.close()

    SettledAnswers(kept.database), GrantTable(kept.database)
    asyncio.run(run())
    if carried_out:
        carry_out(kept.database, erasures(kept.database))


def kept_bytes(kept: Kept) -> bytes:
    """Everything that the journal's file and its write-ahead log hold."""
    path = kept.database.path
    return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))


def all_keys(database: Database) -> dict[int, bytes]:
    with database.looking(EVERY_TENANT) as connection:
        return {
            position: bytes(key) for position, key in connection.execute(text("SELECT position, key FROM journal_keys"))
        }


def finding(kept: Kept) -> Finding | None:
    with snapshot(kept.database) as journal:
        return check(journal.items(), kept.key).finding


def exported(kept: Kept, *, with_keys: bool) -> list[bytes]:
    kept.sealer().seal()
    with snapshot(kept.database) as journal:
        heading = heading_of(kept.key, *journal.count(), journal.count_keys() if with_keys else None)
        items = journal.items_with_keys() if with_keys else journal.items()
        return [f"{line}\n".encode() for line in to_lines(heading, items)]


said = st.dictionaries(
    st.sampled_from(["arguments", "error", "note", "text", "rules", "reason", "status", "something_new"]),
    st.text(min_size=1, max_size=40) | st.lists(st.text(max_size=10)),
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies=st.lists(said, min_size=1, max_size=6), chosen=st.sets(st.integers(0, 5)))
def test_whatever_is_erased_is_gone_the_rest_is_readable_and_the_chain_holds(
    kept: Kept, bodies: list[dict[str, Any]], chosen: set[int]
) -> None:
    calls = [f"call_{next(_names)}" for _ in bodies]
    kept.append(replace(ENTRY, call_id=call, body=body) for call, body in zip(calls, bodies, strict=True))
    written = dict(zip(calls, bodies, strict=True))
    found = {entry.call_id: entry for entry in read_journal(kept.database, EVERY_TENANT) if entry.call_id in written}
    assert {call: entry.body for call, entry in found.items()} == written

    doomed = {call for index, call in enumerate(calls) if index in chosen and split("intent", written[call])[1]}
    doomed_keys = [all_keys(kept.database)[found[call].position] for call in doomed]
    erase(kept, [found[call].position for call in doomed])

    for entry in read_journal(kept.database, EVERY_TENANT):
        if entry.call_id in written:
            clear, _ = split("intent", written[entry.call_id])
            gone = entry.call_id in doomed
            assert (entry.erased, entry.body) == (gone, clear if gone else written[entry.call_id])
    assert finding(kept) is None
    assert lost(kept.database, erasures(kept.database)) == ()
    if not kept.database_url:
        assert not any(key in kept_bytes(kept) for key in doomed_keys)


def test_no_personal_word_stands_in_the_file_even_before_it_is_erased(kept: Kept) -> None:
    if kept.database_url:
        pytest.skip("a server's files are its own")
    kept.append(
        [replace(ENTRY, body={"tool": "crm_get_contact", "arguments": {"email": "kim.larsen@customer.example"}})]
    )
    assert b"crm_get_contact" in kept_bytes(kept)
    assert b"kim.larsen" not in kept_bytes(kept)


def test_keys_and_kept_answers_leave_no_trace_in_the_file_and_its_log(kept: Kept) -> None:
    if kept.database_url:
        pytest.skip("a server's files are its own")
    kept.append(replace(ENTRY, call_id=f"apr_{number}") for number in range(600))
    answers = SettledAnswers(kept.database)
    for number in range(0, 600, 3):
        asyncio.run(answers.keep("larkspur", f"apr_{number}", json.dumps({"secret": f"<kim-{number}>" * 400})))
    doomed = [position for position in all_keys(kept.database) if position % 2]
    keys = all_keys(kept.database)
    kept_answers = {entry.call_id for entry in read_journal(kept.database, EVERY_TENANT) if entry.position % 2}
    erase(kept, doomed)
    left = kept_bytes(kept)
    assert not [position for position in doomed if keys[position] in left]
    assert all(key in left for position, key in keys.items() if position not in doomed)
    for number in range(0, 600, 3):
        assert (f"<kim-{number}>".encode() in left) == (f"apr_{number}" not in kept_answers)


def test_what_was_recorded_and_not_carried_out_is_carried_out_the_next_time(kept: Kept) -> None:
    kept.append(replace(ENTRY, call_id=f"call_{number}") for number in range(5))
    erase(kept, [2, 3, 5], carried_out=False)
    assert not any(entry.erased for entry in read_journal(kept.database, EVERY_TENANT))
    assert carry_out(kept.database, erasures(kept.database)) == 3
    assert [entry.position for entry in read_journal(kept.database, EVERY_TENANT) if entry.erased] == [2, 3, 5]
    assert carry_out(kept.database, erasures(kept.database)) == 0


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_erasure_that_breaks_off_anywhere_is_finished_by_the_next(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    kept.append(replace(ENTRY, call_id=f"apr_{number}") for number in range(4))
    asyncio.run(SettledAnswers(kept.database).keep("larkspur", "apr_1", "{}"))
    steps, whole = count(), erasing._destroy

    def broken(*arguments: Any) -> int:
        if next(steps) == after:
            raise KeyboardInterrupt
        return whole(*arguments)

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(erasing, "_destroy", broken)
        patched.setattr(erasing, "_leave_no_trace", broken)
        erase(kept, [1, 3])
    assert erased_positions(erasures(kept.database), "larkspur") == ((1, 1), (3, 3))
    carry_out(kept.database, erasures(kept.database))
    assert [entry.position for entry in read_journal(kept.database, EVERY_TENANT) if entry.erased] == [1, 3]
    assert finding(kept) is None


def test_an_answer_goes_with_its_call_or_not_at_all(kept: Kept) -> None:
    kept.append([replace(ENTRY, call_id="apr_1"), replace(ENTRY, call_id="apr_2")])
    answers = SettledAnswers(kept.database)
    asyncio.run(answers.keep("larkspur", "apr_1", "{}"))
    asyncio.run(answers.keep("larkspur", "apr_2", "{}"))
    positions = {entry.call_id: entry.position for entry in read_journal(kept.database, EVERY_TENANT)}
    erase(kept, [positions["apr_1"]])
    assert asyncio.run(answers.find("larkspur", "apr_1")) is None
    assert asyncio.run(answers.find("larkspur", "apr_2")) == "{}"


def test_while_somebody_reads_the_file_it_is_said_that_copies_are_left(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kept.database_url:
        pytest.skip("a server has no log that readers hold")
    monkeypatch.setattr(erasing, "_CHECKPOINT_TRIES", 1)
    kept.append([ENTRY, ENTRY])
    [key, _] = all_keys(kept.database).values()
    with kept.database.at_one_moment(EVERY_TENANT) as reader:
        reader.execute(text("SELECT count(*) FROM journal")).scalar()
        with pytest.raises(JournalUnavailable, match="keeps copies of keys"):
            erase(kept, [1])
    assert key in kept_bytes(kept)
    carry_out(kept.database, erasures(kept.database))
    assert key not in kept_bytes(kept)


def test_a_key_that_somebody_destroyed_without_a_record_is_told(kept: Kept) -> None:
    kept.append(replace(ENTRY, call_id=f"call_{number}") for number in range(6))
    erase(kept, [1, 2])
    with kept.database.changing(EVERY_TENANT) as connection:
        connection.execute(text("DELETE FROM journal_keys WHERE position IN (4, 5)"))
        connection.execute(text("UPDATE journal_keys SET key = :key WHERE position = 6"), {"key": bytes(32)})
    assert lost(kept.database, erasures(kept.database)) == ((4, 6),)
    assert finding(kept) is None, "the chain does not cover keys"
    assert [entry.erased for entry in read_journal(kept.database, EVERY_TENANT)] == [
        True,
        True,
        False,
        True,
        True,
        True,
        False,
    ]


def test_a_key_opens_no_other_entry(kept: Kept) -> None:
    kept.append([ENTRY, replace(ENTRY, tenant="other"), replace(ENTRY, call_id="call_2")])
    keys = all_keys(kept.database)
    with kept.database.changing(EVERY_TENANT) as connection:
        for position, key in zip((2, 3, 1), keys.values(), strict=True):
            connection.execute(
                text("UPDATE journal_keys SET key = :key WHERE position = :at"), {"at": position, "key": key}
            )
    assert all(entry.erased for entry in read_journal(kept.database, EVERY_TENANT))


@pytest.mark.parametrize("with_keys", [False, True])
def test_an_export_of_an_erased_journal_verifies_and_holds_nothing_of_it(kept: Kept, with_keys: bool) -> None:
    kept.append(replace(ENTRY, call_id=f"call_{number}") for number in range(4))
    keys = all_keys(kept.database)
    erase(kept, [2, 3])
    lines = exported(kept, with_keys=with_keys)
    assert check_file(from_lines(lines), kept.key).finding is None
    shown = {position for position, key in keys.items() if key.hex().encode() in b"".join(lines)}
    assert shown == ({1, 4} if with_keys else set())
    rows = [item for item in from_lines(lines) if isinstance(item, Stored | Key)]
    assert len(rows) == (7 if with_keys else 5)


def test_every_change_of_an_export_with_keys_is_found(kept: Kept) -> None:
    kept.append(replace(ENTRY, call_id=f"call_{number}") for number in range(4))
    erase(kept, [2])
    lines, random_ = exported(kept, with_keys=True), Random(4)
    for change in (change_a_byte, change_a_row):
        for _ in range(150):
            altered = change(lines, random_)
            if b"".join(altered) != b"".join(lines):
                assert check_file(from_lines(altered), kept.key).finding, set(altered) ^ set(lines)


def test_whoever_reads_an_erased_entry_is_told_so(kept: Kept) -> None:
    body = {"tool": "crm_get_contact", "arguments": {"contact_id": "con_kim"}, "status": "failed", "error": "no Kim"}
    kept.append([replace(ENTRY, kind=Kind.OUTCOME, body=body), replace(ENTRY, kind=Kind.OUTCOME, body=body)])
    erase(kept, [1])
    recorded = erasures(kept.database)
    with snapshot(kept.database) as journal:
        table = list(csv.DictReader(to_csv(journal.entries())))
    with snapshot(kept.database) as journal:
        events = [json.loads(line) for line in to_ocsf(journal.entries())]
    assert [row["erased"] for row in table] == ["erased", "", ""]
    assert [row["error"] for row in table] == ["", "no Kim", ""]
    assert [event["unmapped"].get("erased") for event in events] == [True, None, None]
    assert events[1]["status_detail"] == "no Kim"
    entries = list(read_journal(kept.database, EVERY_TENANT))
    gone = {entry.position: each.why for entry in entries for each in erasing.erased_by(entry, recorded)}
    page = "\n".join(why(entries[:1], gone))
    assert "what it said is erased on request, by ines: case 1017" in page
    assert "Kim" not in page
    assert "without a record" in "\n".join(why(entries[:1], {}))
    assert "what it said is erased" in "\n".join(why(entries[:1]))
    assert "is erased" in "\n".join(why(entries[2:]))


def test_an_erasure_of_very_many_ranges_is_recorded_in_several_entries(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "_RANGES_IN_ENTRY", 3)
    monkeypatch.setattr(erasing, "_AT_ONCE", 2)
    kept.append(replace(ENTRY, call_id=f"call_{number}") for number in range(20))
    erase(kept, [1, 3, 5, *range(8, 16), 18, 20])
    recorded = erasures(kept.database)
    assert [len(each.positions) for each in recorded] == [3, 3]
    assert [entry.position for entry in read_journal(kept.database, EVERY_TENANT) if entry.erased] == [
        1,
        3,
        5,
        *range(8, 16),
        18,
        20,
    ]


@given(st.sets(st.integers(1, 60)))
def test_ranges_hold_exactly_the_positions_that_they_are_made_of(positions: set[int]) -> None:
    made = ranges(sorted(positions))
    assert {place for first, last in made for place in range(first, last + 1)} == positions
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(made))
