"""A customer asks to be forgotten, or policy's time is up: what that means for calls, questions, limits and replays."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from connectors.embedded.tenancy import EVERY_TENANT
from connectors.registry import TOOLS
from gateway.app import open_gateway
from gateway.approvals import State
from gateway.approvals.standing import Terms, read_standing
from gateway.background import background
from gateway.call import call_tool
from gateway.cli import app
from gateway.database import Database
from gateway.erasing.erasure import Erasure, carry_out, erasures, record
from gateway.erasing.keeping import erase_what_is_due
from gateway.erasing.mentions import Mentions, find_mentions
from gateway.gateway import Gateway, ToolCall
from gateway.journal import Entry, Kind, read_journal
from gateway.policy.load import load_policy
from gateway.principal import Principal
from gateway.replay import replay
from gateway.settings import Settings
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_approvals import APPROVERS, REFUND, ROLES, Till, answered, found, paying, refund, reply

ANA = Principal("larkspur", person="ana@larkspur.example")
MAYA = Principal("larkspur", person="maya@larkspur.example")
RULES = """\
p, A1, role:agent, crm_*, , allow, support works in the CRM
p, A2, role:agent, crm_issue_refund, args.amount > 50, ask, money needs a second look
"""
LIMITS = """\
p, A3, role:agent, crm_issue_refund, "total('crm_issue_refund', 'amount') > 1000", deny, a thousand in a run
p, A4, role:agent, crm_search_contacts, "calls('crm_issue_refund') > 0", deny, no search after a refund
"""
ORDER = str(REFUND["order_id"])
Entries = Callable[[], list[Entry]]


@pytest.fixture
def policies(policies: Path) -> Path:
    (policies / "roles.csv").write_text(ROLES)
    (policies / "rules.csv").write_text(RULES)
    (policies / "approvers.csv").write_text(APPROVERS.replace("*\n", "*, standing=5\n"))
    return policies


@pytest.fixture
def till() -> Any:
    return Till()


async def mentions(gateway: Gateway, database: Database, *texts: str) -> Mentions:
    return await anyio.to_thread.run_sync(find_mentions, database, "larkspur", texts, gateway.now())


async def erase(gateway: Gateway, database: Database, *texts: str) -> Mentions:
    meant = await mentions(gateway, database, *texts)
    assert not meant.open
    await record(gateway.journal, Erasure("larkspur", meant.positions, "ines", "case 1017"), gateway.now())
    await anyio.to_thread.run_sync(lambda: carry_out(database, erasures(database)))
    return meant


async def search(gateway: Gateway, words: str) -> str:
    answer = await call_tool(gateway, ToolCall(ANA, "crm_search_contacts", {"query": words}))
    return answer.call_id


async def paid(gateway: Gateway, order_id: str = ORDER) -> str:
    asked = await refund(gateway, order_id=order_id)
    await reply(gateway, asked)
    assert (await refund(gateway, order_id=order_id)).status == "ok"
    assert asked.approval is not None
    return asked.approval.id


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("KIM@Customer.example", "Kim Larsen <kim@customer.example>"),
        ("kim@bücher.example", "kim@xn--bcher-kva.example"),
        ("kim@xn--bcher-kva.example", "KIM@BÜCHER.example"),
        ("Kims order", "kim"),
        ("Müller", "MU\u0308LLER"),
        ('so-called "Kim"', '"kim"'),
        ("about con_kim12", "con_kim12"),
    ],
)
async def test_a_mention_is_found_however_it_is_written(
    opened: OpenGateway, database: Database, words: str, text: str
) -> None:
    async with opened() as gateway:
        await search(gateway, "somebody else")
        call = await search(gateway, words)
        meant = await mentions(gateway, database, text)
    assert meant.calls == 1
    assert meant.positions
    assert {
        entry.call_id for entry in read_journal(database, EVERY_TENANT) if entry.position == meant.positions[0][0]
    } == {call}


async def test_an_id_is_not_the_beginning_of_another_and_nobody_is_two_letters_long(
    opened: OpenGateway, database: Database
) -> None:
    async with opened() as gateway:
        await search(gateway, "con_kim123")
        assert (await mentions(gateway, database, "con_kim12")).calls == 0
        with pytest.raises(ValueError, match="too short"):
            await mentions(gateway, database, "ki")


async def test_the_whole_call_and_its_approval_go_and_who_did_what_stays(
    opened: OpenGateway, till: Any, database: Database, entries: Entries
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        name = await paid(gateway, order_id="ord_kim1")
        await search(plain, "somebody else")
        meant = await erase(gateway, database, "ORD_kim1")
        assert await gateway.settled.find("larkspur", name) is None
    of_it = [entry for entry in entries() if entry.call_id == name or entry.body.get("approval") == name]
    assert {entry.kind for entry in of_it} >= {Kind.ASKED, Kind.ANSWERED, Kind.PENDING, Kind.INTENT, Kind.OUTCOME}
    assert meant.entries == sum(entry.erased for entry in of_it)
    assert not any("as agreed" in str(entry.body) for entry in of_it)
    # Which records a call showed stays readable; the records themselves are the back end's to delete.
    assert {entry.kind for entry in of_it if "ord_kim1" in str(entry.body)} == {Kind.OUTCOME}
    [answer] = [entry for entry in of_it if entry.kind is Kind.ANSWERED]
    assert (answer.body["approver"], answer.body["approved"]) == ("maya@larkspur.example", True)
    [begun] = [entry for entry in of_it if entry.kind is Kind.INTENT]
    assert (begun.body["person"], begun.body["rules"]) == ("ana@larkspur.example", ["A2"])
    [said] = [entry for entry in entries() if entry.kind is Kind.ERASED]
    assert "kim" not in str(said.body).casefold()
    assert any("somebody else" in str(entry.body) for entry in entries())


async def test_nothing_is_erased_of_a_call_that_is_not_over(opened: OpenGateway, till: Any, database: Database) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway, order_id="ord_kim1")
        assert asked.approval is not None
        [(call, missing)] = (await mentions(gateway, database, "ord_kim1")).open.items()
        assert (call, missing.startswith("it waits for a person's answer")) == (asked.approval.id, True)
        await reply(gateway, asked)
        [missing] = (await mentions(gateway, database, "ord_kim1")).open.values()
        assert missing.startswith("it is approved and may be carried out")


async def test_an_intent_without_an_outcome_is_not_over(opened: OpenGateway, database: Database) -> None:
    async with opened() as gateway:
        body = {"tool": "crm_get_contact", "arguments": {"contact_id": "con_kim"}}
        entry = Entry("call_x", "larkspur", ANA.name, gateway.now(), Kind.INTENT, body)
        await gateway.journal.append(entry)
        assert (await mentions(gateway, database, "con_kim")).open == {
            "call_x": "it was begun and nobody knows its outcome yet"
        }
        await gateway.journal.append(replace(entry, kind=Kind.OUTCOME, body={"tool": "x", "status": "ok"}))
        assert not (await mentions(gateway, database, "con_kim")).open


async def test_an_erased_question_is_over_and_the_same_call_is_a_new_one(
    opened: OpenGateway, till: Any, database: Database
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        name = await paid(gateway)
        await erase(gateway, database, ORDER)
        approval = await gateway.approvals.find("larkspur", name)
        assert approval is not None
        assert (approval.question.erased, approval.arguments) == (True, {})
        assert approval.state(gateway.now()) is State.SETTLED
        again = await refund(gateway)
        assert again.status == "pending_approval"
        assert again.approval is not None
        assert again.approval.id != name


async def test_a_question_whose_key_is_lost_can_neither_be_answered_nor_run(
    opened: OpenGateway, till: Any, database: Database
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        await reply(gateway, asked)
        with database.changing(EVERY_TENANT) as connection:
            connection.exec_driver_sql("DELETE FROM journal_keys")
        assert (await found(gateway, asked)).state(gateway.now()) is State.EXPIRED
        again = await refund(gateway)
    assert (again.status, till.paid) == ("pending_approval", {})


async def test_an_erased_standing_approval_lets_nothing_through(
    opened: OpenGateway, till: Any, database: Database
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        terms = Terms(times=3, until=gateway.now() + timedelta(hours=2))
        await answered(gateway, asked, terms=terms)
        assert (await refund(gateway)).status == "ok"
        [call] = (await mentions(gateway, database, ORDER)).open
        assert call.startswith("std_")
        later = replace(gateway, now=lambda: plain.now() + timedelta(hours=3))
        await erase(later, database, ORDER)
        standing = read_standing(read_journal(database, EVERY_TENANT, call_id=call))
    assert standing is not None
    assert not standing.holds(plain.now())


async def test_an_erased_call_still_counts_and_a_sum_over_it_denies(
    opened: OpenGateway, till: Any, database: Database, policies: Path
) -> None:
    (policies / "rules.csv").write_text(RULES + LIMITS)
    async with opened() as plain:
        gateway = paying(plain, till)
        await paid(gateway, order_id="ord_kim1")
        await erase(gateway, database, "ord_kim1")
        summed = await refund(gateway, order_id="ord_other")
        counted = await call_tool(gateway, ToolCall(ANA, "crm_search_contacts", {"query": "x"}))
    assert (summed.status, counted.status) == ("denied", "denied")
    assert "rule A3 could not be evaluated" in (summed.reason or "")
    assert "no search after a refund" in (counted.reason or "")


async def test_replay_passes_over_what_is_erased_and_says_how_much(
    opened: OpenGateway, till: Any, database: Database, policies: Path
) -> None:
    async with opened() as plain:
        await search(plain, "somebody")
        await search(plain, "Kim Larsen")
        await erase(plain, database, "kim larsen")
    policy = load_policy(policies, TOOLS)
    again = replay(database, policy, policy, TOOLS, timedelta(days=1))
    assert again.decisions == 1
    assert again.undecidable == {"what the call was about is erased": 1}


async def test_names_of_questions_cannot_be_guessed_with_the_journal_alone(
    opened: OpenGateway, till: Any, tmp_path: Path, policies: Path
) -> None:
    async with opened() as one:
        first = await refund(paying(one, till))
        same = await refund(paying(one, till))
    elsewhere = Settings(home=tmp_path / "elsewhere", policies=policies)
    async with open_gateway(elsewhere) as another:
        other = await refund(paying(another, till))
    assert first.approval
    assert same.approval
    assert other.approval
    assert first.approval.id == same.approval.id != other.approval.id


def kept_for(policies: Path, text: str) -> Any:
    (policies / "retention.csv").write_text(text)
    return load_policy(policies, TOOLS)


async def test_what_policy_keeps_no_longer_is_erased_on_the_record_of_that_policy(
    opened: OpenGateway, database: Database, policies: Path, entries: Entries
) -> None:
    text = "keep, crm_*, larkspur, 400d\nkeep, crm_search_contacts, *, 30d\nkeep, ticket_*, *, 1d\n"
    policy = kept_for(policies, text)
    async with opened() as gateway:
        await search(gateway, "old")
        created = {"name": "Kim", "email": "kim@customer.example"}
        await call_tool(gateway, ToolCall(ANA, "crm_create_contact", created))

        async def after(days: int) -> int:
            now, needed = gateway.now() + timedelta(days=days), timedelta(days=6)
            return await erase_what_is_due(gateway.journal, database, policy, now, needed)

        assert await after(29) == 0
        assert await after(31) == 1
        assert await after(399) == 0
        assert await after(401) >= 1
        assert await after(4_000) == 0
    said = [entry for entry in entries() if entry.kind is Kind.ERASED]
    assert {(entry.body["reason"], entry.body["policy_version"]) for entry in said} == {("retention", policy.version)}
    assert all(entry.erased for entry in entries() if entry.kind is Kind.INTENT)


async def test_what_is_still_needed_or_not_over_is_kept_whatever_policy_says(
    opened: OpenGateway, till: Any, database: Database, policies: Path
) -> None:
    policy = kept_for(policies, "keep, *, *, 1d\n")
    async with opened(approval_ttl=20 * 86_400.0) as plain:
        gateway = paying(plain, till)
        await search(gateway, "young")
        asked = await refund(gateway)

        async def after(days: int, needed: int) -> int:
            now = gateway.now() + timedelta(days=days)
            return await erase_what_is_due(gateway.journal, database, policy, now, timedelta(days=needed))

        assert await after(5, needed=6) == 0
        assert await after(7, needed=6) > 0
        assert not (await found(gateway, asked)).question.erased
        assert await after(21, needed=6) > 0
        assert (await found(gateway, asked)).question.erased


async def test_without_a_line_everything_is_kept(opened: OpenGateway, database: Database, policies: Path) -> None:
    policy = load_policy(policies, TOOLS)
    async with opened() as gateway:
        await search(gateway, "old")
        now = gateway.now() + timedelta(days=40_000)
        assert await erase_what_is_due(gateway.journal, database, policy, now, timedelta()) == 0


async def test_a_gateway_that_starts_finishes_what_was_recorded_as_erased(
    opened: OpenGateway, database: Database, home: Path, policies: Path, database_url: str
) -> None:
    async with opened() as gateway:
        await search(gateway, "Kim Larsen")
        meant = await mentions(gateway, database, "Kim Larsen")
        await record(gateway.journal, Erasure("larkspur", meant.positions, "ines", "case 1017"), gateway.now())
    async with opened() as gateway:
        settings = Settings(home=home, policies=policies, database_url=SecretStr(database_url))
        async with background(gateway, settings):
            with anyio.fail_after(20):
                while not any(entry.erased for entry in read_journal(database, EVERY_TENANT)):
                    await anyio.lowlevel.checkpoint()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["journal", *arguments])


async def test_the_command_shows_first_and_erases_only_when_told_who_and_why(
    opened: OpenGateway, till: Any, home: Path, database: Database, database_url: str
) -> None:
    if database_url:
        pytest.skip("the command finds its database in the home")
    async with opened() as plain:
        await paid(paying(plain, till), order_id="ord_kim1")

    def said(*more: str) -> Result:
        return run("erase", "ord_kim1", "--home", str(home), *more)

    def check() -> None:
        shown = said()
        assert "4 entries of 2 calls" in shown.stdout
        assert "nothing is erased yet" in shown.stdout
        assert said("--yes").exit_code == 2
        assert said("--yes", "--as", "agent:triage", "--reason", "asked").exit_code == 2
        assert said("--yes", "--as", "person:ines", "--reason", "about ORD_KIM1").exit_code == 2
        assert not any(entry.erased for entry in read_journal(database, EVERY_TENANT))
        done = said("--yes", "--as", "person:ines", "--reason", "case 1017")
        assert (done.exit_code, "can no longer be read" in done.stdout) == (0, True)
        assert "0 entries mention it" in said().stdout
        listed = run("list", "--home", str(home), "--json").stdout
        assert '"erased": true' in listed
        assert "arguments" not in listed
        assert "all of them on the record" in run("verify", "--home", str(home)).stdout

    await anyio.to_thread.run_sync(check)


async def test_the_command_names_what_is_not_over_yet(
    opened: OpenGateway, till: Any, home: Path, database_url: str
) -> None:
    if database_url:
        pytest.skip("the command finds its database in the home")
    async with opened() as plain:
        asked = await refund(paying(plain, till), order_id="ord_kim1")
    given = ("erase", "ord_kim1", "--home", str(home), "--yes", "--as", "person:ines", "--reason", "asked")
    result = await anyio.to_thread.run_sync(lambda: run(*given))
    assert result.exit_code == 1
    assert asked.approval is not None
    assert f"not over yet: {asked.approval.id}: it waits" in result.stderr
