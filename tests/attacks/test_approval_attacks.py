"""An effect that policy wants a person to approve happens by exactly that person's yes, whatever the caller tries."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.answer import Answer
from gateway.approvals import NotAnswerable, State
from gateway.call import call_tool
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.policy.load import load_policy
from gateway.principal import Principal
from tests.console.conftest import MAYA as LEAD
from tests.console.conftest import OTTO, OpenSite, text_of
from tests.console.conftest import REFUND as REFUNDED
from tests.console.conftest import TRIAGE as AGENT
from tests.console.test_together import EVE, KIM, LEE, LETTER, form_of, granted, send, states, write
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_approvals import ANA, MAYA, REFUND, RULES, UPDATE, paying, refund
from tests.gateway.test_approvals_together import MAIL, name, say, terms

TOM = Principal("larkspur", person="tom@larkspur.example")
STANDING = "approver, role:lead, *, *, standing=5\n"


def keyed(key: str) -> Declared:
    return Declared.model_validate({"remit/key": key})


def under(gateway: Gateway, policies: Path, **files: str) -> None:
    """Put changed files of the policy in force."""
    for file, text in files.items():
        (policies / f"{file}.csv").write_text(text)
    gateway.policy.current = load_policy(policies, list(gateway.catalog.tools.values()))


async def call(
    gateway: Gateway, tool: str, arguments: Mapping[str, object], who: Principal = ANA, key: str = ""
) -> Answer[Any]:
    return await call_tool(gateway, ToolCall(who, tool, arguments, keyed(key) if key else Declared()))


# A key that was used


async def test_a_key_of_an_allowed_write_opens_no_read_that_a_person_is_asked_about(
    opened: OpenGateway, policies: Path
) -> None:
    rules = (
        "p, R1, role:agent, ticket_add_note, , allow, notes\np, R2, role:agent, crm_search_contacts, , ask, privacy\n"
    )
    (policies / "rules.csv").write_text(rules)
    async with opened() as gateway:
        note = {"ticket_id": "tic_abcd", "body": "x"}
        await call(gateway, "ticket_add_note", note, key="k")
        answer = await call(gateway, "crm_search_contacts", {}, key="k")
    assert answer.status != "ok"
    assert answer.result is None


# Standing approvals


@pytest.mark.parametrize("change", [{"email": "eve@evil.example"}, {"phone": "+49 30 1234567"}, {"name": "Eve"}])
async def test_a_standing_approval_of_a_change_to_a_record_lets_no_other_change_through(
    opened: OpenGateway, policies: Path, till: Any, change: dict[str, Any]
) -> None:
    (policies / "approvers.csv").write_text(STANDING)
    async with opened() as plain:
        gateway = paying(plain, till)
        await say(gateway, await call(gateway, "crm_update_contact", UPDATE), MAYA, terms=terms(gateway))
        other = await call(gateway, "crm_update_contact", {**UPDATE, "version": 2, **change})
    assert other.status == "pending_approval"
    assert till.updated == 0


async def test_a_standing_approval_for_a_draft_does_not_send_what_the_draft_became(
    opened: OpenGateway, policies: Path
) -> None:
    (policies / "approvers.csv").write_text(STANDING)
    (policies / "rules.csv").write_text("p, M1, role:agent, email_send_draft, , ask, mail goes out\n")
    draft = {"mailbox": "support@larkspur.example", "draft_id": "dra_abcd", "version": 1}
    async with opened() as gateway:
        await say(gateway, await call(gateway, "email_send_draft", draft), MAYA, terms=terms(gateway))
        changed = await call(gateway, "email_send_draft", {**draft, "version": 2})
    assert changed.status == "pending_approval"


@pytest.mark.parametrize("change", [{"currency": "GBP"}, {"reason": "goodwill"}, {"amount": "80.01"}])
async def test_a_standing_approval_pays_no_other_money(
    opened: OpenGateway, policies: Path, till: Any, change: dict[str, Any]
) -> None:
    (policies / "approvers.csv").write_text(STANDING)
    async with opened() as plain:
        gateway = paying(plain, till)
        await say(gateway, await refund(gateway), MAYA, terms=terms(gateway))
        assert (await refund(gateway, note="next", **change)).status == "pending_approval"
    assert till.paid == {}


@pytest.mark.parametrize(
    "change",
    [
        {"to": ["kim@customer.example", "eve@evil.example"]},
        {"to": ["eve@evil.example", "kim@customer.example"]},
        {"cc": ["eve@evil.example"]},
        {"to": ["kim@customer.example.evil.example"]},
    ],
)
async def test_a_standing_approval_reaches_no_other_recipient(
    opened: OpenGateway, policies: Path, change: dict[str, Any]
) -> None:
    (policies / "approvers.csv").write_text(STANDING)
    (policies / "rules.csv").write_text("p, M1, role:agent, email_send_message, , ask, mail goes out\n")
    async with opened() as gateway:
        await say(gateway, await call(gateway, "email_send_message", MAIL), MAYA, terms=terms(gateway))
        assert (await call(gateway, "email_send_message", {**MAIL, **change})).status == "pending_approval"


async def test_a_standing_approval_that_was_given_under_another_policy_is_given_again_or_refused_in_words(
    opened: OpenGateway, policies: Path, till: Any
) -> None:
    (policies / "approvers.csv").write_text(STANDING)
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        await say(gateway, asked, MAYA, terms=terms(gateway))
        under(gateway, policies, rules=RULES + "# changed\n")
        with pytest.raises(NotAnswerable, match="standing"):
            await say(gateway, asked, MAYA, terms=terms(gateway))
        assert (await refund(gateway)).status == "pending_approval", "then the yes is not recorded either"


# Passing on, and one person in two spellings


async def test_what_a_person_passed_on_counts_no_more_once_they_may_not_answer_themselves(
    opened: OpenGateway, policies: Path, till: Any
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway, Principal("larkspur", agent="triage"))
        policy = gateway.policy.current
        await gateway.approvals.delegate(name(asked), MAYA, policy, str(TOM.person), gateway.now())
        operator = "operator, agent:triage, person:maya@larkspur.example, larkspur\n"
        under(gateway, policies, approvers=(policies / "approvers.csv").read_text() + operator)
        with pytest.raises(NotAnswerable, match="may not answer"):
            await say(gateway, asked, TOM)
    assert till.paid == {}


@pytest.mark.parametrize("spelling", ["Ana@larkspur.example", "ANA@LARKSPUR.EXAMPLE", "ａna@larkspur.example"])
async def test_nobody_approves_their_own_request_under_another_spelling_of_their_name(
    opened: OpenGateway, policies: Path, till: Any, spelling: str
) -> None:
    roles = (policies / "roles.csv").read_text()
    (policies / "roles.csv").write_text(f"{roles}g, person:{spelling}, role:lead, larkspur\n")
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        with pytest.raises(NotAnswerable, match="their own"):
            await say(gateway, asked, Principal("larkspur", person=spelling))
    assert till.paid == {}


async def test_one_person_in_two_spellings_is_no_quorum_of_two(opened: OpenGateway, policies: Path, till: Any) -> None:
    roles = (policies / "roles.csv").read_text()
    (policies / "roles.csv").write_text(f"{roles}g, person:Maya@larkspur.example, role:lead, larkspur\n")
    (policies / "approvers.csv").write_text("approver, role:lead, crm_*, *, quorum=2\n")
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        await say(gateway, asked, MAYA)
        with pytest.raises(NotAnswerable, match="said yes already"):
            await say(gateway, asked, Principal("larkspur", person="Maya@larkspur.example"))
        assert (await refund(gateway)).status == "pending_approval"


async def test_an_operator_in_another_spelling_does_not_answer_what_the_agent_asks(
    opened: OpenGateway, policies: Path, till: Any
) -> None:
    roles = (policies / "roles.csv").read_text()
    (policies / "roles.csv").write_text(f"{roles}g, person:Maya@larkspur.example, role:lead, larkspur\n")
    operator = "operator, agent:triage, person:maya@larkspur.example, larkspur\n"
    (policies / "approvers.csv").write_text("approver, role:lead, crm_*, *\n" + operator)
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway, Principal("larkspur", agent="triage"))
        with pytest.raises(NotAnswerable, match="runs the agent"):
            await say(gateway, asked, Principal("larkspur", person="Maya@larkspur.example"))


# Edits


async def test_an_edit_that_nobody_needed_to_second_needs_it_once_policy_asks_for_two(
    opened: OpenGateway, policies: Path, till: Any
) -> None:
    in_all = "\"total('crm_issue_refund', 'amount') + args.amount > 60\""
    rules = (
        "p, A1, role:agent, crm_issue_refund, args.amount > 50, ask, much\n"
        "p, A2, role:agent, crm_issue_refund, , allow, little\n"
        f"p, A3, role:agent, crm_issue_refund, {in_all}, ask, in all\n"
    )
    (policies / "rules.csv").write_text(rules)
    (policies / "approvers.csv").write_text("approver, role:lead, crm_*, *, quorum=2\n")
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        arguments = {**REFUND, "amount": 40}
        await gateway.approvals.edit(name(asked), MAYA, gateway.policy.current, arguments, "", gateway.now())
        assert (await refund(gateway, amount=30)).status == "ok", "the run has 30 behind it now"
        answer = await refund(gateway)
    assert answer.status == "pending_approval"
    assert len(till.paid) == 1
    assert State.PENDING


# What waits together


async def test_a_hostile_call_that_slips_into_an_open_page_is_not_answered_with_it(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(LEAD) as maya:
        task = await granted(opened, "write to kim@customer.example and lee@customer.example")
        harmless = [await write(opened, task, to) for to in (KIM, LEE)]
        page = await maya.see(f"/approvals/{harmless[0]}/together")
        hostile = await write(opened, task, EVE)
        answer = await send(maya, page, harmless[0], "approve")
        assert answer.status_code == 303
        assert await states(opened, *harmless) == [State.APPROVED] * 2, "the harmless twins go through"
        assert await states(opened, hostile) == [State.PENDING]
        assert (await write(opened, task, EVE)) == hostile, "repeated, it waits as before"


async def test_a_hostile_call_on_one_page_with_harmless_ones_is_refused_alone(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(LEAD) as maya:
        task = await granted(opened, "write to kim@customer.example and lee@customer.example")
        kim, eve, lee = [await write(opened, task, to) for to in (KIM, EVE, LEE)]
        page = await maya.see(f"/approvals/{kim}/together")
        where = text_of(page).partition("Where it goes")[2].partition("1. ")[0]
        assert "3 different: recipient" in where
        assert f"{EVE} external not vouched for" in where
        await send(maya, page, kim, "each", **{kim: "approve", eve: "refuse", lee: "approve"})
        answers = {
            to: (await opened.call(AGENT, "email_send_message", task, **{**LETTER, "to": [to]})).status
            for to in (KIM, EVE, LEE)
        }
    assert answers[EVE] == "denied"
    assert "denied" not in (answers[KIM], answers[LEE])
    assert "pending_approval" not in answers.values()


async def test_a_flood_of_calls_buries_no_hostile_one_among_them(site: OpenSite) -> None:
    addresses = [f"kim{number}@customer.example" for number in range(24)]
    async with site() as opened, opened.signed_in(LEAD) as maya:
        task = await granted(opened, f"write to {' '.join(addresses)}")
        names = [await write(opened, task, to) for to in addresses[:12]]
        hostile = await write(opened, task, EVE)
        names += [await write(opened, task, to) for to in addresses[12:]]
        path = f"/approvals/{names[0]}/together"
        pages = [await maya.see(f"{path}?page={number}") for number in (1, 2, 3)]
        shown = [re.findall(r'name="seen\.([^"]+)"', page) for page in pages]
        assert list(map(len, shown)) == [10, 10, 5], "each call stands whole on exactly one page"
        assert sorted(each for page in shown for each in page) == sorted([*names, hostile])
        assert shown[0][0] == hostile, "what the least is vouched for in comes first, whatever was asked before it"
        assert f"{EVE} external not vouched for" in text_of(pages[0])
        assert f"{addresses[0]} external not vouched for" not in text_of(pages[0])
        await send(maya, pages[2], names[0], "approve")
        assert set(await states(opened, *shown[2])) == {State.APPROVED}, "one page of harmless twins is approved"
        assert set(await states(opened, *shown[0], *shown[1])) == {State.PENDING}, "and nothing but it"


async def test_calls_of_two_runs_never_stand_on_one_page_nor_in_one_answer(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(LEAD) as maya:
        one, other = await granted(opened), await granted(opened)
        first, twin = await write(opened, one, KIM), await write(opened, one, LEE)
        apart = await write(opened, other, EVE)
        page = await maya.see(f"/approvals/{first}/together")
        assert twin in page
        assert apart not in page
        found = await opened.gateway.approvals.find("larkspur", apart)
        assert found is not None
        forged = {**form_of(page), f"seen.{apart}": found.binding, "answer": "approve"}
        answer = await maya.http.post(f"/console/approvals/{first}/together", data=forged)
        assert "there is no such call in this task" in text_of(answer.text)
        assert await states(opened, first, twin, apart) == [State.APPROVED, State.APPROVED, State.PENDING]


async def test_another_tenants_call_stands_on_no_page_and_in_no_answer(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(LEAD) as maya:
        task = {"remit/run": "the same run"}
        first, twin = await write(opened, task, KIM), await write(opened, task, LEE)
        theirs = await opened.ask(OTTO, "crm_issue_refund", task, **REFUNDED)
        page = await maya.see(f"/approvals/{first}/together")
        assert twin in page
        assert theirs not in page
        forged = {**form_of(page), f"seen.{theirs}": "", "answer": "approve"}
        answer = await maya.http.post(f"/console/approvals/{first}/together", data=forged)
        assert "there is no such call in this task" in text_of(answer.text)
        assert await states(opened, first, twin) == [State.APPROVED, State.APPROVED]
        assert await states(opened, theirs, tenant=OTTO.tenant) == [State.PENDING]
        await maya.see(f"/approvals/{theirs}/together", 404)
