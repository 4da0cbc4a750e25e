"""Replay: what was recorded is decided again, and exactly what a change changes is told."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.registry import TOOLS
from gateway.call import call_tool
from gateway.cli import app
from gateway.database import Database
from gateway.gateway import ToolCall
from gateway.journal import Entry, Journal, Kind
from gateway.policy.decision import Verdict
from gateway.policy.judge import Policy
from gateway.policy.language.flow import UNTOUCHED, Flow, Integrity, Origin
from gateway.policy.language.flow_written import assumed
from gateway.policy.load import load_policy
from gateway.principal import Principal
from gateway.replay import Replay, replay
from gateway.settings import SHIPPED_POLICIES
from tests.gateway.conftest import OpenGateway
from tests.policy.making import policy, team_rules

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
KINDS = {Verdict.ALLOW: Kind.INTENT, Verdict.ASK: Kind.PENDING, Verdict.DENY: Kind.DENIED}
ANA = Principal("acme", person="ana")


def recorded(
    number: int, who: Principal, tool: str, args: Mapping[str, object], under: Policy | Verdict, **more: Any
) -> Entry:
    """What the gateway records of a call: decided by a policy, or with a verdict of one's own."""
    at = START + timedelta(minutes=number)
    called = next(each for each in TOOLS if each.name == tool)
    values = called.input.model_validate_json(json.dumps(args))
    given = values.model_dump()
    flow = assumed(UNTOUCHED, called, given)
    verdict = under if isinstance(under, Verdict) else under.decide(who, tool, given, at, flow=flow).verdict
    body: dict[str, Any] = {
        "tool": tool,
        "person": who.person,
        "agent": who.agent,
        "arguments": values.model_dump(mode="json"),
    }
    known = {"flow": flow.told()} if isinstance(under, Policy) else {}
    body |= {"verdict": verdict, "rules": [], **known, **more}
    body = {name: value for name, value in body.items() if name != "flow" or value is not None}
    return Entry(call_id=f"call_{number}", tenant=who.tenant, principal=who.name, at=at, kind=KINDS[verdict], body=body)


def written(database: Database, entries: Iterable[Entry]) -> Database:
    async def write() -> None:
        journal = Journal(database, timeout=30)
        for entry in entries:
            await journal.append(entry)
        journal.close()

    asyncio.run(write())
    return database


def replayed(database: Database, entries: Iterable[Entry], old: Policy, new: Policy, window: timedelta = DAY) -> Replay:
    return replay(written(database, entries), old, new, TOOLS, window)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def refund(amount: str) -> Mapping[str, object]:
    return {"order_id": "ord_0001", "amount": amount, "currency": "EUR", "reason": "late"}


def changed_shipped(tmp_path: Path) -> tuple[Policy, Policy, Path]:
    """The shipped policy, and it with the team's own limit lowered from 50 to 40."""
    folder = tmp_path / "policies"
    folder.mkdir()
    for file in SHIPPED_POLICIES.glob("*.c*"):
        text = file.read_text("utf-8").replace('"args.amount <= 50", allow', '"args.amount <= 40", allow')
        (folder / file.name).write_text(text.replace('"50 < args.amount <= 500"', '"40 < args.amount <= 500"'), "utf-8")
    return load_policy(SHIPPED_POLICIES, TOOLS), load_policy(folder, TOOLS), folder


def many(old: Policy, count: int) -> list[Entry]:
    random, entries = Random(7), []
    people = ["ana.ruiz", "jonas.weber", "maya.okafor", "tom.lindqvist", "nobody"]
    for number in range(count):
        who = Principal("larkspur", f"{random.choice(people)}@larkspur.example")
        amount = str(Decimal(random.randrange(1, 9000)) / 100)
        entries.append(recorded(number, who, "crm_issue_refund", refund(amount), old))
    return entries


def test_replay_finds_exactly_the_planted_flips(tmp_path: Path, database: Database) -> None:
    old, new, _ = changed_shipped(tmp_path)
    entries = many(old, 300)
    planted = {
        entry.call_id
        for entry in entries
        if entry.body["person"].startswith(("ana", "jonas")) and 40 < Decimal(entry.body["arguments"]["amount"]) <= 50
    }
    found = replayed(database, entries, old, new)
    assert planted
    assert (found.decisions, found.flipped, found.aged) == (300, len(planted), 0)
    assert {(flip.before, flip.after, flip.rules_before, flip.rules_after, flip.tool) for flip in found.flips} == {
        (Verdict.ALLOW, Verdict.ASK, ("F01",), ("F02",), "crm_issue_refund")
    }
    assert {call for flipped in found.flips.values() for call in flipped.calls} <= planted
    assert not any(flip.is_looser for flip in found.flips)


def test_the_same_policy_flips_nothing(tmp_path: Path, database: Database) -> None:
    old, _, _ = changed_shipped(tmp_path)
    found = replayed(database, many(old, 50), old, old)
    assert (found.decisions, found.flips, found.aged) == (50, {}, 0)


