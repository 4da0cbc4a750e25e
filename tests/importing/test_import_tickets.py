import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.importing import Kind, UnreadableSource
from connectors.records import TicketRecord
from tests.importing.recorder import NOW, Imported, bring_in

TICKET: dict[str, Any] = {
    "id": 7,
    "subject": "Parcel lost",
    "description": "Where is it?",
    "requester": {"name": "Ada Byron", "email": "ada@mill.example"},
    "status": "open",
    "created_at": "2024-05-01T10:00:00Z",
}


async def from_csv(tmp_path: Path, content: str) -> Imported:
    path = tmp_path / "tickets.csv"
    path.write_text(content)
    return await bring_in(Kind.TICKETS, path)


async def from_jsonl(tmp_path: Path, *tickets: dict[str, Any] | str) -> Imported:
    path = tmp_path / "tickets.jsonl"
    lines = [each if isinstance(each, str) else json.dumps(each) for each in tickets]
    path.write_text("\n".join(lines))
    return await bring_in(Kind.TICKETS, path)


async def test_a_row_is_a_ticket_with_its_first_comment(tmp_path: Path) -> None:
    content = (
        "Ticket ID,Title,Description,Customer Name,Customer Email,State,Priority,Labels,Created,Updated\n"
        '7,Parcel lost,"Where\nis it?",Ada Byron,Ada@mill.example,On-Hold,P1,"Shipping, EU/UK",'
        "2024-05-01T10:00:00+02:00,2024-05-02T10:00:00Z\n"
    )
    found = (await from_csv(tmp_path, content)).loaded.one(TicketRecord)
    assert (found.source_id, found.subject, found.status, found.priority) == ("7", "Parcel lost", "pending", "urgent")
    assert (found.requester_name, found.requester_email) == ("Ada Byron", "ada@mill.example")
    assert found.tags == ["shipping", "eu-uk"]
    assert found.created_at == datetime(2024, 5, 1, 8, 0, tzinfo=UTC)
    (comment,) = found.comments
    assert (comment.body, comment.author, comment.by_staff) == ("Where\nis it?", "Ada Byron", False)


async def test_rows_with_the_same_id_are_one_thread_wherever_they_stand(tmp_path: Path) -> None:
    content = (
        "id,subject,requester,created_at,comment,comment_author,comment_date,is_public\n"
        "1,One,a@b.example,2024-05-01T10:00Z,first,a@b.example,2024-05-01T10:00Z,yes\n"
        "2,Two,b@b.example,2024-05-01T11:00Z,other,b@b.example,2024-05-01T11:00Z,yes\n"
        "1,One,a@b.example,2024-05-01T10:00Z,third,Kim,2024-05-03T10:00Z,no\n"
        "1,One,a@b.example,2024-05-01T10:00Z,second,Kim,2024-05-02T10:00Z,yes\n"
    )
    done = await from_csv(tmp_path, content)
    one = next(each for each in done.loaded.all(TicketRecord) if each.source_id == "1")
    assert [(each.body, each.kind) for each in one.comments] == [
        ("first", "public"),
        ("second", "public"),
        ("third", "internal"),
    ]
    assert (done.report.read, done.report.added) == (2, 2)
    assert one.updated_at == datetime(2024, 5, 3, 10, 0, tzinfo=UTC)


async def test_a_line_of_json_is_a_ticket_with_its_comments(tmp_path: Path) -> None:
    comments = [
        {
            "body": "Looking into it",
            "author": {"name": "Kim", "email": "kim@larkspur.example"},
            "role": "agent",
            "created_at": 1714644000,
        },
        {"text": "Call the depot", "author": "Kim", "public": False, "timestamp": "2024-05-02T11:00:00Z"},
        {"message": "Thanks", "from": "Ada <ada@mill.example>", "date": "Thu, 02 May 2024 12:00:00 +0000"},
    ]
    found = (await from_jsonl(tmp_path, {**TICKET, "comments": comments})).loaded.one(TicketRecord)
    assert [(each.body, each.author, each.by_staff, each.kind) for each in found.comments] == [
        ("Where is it?", "Ada Byron", False, "public"),
        ("Looking into it", "Kim", True, "public"),
        ("Call the depot", "Kim", True, "internal"),
        ("Thanks", "Ada", False, "public"),
    ]


async def test_a_description_that_repeats_the_first_comment_is_taken_once(tmp_path: Path) -> None:
    found = await from_jsonl(tmp_path, {**TICKET, "comments": [{"body": "Where is it? ", "author": "Ada"}]})
    assert len(found.loaded.one(TicketRecord).comments) == 1


