"""The journal leaves the gateway as a file: to be verified elsewhere, or to be read by people and machines."""

import csv
import json
import multiprocessing
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.journal import Kind, read_journal
from gateway.journal.ocsf import to_ocsf
from gateway.journal.snapshot import snapshot
from gateway.journal.table import to_csv
from gateway.journal.verify import check
from tests.gateway import journal_writer
from tests.gateway.journals import ENTRY, Kept
from tests.processes import remit


@pytest.fixture
def grown(kept: Kept) -> Kept:
    kept.grow(4, 3)
    return kept


@pytest.mark.process
def test_an_export_is_verified_elsewhere_with_the_public_key_alone(grown: Kept, tmp_path: Path) -> None:
    grown.append([ENTRY])
    file, key = tmp_path / "journal.jsonl", tmp_path / "journal.pub"
    key.write_text(remit("journal", "key", "--home", str(grown.home)).stdout)
    remit("journal", "export", "--output", str(file), "--home", str(grown.home))
    elsewhere = ("--key", str(key), "--home", str(tmp_path / "nowhere"))
    assert "8 entries are what was written" in remit("journal", "verify", str(file), *elsewhere).stdout

    file.write_text(file.read_text().replace("call_2", "call_3", 1))
    result = remit("journal", "verify", str(file), *elsewhere, check=False)
    assert result.returncode == 1
    assert "not good from position 3: altered" in result.stderr