def test_what_an_older_policy_decided_otherwise_is_no_flip_of_this_change(tmp_path: Path, database: Database) -> None:
    old, new, _ = changed_shipped(tmp_path)
    ana = Principal("larkspur", "ana.ruiz@larkspur.example")
    entries = [
        recorded(
            number, ana, "crm_issue_refund", refund(amount), Verdict.DENY, flow={"origins": {"order_id": "nowhere"}}
        )
        for number, amount in ((1, "10"), (2, "45"))
    ]
    found = replayed(database, entries, old, new)
    assert (found.decisions, found.flipped, found.aged) == (2, 1, 2)


def test_amounts_and_dates_are_compared_as_such(database: Database) -> None:
    old = policy(team_rules("crm_update_deal | args.amount is None or args.amount < 10.5 | allow"))
    new = policy(team_rules("crm_update_deal | args.close_date is None or args.close_date < '2026-06-01' | allow"))
    deal = {"deal_id": "dea_0001", "version": 1}
    entries = [
        recorded(1, ANA, "crm_update_deal", {**deal, "amount": "10.49"}, old),
        recorded(2, ANA, "crm_update_deal", {**deal, "amount": "10.50", "close_date": "2026-05-31"}, old),
        recorded(3, ANA, "crm_update_deal", {**deal, "amount": "9", "close_date": "2026-06-01"}, old),
    ]
    found = replayed(database, entries, old, new)
    assert {(flip.before, flip.after): flipped.calls for flip, flipped in found.flips.items()} == {
        (Verdict.DENY, Verdict.ALLOW): ["call_2"],
        (Verdict.ALLOW, Verdict.DENY): ["call_3"],
    }
    assert [flip.is_looser for flip in found.flips if flip.before is Verdict.DENY] == [True]


def test_what_a_run_did_before_is_taken_from_the_journal(database: Database) -> None:
    old = policy(team_rules("crm_issue_refund |  | allow"))
    new = policy(
        team_rules(
            "crm_issue_refund |  | allow",
            "crm_issue_refund | args.amount + total('crm_issue_refund', 'amount') > 30 | deny",
        )
    )
    entries = [recorded(number, ANA, "crm_issue_refund", refund("10"), old) for number in range(6)]
    failed = Entry(
        call_id="call_1", tenant="acme", principal=ANA.name, at=START + timedelta(minutes=1), kind=Kind.OUTCOME,
        body={"tool": "crm_issue_refund", "person": "ana", "agent": None, "status": "failed"},
    )  # fmt: skip
    elsewhere = recorded(9, Principal("acme", person="eve"), "crm_issue_refund", refund("10"), old)
    found = replayed(database, [*entries[:2], failed, *entries[2:], elsewhere], old, new)
    # Calls 0, 2 and 3 use up the 30; call 1 failed, so it does not count.
    assert [flipped.calls for flipped in found.flips.values()] == [["call_4", "call_5"]]


def test_a_run_is_forgotten_after_its_window(database: Database) -> None:
    old = policy(team_rules("crm_issue_refund |  | allow"))
    new = policy(team_rules("crm_issue_refund | calls('crm_*') == 0 | allow"))
    entries = [recorded(number, ANA, "crm_issue_refund", refund("10"), old) for number in (0, 5, 30)]
    found = replayed(database, entries, old, new, window=timedelta(minutes=10))
    assert [flipped.calls for flipped in found.flips.values()] == [["call_5"]]


def test_what_cannot_be_decided_again_is_counted_with_the_reason(database: Database) -> None:
    old = policy(team_rules("crm_get_contact |  | allow"))
    kept = recorded(1, ANA, "crm_get_contact", {"contact_id": "con_0001"}, old)
    gone = Entry(**{**kept.__dict__, "body": {**kept.body, "tool": "crm_drop_table"}})
    other = Entry(**{**kept.__dict__, "body": {**kept.body, "arguments": {"id": "con_0001"}}})
    hidden = Entry(
        **{
            **kept.__dict__,
            "kind": Kind.UNKNOWN_TOOL,
            "body": {"tool": "crm_get_account", "person": "ana", "agent": None},
        }
    )
    new = policy(team_rules("crm_get_* |  | allow"))
    found = replayed(database, [kept, gone, other, hidden], old, new)
    assert (found.decisions, found.flips) == (1, {})
    assert found.undecidable == {
        "there is no tool `crm_drop_table` any more": 1,
        "`crm_get_contact` takes other arguments than when it was recorded": 1,
        "the caller did not see the tool then, so the arguments were not recorded": 1,
    }


MAIL = {"mailbox": "a@acme.example", "to": ["b@x.example"], "subject": "s", "body": "b"}


def mail_rules(*more: str) -> Policy:
    return policy(team_rules("email_send_message |  | allow", *more))


def test_the_data_flow_is_taken_from_the_entries(database: Database) -> None:
    old = mail_rules()
    new = mail_rules("email_send_message | run.saw_untrusted and origin(args.to) == 'outsider' | ask")
    flows = [
        Flow(),
        Flow(origins={"to": Origin.OUTSIDER}, integrity=Integrity.ANYONE),
        Flow(origins={"to": Origin.REQUEST}, integrity=Integrity.ANYONE),
    ]
    entries = [
        recorded(number, ANA, "email_send_message", MAIL, old, flow=flow.told()) for number, flow in enumerate(flows)
    ]
    found = replayed(database, entries, old, new)
    assert (found.decisions, found.aged, found.undecidable) == (3, 0, {})
    assert [flipped.calls for flipped in found.flips.values()] == [["call_1"]]