async def test_nobody_is_taken_for_staff_unless_the_export_says_so(tmp_path: Path) -> None:
    comments = [{"body": "I am the support lead, refund me", "author": "support@larkspur.example"}]
    found = (await from_jsonl(tmp_path, {**TICKET, "comments": comments})).loaded.one(TicketRecord)
    assert [each.by_staff for each in found.comments] == [False, False]


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("Reopened", "open"),
        ("In Progress", "open"),
        ("waiting_on_customer", "pending"),
        ("RESOLVED", "solved"),
        ("", "open"),
    ],
)
async def test_the_states_of_other_help_desks_are_mapped(tmp_path: Path, given: str, status: str) -> None:
    assert (await from_jsonl(tmp_path, {**TICKET, "status": given})).loaded.one(TicketRecord).status == status


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "weird"}, "status: unknown value `weird`; expected one like closed, new, open, pending, solved"),
        ({"priority": 1}, "priority: unknown value `1`; expected one like high, low, normal, urgent"),
        ({"requester": "nobody"}, "requester_email: not an email address: an email address must have an @-sign"),
        (
            {"created_at": "yesterday"},
            "created_at: not a timestamp: `yesterday`; expected one like 2024-05-14T09:30:00Z",
        ),
        ({"created_at": None}, "created_at: missing"),
        ({"id": None}, "id: missing"),
        ({"subject": ""}, "subject: string should have at least 1 character"),
        ({"subject": ["a"]}, "subject: expected text"),
        ({"description": ""}, "comments: list should have at least 1 item after validation, not 0"),
        ({"comments": "none"}, "comments: expected a list of objects"),
        (
            {"comments": [{"body": "x", "date": "soon"}]},
            "comments[1].at: not a timestamp: `soon`; expected one like 2024-05-14T09:30:00Z",
        ),
        ({"comments": [{"body": "x", "public": "maybe"}]}, "comments[1].public: neither yes nor no: `maybe`"),
    ],
)
async def test_a_bad_ticket_is_rejected_with_the_field_and_the_reason(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    done = await from_jsonl(tmp_path, {**TICKET, "id": 1}, {**TICKET, **change})
    assert [each.source_id for each in done.loaded.all(TicketRecord)] == ["1"]
    assert [(each["line"], each["reason"]) for each in done.rejects] == [(2, reason)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line: not JSON: expecting property name enclosed in double quotes at column 2"),
        ("[1]", 'line: expected a JSON object, such as {"id": 1, "subject": "…"}'),
        ('{"id": NaN}', "line: not JSON: not UTF-8, nested too deeply, or with a number that is none"),
        ('{"id":' + "[" * 100_000, "line: not JSON: not UTF-8, nested too deeply, or with a number that is none"),
    ],
)
async def test_a_line_that_is_no_json_object_is_rejected(tmp_path: Path, line: str, reason: str) -> None:
    done = await from_jsonl(tmp_path, TICKET, line)
    assert [(each["line"], each["reason"]) for each in done.rejects] == [(2, reason)]
    assert done.report.added == 1


async def test_a_time_without_zone_is_read_as_utc_and_counted(tmp_path: Path) -> None:
    done = await from_jsonl(tmp_path, {**TICKET, "created_at": "2024-05-01 10:00:00"})
    assert done.loaded.one(TicketRecord).created_at == datetime(2024, 5, 1, 10, 0, tzinfo=UTC)
    assert [(each.what, each.count) for each in done.report.readiness.signs] == [
        ("timestamp without zone, read as UTC", 1)
    ]


async def test_text_that_a_database_may_refuse_is_replaced_and_counted(tmp_path: Path) -> None:
    done = await from_jsonl(tmp_path, {**TICKET, "description": "a\u0000b\ud800c"})
    assert done.loaded.one(TicketRecord).comments[0].body == "a\ufffdb\ufffdc"
    assert [each.what for each in done.report.readiness.signs] == ["characters that no text may hold, replaced"]


async def test_only_open_tickets_without_a_change_for_ninety_days_are_stale(tmp_path: Path) -> None:
    old, recent = (NOW - timedelta(days=91)).isoformat(), (NOW - timedelta(days=89)).isoformat()
    done = await from_jsonl(
        tmp_path,
        {**TICKET, "id": 1, "created_at": old},
        {**TICKET, "id": 2, "created_at": old, "status": "closed"},
        {**TICKET, "id": 3, "created_at": old, "updated_at": recent},
    )
    stale = done.report.readiness.stale
    assert (stale.count, stale.examples) == (1, ["tickets.jsonl, line 1"])


async def test_one_big_json_array_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSource, match="is one JSON array; expected one ticket a line"):
        await from_jsonl(tmp_path, json.dumps([TICKET]))


async def test_a_table_without_the_needed_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UnreadableSource, match=r"no column for subject and requester_email .*its first line is: id, colour"
    ):
        await from_csv(tmp_path, "id,colour\n1,red\n")
