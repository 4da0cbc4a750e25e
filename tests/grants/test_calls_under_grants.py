"""What a call may do under a grant, and what happens with one that is not good."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError
from sqlalchemy import text

from connectors.embedded.tenancy import EVERY_TENANT
from connectors.registry import TOOLS
from gateway.app import open_grants
from gateway.database import Database
from gateway.declared import Declared
from gateway.gateway import Gateway
from gateway.grants.book import UnfitTerms
from gateway.grants.grant import BadGrant
from gateway.journal import Entry, Kind
from gateway.principal import Principal
from gateway.replay import replay
from gateway.server import build_server
from gateway.settings import Settings
from tests.gateway.conftest import OpenGateway
from tests.grants.granting import ANA, ELSEWHERE, INES, KIM, TRIAGE, call, create, granted, terms

Entries = Callable[[], list[Entry]]
REFUND: dict[str, Any] = {"order_id": "ord_abcd2345", "amount": 40, "currency": "EUR", "reason": "late"}


def later(gateway: Gateway, **time: float) -> Gateway:
    return replace(gateway, now=lambda: gateway.now() + timedelta(**time))


async def test_a_call_within_its_grant_runs_and_every_entry_of_it_names_the_grant(
    opened: OpenGateway, entries: Entries
) -> None:
    async with opened() as gateway:
        issued = await granted(gateway, tools=["crm_create_contact"], request="Add Kim")
        assert (await create(gateway, issued.token)).status == "ok"
    first, *others = entries()
    assert (first.kind, first.call_id, first.body["run"]) == (Kind.GRANTED, issued.grant.id, issued.grant.run)
    assert first.body["request"] == "Add Kim"
    assert {entry.kind for entry in others} == {Kind.INTENT, Kind.OUTCOME}
    assert {entry.body["grant"] for entry in others} == {issued.grant.id}


@pytest.mark.parametrize(
    ("given", "tool", "arguments", "why"),
    [
        ({"tools": ["crm_search_*"]}, "crm_create_contact", KIM, "not among its tools"),
        ({"tools": []}, "crm_create_contact", KIM, "not among its tools"),
        ({"limits": {"crm_create_contact": 0}}, "crm_create_contact", KIM, "may be called 0 times"),
        ({"targets": {"crm_create_contact": {"email": ["a@b.example"]}}}, "crm_create_contact", KIM, "`email` has to"),
        ({"targets": {"crm_create_contact": {"account_id": ["acc_1234"]}}}, "crm_create_contact", KIM, "account_id"),
    ],
)  # fmt: skip
async def test_what_lies_outside_a_grant_is_denied_on_record_and_nothing_happens(
    opened: OpenGateway, entries: Entries, given: dict[str, Any], tool: str, arguments: dict[str, Any], why: str
) -> None:
    async with opened() as gateway:
        assert (await call(gateway, "", tool, {**arguments, "email": "x@customer.example"})).status == "ok"
        answer = await call(gateway, (await granted(gateway, **given)).token, tool, arguments)
    assert (answer.status, answer.rules) == ("denied", ["grant"])
    assert why in (answer.reason or "")
    assert "kim@customer.example" not in (answer.reason or ""), "a reason stays readable in the journal for ever"
    last = entries()[-1]
    assert (last.kind, last.body["rules"], last.body["verdict"]) == (Kind.DENIED, ["grant"], "deny")


async def test_a_grant_allows_nothing_that_policy_denies_or_asks_about(opened: OpenGateway) -> None:
    async with opened() as gateway:
        wide = await granted(gateway, tools=["*"], request="Refund 600 and 80", values=[600, 80])
        denied, asked = [
            await call(gateway, wide.token, "crm_issue_refund", {**REFUND, "amount": n}) for n in (600, 80)
        ]
    assert (denied.status, denied.rules) == ("denied", ["A3"])
    assert (asked.status, asked.rules) == ("pending_approval", ["A2"])


async def test_what_policy_would_ask_about_is_denied_outside_the_grant_and_nobody_is_asked(
    opened: OpenGateway, entries: Entries
) -> None:
    async with opened() as gateway:
        issued = await granted(gateway, targets={"crm_issue_refund": {"amount": [40, 60.5]}})
        answer = await call(gateway, issued.token, "crm_issue_refund", {**REFUND, "amount": 80})
    assert (answer.status, answer.rules) == ("denied", ["grant"])
    assert Kind.ASKED not in {entry.kind for entry in entries()}


@pytest.mark.parametrize(
    ("tool", "argument", "allowed", "within", "outside"),
    [
        ("crm_create_contact", "email", ["Kim@Customer.Example"], ["kim@customer.example", "KIM@CUSTOMER.EXAMPLE"],
         ["kim@customer.example.evil.example", "ki\u043c@customer.example", "kim+1@customer.example"]),
        ("crm_issue_refund", "amount", [40], [40, 40.0, "40", "40.00", "4E1"], [40.01, 4, "39.99"]),
        ("email_send_message", "to", ["kim@customer.example", "ANA@larkspur.example"],
         [["kim@customer.example"], ["Kim@customer.example", "ana@larkspur.example"]],
         [["kim@customer.example", "eve@evil.example"], ["eve@evil.example"]]),
        ("email_send_message", "cc", ["kim@customer.example"], [[], ["KIM@customer.example"]], [["eve@evil.example"]]),
        ("ticket_update_ticket", "tags", ["refund"], [["refund"]], [["refund", "vip"], [], None]),
        ("crm_get_orders", "contact_id", ["con_abcd2345"], ["con_abcd2345"], [None, "con_abcd23456"]),
    ],
)  # fmt: skip
async def test_a_target_is_held_to_in_whatever_spelling(
    opened: OpenGateway, policies: Path, tool: str, argument: str, allowed: list[Any], within: list[Any],
    outside: list[Any],
) -> None:  # fmt: skip
    (policies / "rules.csv").write_text(
        "p, A1, role:agent, *, , allow, \np, B1, role:auditor, crm_*, , allow, \np, C1, role:triage, crm_*, , allow, "
    )
    plain: dict[str, dict[str, Any]] = {
        "crm_create_contact": KIM,
        "crm_issue_refund": REFUND,
        "email_send_message": {"mailbox": "a@b.example", "to": ["kim@customer.example"], "subject": "x", "body": "x"},
        "ticket_update_ticket": {"ticket_id": "tic_abcd2345", "version": 1},
        "crm_get_orders": {},
    }  # fmt: skip
    async with opened() as gateway:
        issued = await granted(gateway, targets={tool: {argument: allowed}})

        async def denied(value: Any) -> bool:
            arguments = {name: each for name, each in {**plain[tool], argument: value}.items() if each is not None}
            return (await call(gateway, issued.token, tool, arguments)).rules == ["grant"]

        assert [value for value in within if await denied(value)] == []
        refused = [value for value in outside if not await denied(value)]
        # A homoglyph is no address for this tool at all.
        assert [value for value in refused if value != "ki\u043c@customer.example"] == []


# Grants that are not good


async def test_a_grant_that_is_not_good_is_refused_on_record_and_never_taken_for_none(
    opened: OpenGateway, entries: Entries
) -> None:
    async with opened() as gateway:
        fine = await granted(gateway)
        for token, who, at in (
            ("forged", ANA, gateway),
            (fine.token[:-2], ANA, gateway),
            (fine.token, INES, gateway),
            (fine.token, TRIAGE, gateway),
            (fine.token, replace(ANA, agent="triage"), gateway),
            (fine.token, ELSEWHERE, gateway),
            (fine.token, ANA, later(gateway, hours=1, seconds=11)),
            (fine.token, ANA, later(gateway, hours=-1)),
            ("x" * 100_000, ANA, gateway),
        ):
            answer = await create(at, token, who=who)
            assert (answer.status, answer.rules) == ("denied", ["grant"])
            assert "grant" in (answer.reason or "")
            assert token not in answer.model_dump_json()
        assert (await create(gateway, fine.token)).status == "ok", "the same call, the same moment, a good grant"
    refused = [entry for entry in entries() if entry.kind is Kind.DENIED]
    assert len(refused) == 9
    assert {entry.body.get("grant") for entry in refused} == {None, fine.grant.id}
    assert not any("arguments" in entry.body for entry in refused)
    assert sum(entry.kind is Kind.INTENT for entry in entries()) == 1


async def test_a_bad_grant_tells_nobody_which_tools_there_are(opened: OpenGateway) -> None:
    async with opened() as gateway:
        hidden = await call(gateway, "forged", "crm_create_contact", KIM, INES)
        unknown = await call(gateway, "forged", "crm_no_such_tool", {}, INES)
    assert (hidden.status, hidden.reason) == (unknown.status, unknown.reason) == ("denied", hidden.reason)


@pytest.mark.parametrize("presented", ["", None, 5, True, [], {}, ["a"]])
def test_what_is_no_text_is_refused_as_malformed(presented: object) -> None:
    with pytest.raises(ValidationError, match="remit/grant"):
        Declared.model_validate({"remit/grant": presented})


async def test_a_grant_that_was_taken_back_is_good_no_more_however_often_it_is_tried(
    opened: OpenGateway, entries: Entries
) -> None:
    async with opened() as gateway:
        issued = await granted(gateway)
        assert (await create(gateway, issued.token)).status == "ok"
        assert await gateway.grants.revoke("larkspur", issued.grant.id, gateway.now(), "test")
        assert not await gateway.grants.revoke("larkspur", issued.grant.id, gateway.now(), "test")
        for number in range(3):
            assert (await create(gateway, issued.token, number + 1)).rules == ["grant"]
    assert [entry.call_id for entry in entries() if entry.kind is Kind.REVOKED] == [issued.grant.id]


async def test_a_grant_that_is_taken_back_while_a_call_waits_for_its_turn_is_good_no_more(opened: OpenGateway) -> None:
    answers = []
    async with opened() as gateway:
        issued = await granted(gateway, limits={"crm_create_contact": 5})

        async def one() -> None:
            answers.append(await create(gateway, issued.token))

        turn = gateway.history.turn(ANA, frozenset({"crm_create_contact"}), gateway.now())
        async with anyio.create_task_group() as tasks, turn:
            tasks.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            await gateway.grants.revoke("larkspur", issued.grant.id, gateway.now(), "test")
    assert [(answer.status, answer.rules) for answer in answers] == [("denied", ["grant"])]


async def test_a_grant_lets_a_call_of_before_be_heard_of_only_while_it_is_good(opened: OpenGateway) -> None:
    async with opened() as gateway:
        issued = await granted(gateway)
        done = await call(gateway, issued.token, "crm_create_contact", KIM, key="k1")
        again = await call(gateway, issued.token, "crm_create_contact", KIM, key="k1")
        assert again.to_wire() == done.to_wire()
        await gateway.grants.revoke("larkspur", issued.grant.id, gateway.now(), "test")
        assert (await call(gateway, issued.token, "crm_create_contact", KIM, key="k1")).status == "denied"


async def test_a_caller_who_drops_the_grant_in_mid_run_has_only_what_policy_allows_without(
    opened: OpenGateway, entries: Entries
) -> None:
    async with opened() as gateway:
        issued = await granted(gateway, limits={"crm_create_contact": 1})
        answers = [await create(gateway, token, n) for n, token in enumerate([issued.token, issued.token, ""])]
    assert [answer.status for answer in answers] == ["ok", "denied", "ok"]
    assert "grant" not in entries()[-1].body, "what it does without is on record as done without"


# Limits


async def test_a_limit_stops_what_would_pass_it(opened: OpenGateway) -> None:
    async with opened() as gateway:
        issued, other = [await granted(gateway, limits={"crm_create_*": 2}) for _ in range(2)]
        first = [(await create(gateway, issued.token, number)).status for number in range(3)]
        second = [(await create(gateway, other.token, number + 3)).status for number in range(3)]
    assert first == second == ["ok", "ok", "denied"]


async def test_a_limit_over_several_tools_counts_them_together(opened: OpenGateway) -> None:
    async with opened() as gateway:
        issued = await granted(gateway, limits={"crm_*": 2, "crm_create_contact": 5})
        await create(gateway, issued.token)
        assert (await call(gateway, issued.token, "crm_search_contacts", {})).status == "ok"
        assert (await create(gateway, issued.token, 2)).status == "denied"
        assert (await call(gateway, issued.token, "crm_search_contacts", {})).status == "denied"


async def test_twenty_calls_at_once_cannot_pass_a_limit_together(opened: OpenGateway) -> None:
    statuses = []
    async with opened() as gateway:
        issued = await granted(gateway, limits={"crm_create_contact": 3})

        async def one(number: int) -> None:
            statuses.append((await create(gateway, issued.token, number)).status)

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(one, number)
    assert sorted(statuses) == ["denied"] * 17 + ["ok"] * 3


async def test_neither_its_own_repetition_nor_what_failed_for_sure_counts(opened: OpenGateway) -> None:
    async with opened() as gateway:
        issued = await granted(gateway, limits={"crm_create_contact": 2})
        await create(gateway, "")
        assert (await create(gateway, issued.token)).status == "failed", "the address is taken"
        for _ in range(3):
            assert (await call(gateway, issued.token, "crm_create_contact", KIM, key="k1")).status == "ok"
        assert (await create(gateway, issued.token, 2)).status == "ok"
        assert (await create(gateway, issued.token, 3)).status == "denied"
        assert (await call(gateway, issued.token, "crm_create_contact", KIM, key="k1")).status == "ok"


async def test_the_limit_outlives_the_process(opened: OpenGateway) -> None:
    async with opened() as gateway:
        issued = await granted(gateway, limits={"crm_create_contact": 1})
        await create(gateway, issued.token)
    async with opened() as gateway:
        assert (await create(gateway, issued.token, 1)).status == "denied"


# Issuing


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"tools": ["crm_get_contct"]}, "tools.crm_get_contct", "did you mean `crm_get_contact`?"),
        ({"tools": ["nothing_*"]}, "tools.nothing_*", "no tool matches"),
        ({"limits": {"emial_*": 1}}, "limits.emial_*", "did you mean `email_*`?"),
        ({"targets": {"crm_*": {"email": []}}}, "targets.crm_*", "unknown tool"),
        ({"targets": {"crm_get_contact": {"id": ["x"]}}}, "targets.crm_get_contact.id", "takes no `id`"),
        ({"targets": {"crm_get_contact": {"contact_id": ["x"]}}}, "targets.crm_get_contact.contact_id", "takes no"),
        ({"targets": {"crm_issue_refund": {"amount": [True]}}}, "targets.crm_issue_refund.amount", "takes no true"),
    ],
)  # fmt: skip
async def test_terms_that_name_what_there_is_not_are_refused_with_a_suggestion(
    opened: OpenGateway, entries: Entries, given: dict[str, Any], field: str, message: str
) -> None:
    async with opened() as gateway:
        with pytest.raises(UnfitTerms) as refused:
            await granted(gateway, **given)
    assert refused.value.field == field
    assert message in refused.value.message
    assert entries() == []


@pytest.mark.parametrize(
    "given",
    [
        {"request": "x" * 8_001},
        {"tools": ["crm_*_contact"]},
        {"tools": ["crm get"]},
        {"limits": {"crm_*": -1}},
        {"limits": {"crm_*": 1.5}},
        {"targets": {"crm_get_contact": {"contact_id": [None]}}},
        {"targets": {"crm_get_contact": {"contact_id": [{}]}}},
        {"values": ["x" * 1_001]},
        {"values": ["x"] * 201},
        {"delegates": [{"record": "tic_1", "search": "x"}]},
        {"delegates": [{}]},
        {"delegates": ["tic_1"]},
        {"more": 1},
    ],
)  # fmt: skip
async def test_terms_out_of_bounds_are_refused(opened: OpenGateway, given: dict[str, Any]) -> None:
    async with opened() as gateway:
        with pytest.raises(ValidationError):
            await granted(gateway, **given)


async def test_a_grant_lasts_an_hour_unless_it_says_otherwise_and_never_more_than_is_allowed(
    opened: OpenGateway,
) -> None:
    async with opened(grant_longest=7_200) as gateway:
        usual, longer = [(await granted(gateway, lasting=each)).grant for each in (None, timedelta(hours=2))]
        assert usual.expires_at - usual.issued_at == timedelta(hours=1)
        assert longer.expires_at - longer.issued_at == timedelta(hours=2)
        for lasting in (timedelta(hours=2, seconds=1), timedelta(0), timedelta(seconds=-1)):
            with pytest.raises(UnfitTerms, match="from 1 to 7200 seconds"):
                await granted(gateway, lasting=lasting)


async def test_each_grant_has_a_run_of_its_own(opened: OpenGateway) -> None:
    async with opened() as gateway:
        runs = {(await granted(gateway)).grant.run for _ in range(3)}
    assert len(runs) == 3


async def test_whoever_changes_the_table_alone_does_not_widen_a_grant(opened: OpenGateway, database: Database) -> None:
    async with opened() as gateway:
        issued = await granted(gateway, tools=["crm_get_contact"])
        with database.changing(EVERY_TENANT) as connection:
            connection.execute(text("UPDATE grants SET terms = '{}'"))
        answer = await create(gateway, issued.token)
    assert (answer.status, "not those that were signed" in (answer.reason or "")) == ("denied", True)


async def test_what_an_expired_grant_said_is_forgotten(opened: OpenGateway, database: Database) -> None:
    async with opened() as gateway:
        issued = await granted(gateway, request="Add Kim")
        assert await gateway.grants.forget_expired(gateway.now()) == 0
        assert await gateway.grants.forget_expired(gateway.now() + timedelta(hours=2)) == 1
        with pytest.raises(BadGrant, match="no longer kept"):
            await gateway.grants.verify(issued.token, ANA, gateway.now())
    with database.looking(EVERY_TENANT) as connection:
        assert connection.execute(text("SELECT count(*) FROM grants")).scalar() == 0


async def test_a_grant_of_another_home_is_none_here(opened: OpenGateway, tmp_path: Path) -> None:
    async with opened() as gateway, open_grants(Settings(home=tmp_path / "other")) as elsewhere:
        foreign = await elsewhere.issue(ANA, terms(), gateway.now(), "test")
        answer = await create(gateway, foreign.token)
    assert (answer.status, "not issued here" in (answer.reason or "")) == ("denied", True)


async def test_an_approver_is_told_what_the_task_was_given_as(opened: OpenGateway) -> None:
    async with opened() as gateway:
        issued = await granted(gateway, request="Pay Kim back", delegates=[{"record": "tic_abcd2345"}])
        answer = await call(gateway, issued.token, "crm_issue_refund", {**REFUND, "amount": 80})
        assert answer.approval is not None
        approval = await gateway.approvals.find("larkspur", answer.approval.id)
    assert approval is not None
    told = {"id": issued.grant.id, "request": "Pay Kim back", "delegates": [{"record": "tic_abcd2345"}]}
    assert approval.question.said["grant"] == told


async def test_what_an_approver_changes_stays_within_the_grant(opened: OpenGateway, policies: Path) -> None:
    maya = Principal("larkspur", person="maya@larkspur.example")
    with (policies / "roles.csv").open("a") as roles:
        roles.write("g, person:maya@larkspur.example, role:lead, larkspur\n")
    (policies / "approvers.csv").write_text("approver, role:lead, crm_*, *\n")
    async with opened() as gateway:
        issued = await granted(gateway, targets={"crm_issue_refund": {"amount": [80, 40]}})
        for amount, rules in ((60, ["grant"]), (40, None)):
            answer = await call(gateway, issued.token, "crm_issue_refund", {**REFUND, "amount": 80}, key=str(amount))
            assert answer.approval is not None
            name, changed = answer.approval.id, {**REFUND, "amount": amount, "note": ""}
            await gateway.approvals.edit(name, maya, gateway.policy.current, changed, "", gateway.now())
            answer = await call(gateway, issued.token, "crm_issue_refund", {**REFUND, "amount": 80}, key=str(amount))
            assert answer.rules == rules
    assert answer.error is not None
    assert answer.error.kind == "not_found", "let through to the back end, which has no such order"


async def test_over_stdio_every_call_and_list_is_under_the_operators_grant_unless_it_presents_another(
    opened: OpenGateway,
) -> None:
    async with opened() as gateway:
        usual, other = [(await granted(gateway, tools=[tool])).token for tool in ("crm_get_contact", "crm_create_*")]
        meta: Any = {"remit/grant": other}
        async with Client(build_server(gateway, ANA, usual), cache=None) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["crm_get_contact"]
            denied = await client.call_tool("crm_create_contact", KIM)
            done = await client.call_tool("crm_create_contact", KIM, meta=meta)
        async with Client(build_server(gateway, ANA, "forged"), cache=None) as client:
            with pytest.raises(MCPError, match="not issued here"):
                await client.list_tools()
    statuses = [(answer.structured_content or {})["status"] for answer in (denied, done)]
    assert statuses == ["denied", "ok"]


async def test_what_a_grant_denied_is_no_decision_of_policy_to_be_made_again(
    opened: OpenGateway, database: Database
) -> None:
    async with opened() as gateway:
        policy = gateway.policy.current
        for issued in (await granted(gateway), await granted(gateway, tools=[])):
            await create(gateway, issued.token)
        await create(gateway, "forged")
    found = replay(database, policy, policy, TOOLS, timedelta(days=1))
    assert (found.decisions, found.aged, found.flips) == (1, 0, {})
    assert found.undecidable == {"its grant denied it, whatever policy said": 2}