@pytest.mark.process
def test_the_homes_own_journal_is_verified_against_its_published_checkpoints(grown: Kept, tmp_path: Path) -> None:
    home = ("--home", str(grown.home))
    assert "7 of them are signed for" in remit("journal", "verify", *home).stdout
    away = tmp_path / "away"
    grown.folder.rename(away)
    again = remit("journal", "verify", "--checkpoints", str(away), *home)
    assert "7 entries" in again.stdout
    [day] = away.iterdir()
    day.write_text(day.read_text().replace("\n4\n", "\n5\n"))
    result = remit("journal", "verify", "--checkpoints", str(away), *home, check=False)
    assert result.returncode == 1
    assert f"checkpoint 1 of `{day}`" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["verify"], "there is no"),
        (["verify", "--key", "nonsense"], "not a public key"),
        (["key"], "there is no"),
        (["export"], "no journal can be read"),
        (["export", "--format", "csv"], "no journal can be read"),
    ],
)
@pytest.mark.process
def test_without_a_journal_or_key_it_is_told_in_a_line_and_nothing_is_made(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    result = remit("journal", *arguments, "--home", str(tmp_path / "nowhere"), check=False)
    assert result.returncode != 0
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.process
def test_a_journal_that_was_tampered_with_is_exported_all_the_same_and_does_not_verify(
    grown: Kept, tmp_path: Path
) -> None:
    (grown.home / "checkpoints").rename(tmp_path / "away")
    for path in (tmp_path / "away").iterdir():
        path.write_text(path.read_text().replace("— ", "- "))
    (tmp_path / "away").rename(grown.folder)
    grown.append([ENTRY])
    result = remit("journal", "export", "--home", str(grown.home))
    assert "will not verify" in result.stderr
    assert len(result.stdout.splitlines()) == 1 + 8 + 2


def csv_of(kept: Kept) -> list[dict[str, str]]:
    with snapshot(kept.database) as journal:
        return list(csv.DictReader(to_csv(journal.entries())))


def test_a_spreadsheet_shows_who_what_and_why_and_runs_nothing(kept: Kept) -> None:
    said = {"tool": "=cmd|'/c calc'!A1", "client": "a\x1b[2J\u202eb", "rules": ["A1", "A2"], "reason": 'so, "yes"'}
    kept.append([replace(ENTRY, body=said, kind=Kind.DENIED)])
    [row] = csv_of(kept)
    assert row["tool"] == "'=cmd|'/c calc'!A1"
    assert row["client"] == "a\\u001b[2J\\u202eb"
    assert (row["kind"], row["rules"], row["reason"]) == ("denied", "A1 A2", 'so, "yes"')
    assert json.loads(row["body"]) == said


# What OCSF 1.3.0 requires of class 6003 and of the objects in it.
TEXT = {"type": "string", "minLength": 1}
EVENT = {
    "type": "object",
    "required": [
        *("activity_id", "category_uid", "class_uid", "type_uid", "severity_id", "time", "metadata"),
        *("actor", "api", "src_endpoint"),
    ],
    "properties": {
        "activity_id": {"enum": [0, 1, 2, 3, 4, 99]},
        "category_uid": {"const": 6},
        "class_uid": {"const": 6003},
        "type_uid": {"enum": [600300, 600301, 600302, 600303, 600304, 600399]},
        "severity_id": {"enum": [0, 1, 2, 3, 4, 5, 6, 99]},
        "status_id": {"enum": [0, 1, 2, 99]},
        "status": TEXT,
        "status_code": TEXT,
        "status_detail": TEXT,
        "time": {"type": "integer", "minimum": 10**12},
        "message": TEXT,
        "metadata": {
            "type": "object",
            "required": ["product", "version"],
            "properties": {
                "version": {"const": "1.3.0"},
                "product": {"type": "object", "required": ["vendor_name"], "properties": {"name": TEXT}},
                "sequence": {"type": "integer"},
                "uid": TEXT,
                "correlation_uid": TEXT,
            },
        },
        "actor": {"type": "object", "anyOf": [{"required": ["user"]}, {"required": ["app_name"]}]},
        "api": {"type": "object", "required": ["operation"], "properties": {"operation": TEXT}},
        "src_endpoint": {"type": "object", "required": ["name"], "properties": {"name": TEXT}},
        "resources": {"type": "array", "items": {"type": "object", "required": ["uid"]}},
        "unmapped": {"type": "object"},
    },
}


def event(kept: Kept, kind: Kind, **body: Any) -> dict[str, Any]:
    kept.append([replace(ENTRY, kind=kind, body=body)])
    with snapshot(kept.database) as journal:
        *_others, line = to_ocsf(journal.entries())
    assert line.isascii()
    shown: dict[str, Any] = json.loads(line)
    Draft202012Validator(EVENT).validate(shown)
    assert shown["type_uid"] == shown["class_uid"] * 100 + shown["activity_id"]
    return shown


@pytest.mark.parametrize(
    ("tool", "activity"),
    [
        ("crm_create_contact", 1),
        ("crm_get_contact", 2),
        ("crm_update_contact", 3),
        ("email_send_message", 99),
        ("no_such_tool", 0),
    ],
)
def test_a_security_event_says_what_kind_of_activity_a_tool_is(kept: Kept, tool: str, activity: int) -> None:
    assert event(kept, Kind.INTENT, tool=tool, person="ana@larkspur.example", agent=None)["activity_id"] == activity


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        (Kind.OUTCOME, {"status": "ok", "saw": ["con_1", "con_2"]}, 1),
        (Kind.OUTCOME, {"status": "failed", "error": "no such contact"}, 2),
        (Kind.OUTCOME, {"status": "in_doubt"}, 0),
        (Kind.DENIED, {"reason": "nobody may", "rules": ["A1"]}, 2),
        (Kind.UNKNOWN_TOOL, {}, 2),
        (Kind.INTENT, {}, 0),
        *((kind, {}, None) for kind in Kind),
    ],
)
def test_every_kind_of_entry_is_a_security_event_of_the_published_shape(
    kept: Kept, kind: Kind, body: dict[str, Any], status: int | None
) -> None:
    shown = event(kept, kind, tool="crm_get_contact", **body)
    assert status is None or shown["status_id"] == status
    assert [resource["uid"] for resource in shown.get("resources", [])] == body.get("saw", [])
    assert shown["unmapped"]["body"] == {"tool": "crm_get_contact", **body}


_PROCESSES = multiprocessing.get_context("forkserver")


@pytest.mark.process
def test_processes_killed_while_they_write_leave_every_acknowledged_entry_in_a_journal_that_verifies(
    kept: Kept,
) -> None:
    random, acknowledged = Random(20), list[str]()
    _PROCESSES.set_forkserver_preload([journal_writer.__name__])
    for turn in range(8 if kept.database_url else 20):
        told, telling = _PROCESSES.Pipe(duplex=False)
        fresh = Kept(kept.home, kept.database_url)
        process = _PROCESSES.Process(target=journal_writer.write, args=(fresh, turn, telling), daemon=True)
        process.start()
        telling.close()
        acknowledged += [told.recv() for _ in range(random.randrange(1, 60))]
        process.kill()
        with told, suppress(EOFError, OSError):  # in the middle of a message
            while True:
                acknowledged.append(told.recv())
        process.join()
    kept.append([ENTRY])
    kept.sealer().seal()
    kept_calls = {entry.call_id for entry in read_journal(kept.database, EVERY_TENANT)}
    assert set(acknowledged) <= kept_calls
    with snapshot(kept.database) as journal:
        report = check(journal.items(), kept.key)
    assert (report.finding, report.signed) == (None, len(kept_calls))