def test_a_call_whose_data_flow_was_not_recorded_is_decided_again_only_where_that_makes_no_difference(
    database: Database,
) -> None:
    old = mail_rules()
    new = mail_rules(
        "email_send_message | args.subject == 'x' and run.saw_untrusted | deny",
        "email_send_message | args.subject == 'no' | deny",
        "email_send_message | args.subject == 'no' and origin(args.to) == 'outsider' | ask",
        "email_send_message | args.subject == 'half' and origin(args.to) == 'outsider' | ask",
    )
    untold = [recorded(n, ANA, "email_send_message", {**MAIL, "subject": each}, old, flow=None)
              for n, each in enumerate(("s", "x", "no"))]  # fmt: skip
    half = recorded(3, ANA, "email_send_message", {**MAIL, "subject": "half"}, old, flow={"integrity": "anyone"})
    spoilt = recorded(4, ANA, "email_send_message", {**MAIL, "subject": "x"}, old, flow={"integrity": "nobody"})
    found = replayed(database, [*untold, half, spoilt], old, new)
    assert found.decisions == 2
    assert {(flip.after, tuple(flipped.calls)) for flip, flipped in found.flips.items()} == {
        (Verdict.DENY, ("call_2",))
    }
    assert found.undecidable == {"a rule asks about data flow that was not recorded then": 3}


KINDS_OF_ID = "contact account deal order ticket thread draft attachment document"
VALUES: tuple[tuple[object, str], ...] = (
    (1, "version"),
    ("10.50", "amount"),
    ("2026-05-31", "close_date"),
    ("a@b.example", "email mailbox requester_email"),
    (["a@b.example"], "to cc"),
    (["vip"], "tags"),
    ("EUR", "currency"),
    ("late", "reason"),
    ("note", "kind"),
    ("some text", "subject body name query requester_name"),
)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_arguments_come_back_from_the_journal_as_they_were_decided(tool: Any) -> None:
    from gateway.policy.language.kinds import type_of_model
    from gateway.replay import _Arguments

    given = {name: value for value, names in VALUES for name in names.split()}
    given |= {f"{kind}_id": f"{kind[:3]}_0001" for kind in KINDS_OF_ID.split()} | {"message_id": "msg_0001"}
    fields = tool.input.model_fields
    values = tool.input.model_validate_json(
        json.dumps({name: value for name, value in given.items() if name in fields})
    )
    back = _Arguments(type_of_model(tool.input)).read(json.loads(values.model_dump_json()))
    assert back == values.model_dump()
    assert {name: type(value) for name, value in (back or {}).items()} == {
        name: type(value) for name, value in values.model_dump().items()
    }


def test_the_command_tells_flips_and_fails_only_if_asked_to(tmp_path: Path) -> None:
    old, _, folder = changed_shipped(tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    written(Database.in_file(home / "remit.db"), many(old, 60))
    said = CliRunner().invoke(app, ["diff", str(SHIPPED_POLICIES), str(folder), "--journal", str(home)])
    assert said.exit_code == 0
    assert "Recorded decisions: 60 decided again" in said.output
    assert "allow → ask (stricter)" in said.output
    arguments = ["diff", str(SHIPPED_POLICIES), str(folder), "--journal", str(home), "--json", "--fail-on-flips"]
    failing = CliRunner().invoke(app, arguments)
    assert failing.exit_code == 1
    found = json.loads(failing.stdout)["replay"]
    assert found["flipped"] == sum(flip["count"] for flip in found["flips"]) > 0
    same = CliRunner().invoke(
        app, ["diff", str(folder), str(folder), "--journal", str(home), "--fail-on-flips", "--json"]
    )
    assert same.exit_code == 0
    assert json.loads(same.stdout)["replay"]["flips"] == []


async def test_what_the_gateway_itself_recorded_comes_out_the_same(opened: OpenGateway, database: Database) -> None:
    ana = Principal("larkspur", person="ana@larkspur.example")
    calls: list[tuple[str, dict[str, Any]]] = [
        ("crm_create_contact", {"name": "Kim Doe", "email": "kim@customer.example"}),
        ("crm_issue_refund", {**refund("20.5"), "order_id": "ord_none"}),
        ("crm_issue_refund", {**refund("51"), "order_id": "ord_none"}),
        ("crm_issue_refund", {**refund("501"), "order_id": "ord_none"}),
        ("crm_list_deals", {}),
    ]
    async with opened() as gateway:
        for tool, arguments in calls:
            await call_tool(gateway, ToolCall(ana, tool, {**arguments}))
        policy_in_force = gateway.policy.current
    found = replay(database, policy_in_force, policy_in_force, TOOLS, DAY)
    assert (found.decisions, found.flips, found.aged, found.undecidable) == (len(calls), {}, 0, {})
