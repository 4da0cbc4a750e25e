"""Several people and one question: quorum, escalation, passing on, edits, asking back, standing approvals."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.answer import Answer
from gateway.approvals import Approval, NotAnswerable, State
from gateway.approvals.book import UnknownApproval
from gateway.approvals.standing import Terms
from gateway.call import call_tool
from gateway.catalog import InvalidArguments
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.journal import Entry, Kind
from gateway.policy.load import load_policy
from gateway.principal import Principal
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_approvals import ANA, MAYA, NADIA, REFUND, ROLES, RULES, Till, later, paying, refund

TOM = Principal("larkspur", person="tom@larkspur.example")
TRIAGE = Principal("larkspur", agent="triage")
TWO = "approver, role:lead, crm_*, *, quorum=2\n"
MAIL = {
    "mailbox": "support@larkspur.example",
    "to": ["kim@customer.example"],
    "subject": "Your order",
    "body": "It ships today.",
}


@pytest.fixture
def policies(policies: Path) -> Path:
    (policies / "roles.csv").write_text(ROLES + "g, person:tom@larkspur.example, role:agent, larkspur\n")
    (policies / "rules.csv").write_text(RULES)
    (policies / "approvers.csv").write_text("approver, role:lead, crm_*, *\n")
    return policies


@pytest.fixture
def till() -> Any:
    return Till()


def approvers(policies: Path, text: str) -> None:
    (policies / "approvers.csv").write_text(text)


def name(asked: Answer[Any]) -> str:
    assert asked.approval is not None
    return asked.approval.id


async def say(gateway: Gateway, asked: Answer[Any], who: Principal, approve: bool = True, **more: Any) -> Approval:
    policy = gateway.policy.current
    return await gateway.approvals.answer(name(asked), who, policy, approve, "", gateway.now(), **more)


async def edit(gateway: Gateway, asked: Answer[Any], who: Principal, **changes: Any) -> Approval:
    arguments = {**REFUND, **changes}
    return await gateway.approvals.edit(name(asked), who, gateway.policy.current, arguments, "", gateway.now())


# Quorum


async def test_a_quorum_of_two_needs_two_different_people(opened: OpenGateway, till: Any, policies: Path) -> None:
    approvers(policies, TWO)
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        assert asked.approval is not None
        assert (asked.approval.given, asked.approval.needed) == (0, 2)
        assert (await say(gateway, asked, MAYA)).state(gateway.now()) is State.PENDING
        with pytest.raises(NotAnswerable, match=r"maya@larkspur.example said yes already; 2 different people must"):
            await say(gateway, asked, MAYA)
        waiting = await refund(gateway)
        assert waiting.approval is not None
        assert (waiting.status, waiting.approval.given) == ("pending_approval", 1)
        assert till.paid == {}
        assert (await say(gateway, asked, NADIA)).state(gateway.now()) is State.APPROVED
        assert (await refund(gateway)).status == "ok"
    assert len(till.paid) == 1


async def test_one_no_ends_a_question_that_others_said_yes_to(opened: OpenGateway, till: Any, policies: Path) -> None:
    approvers(policies, TWO)
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        await say(gateway, asked, MAYA)
        await say(gateway, asked, NADIA, approve=False)
        assert (await refund(gateway)).status == "denied"
    assert till.paid == {}


async def test_two_who_say_yes_at_the_same_moment_are_both_counted(
    opened: OpenGateway, till: Any, policies: Path
) -> None:
    approvers(policies, TWO)
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(say, gateway, asked, MAYA)
            tasks.start_soon(say, gateway, asked, NADIA)
        assert (await refund(gateway)).status == "ok"


async def test_the_same_person_twice_at_the_same_moment_is_one_yes(
    opened: OpenGateway, till: Any, policies: Path
) -> None:
    approvers(policies, TWO)
    refused: list[str] = []

    async def try_(gateway: Gateway, asked: Answer[Any]) -> None:
        try:
            await say(gateway, asked, MAYA)
        except NotAnswerable as error:
            refused.append(str(error))

    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(try_, gateway, asked)
        assert (await refund(gateway)).status == "pending_approval"
    assert len(refused) == 4


# Four eyes


async def test_who_runs_an_agent_does_not_answer_what_it_asks(opened: OpenGateway, till: Any, policies: Path) -> None:
    approvers(policies, "approver, role:lead, crm_*, *\noperator, agent:triage, person:maya@larkspur.example, *\n")
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway, TRIAGE)
        with pytest.raises(NotAnswerable, match=r"maya@larkspur.example runs the agent triage"):
            await say(gateway, asked, MAYA)
        anas = await refund(gateway, ANA)
        assert (await say(gateway, anas, MAYA)).state(gateway.now()) is State.APPROVED, "of people she does"
        assert (await say(gateway, asked, NADIA)).state(gateway.now()) is State.APPROVED


# Escalation and passing on


async def test_a_line_with_a_delay_counts_from_then_on(opened: OpenGateway, till: Any, policies: Path) -> None:
    approvers(policies, "approver, role:lead, crm_*, *\napprover, role:agent, crm_*, *, after=4h\n")
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        with pytest.raises(NotAnswerable, match=r"tom@larkspur.example may answer from .* UTC on"):
            await say(gateway, asked, TOM)
        assert (await say(later(gateway, hours=4), asked, TOM)).state(gateway.now()) is State.APPROVED


async def test_a_question_is_passed_on_to_a_colleague_who_answers_by_that_right(
    opened: OpenGateway, till: Any, policies: Path
) -> None:
    approvers(policies, TWO)
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        with pytest.raises(NotAnswerable, match="may not answer"):
            await say(gateway, asked, TOM)
        policy, now = gateway.policy.current, gateway.now()
        await gateway.approvals.delegate(name(asked), MAYA, policy, "tom@larkspur.example", now)
        voted = await say(gateway, asked, TOM)
        assert [(vote.person, vote.authority) for vote in voted.votes] == [
            ("tom@larkspur.example", "maya@larkspur.example")
        ]
        with pytest.raises(NotAnswerable, match=r"maya@larkspur.example said yes already"):
            await say(gateway, asked, MAYA)


async def test_a_passed_on_question_cannot_be_passed_on_again(opened: OpenGateway, till: Any) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        now = gateway.now()
        await gateway.approvals.delegate(name(asked), MAYA, gateway.policy.current, "tom@larkspur.example", now)
        with pytest.raises(NotAnswerable, match=r"maya@larkspur.example passed it on to you"):
            await gateway.approvals.delegate(name(asked), TOM, gateway.policy.current, "nadia@larkspur.example", now)


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("ana@larkspur.example", "nobody answers a question of their own"),
        ("nobody@larkspur.example", "roles.csv knows no person `nobody@larkspur.example`"),
        ("zoe@other.example", "roles.csv knows no person `zoe@other.example` in larkspur"),
    ],
)
async def test_a_question_is_not_passed_on_to_the_asker_or_a_stranger(
    opened: OpenGateway, till: Any, to: str, why: str
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        with pytest.raises(NotAnswerable, match=why):
            await gateway.approvals.delegate(name(asked), MAYA, gateway.policy.current, to, gateway.now())


# Edits


async def test_an_edited_call_runs_as_edited_once_and_the_caller_is_told(opened: OpenGateway, till: Any) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        assert (await edit(gateway, asked, MAYA, amount=40)).state(gateway.now()) is State.APPROVED
        done, again = await refund(gateway), await refund(gateway)
    for answer in (done, again):
        assert answer.status == "ok"
        assert answer.changed is not None
        assert (answer.changed.by, answer.changed.arguments["amount"]) == ("maya@larkspur.example", "40.00")
    assert [str(paid.amount) for paid in till.paid.values()] == ["40.00"]


async def test_an_edit_is_decided_by_policy_and_checked_like_a_call(
    opened: OpenGateway, till: Any, policies: Path
) -> None:
    (policies / "rules.csv").write_text(RULES + "p, A9, role:agent, crm_issue_refund, args.amount > 500, deny, no\n")
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        with pytest.raises(NotAnswerable, match="policy denies the edited call: rule A9 denies it"):
            await edit(gateway, asked, MAYA, amount=501)
        with pytest.raises(InvalidArguments, match="amount"):
            await edit(gateway, asked, MAYA, amount=-1)
        assert (await refund(gateway)).status == "pending_approval"


async def test_an_edit_voids_what_was_said_to_the_former_arguments(
    opened: OpenGateway, till: Any, policies: Path
) -> None:
    approvers(policies, TWO)
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        seen = (await say(gateway, asked, MAYA)).binding
        assert (await edit(gateway, asked, NADIA, amount=40)).state(gateway.now()) is State.PENDING
        with pytest.raises(NotAnswerable, match="it has changed since you were shown it"):
            await say(gateway, asked, MAYA, seen=seen)
        assert (await say(gateway, asked, MAYA)).state(gateway.now()) is State.APPROVED
        await refund(gateway)
    assert [str(paid.amount) for paid in till.paid.values()] == ["40.00"]


async def test_an_edited_call_that_policy_denies_by_now_does_not_run(
    opened: OpenGateway, till: Any, policies: Path
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        await edit(gateway, asked, MAYA, amount=40)
        denying = "p, A9, role:agent, crm_issue_refund, args.amount == 40, deny, no\n"
        (policies / "rules.csv").write_text(RULES + denying)
        plain.policy.current = load_policy(policies, list(plain.catalog.tools.values()))
        assert (await refund(gateway)).status == "pending_approval", "a changed policy asks about the call as proposed"
    assert till.paid == {}


async def test_a_yes_that_comes_after_another_persons_edit_must_say_what_it_saw(opened: OpenGateway, till: Any) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        first = await gateway.approvals.find("larkspur", name(asked))
        assert first is not None
        await edit(gateway, asked, MAYA, amount=40)
        with pytest.raises(NotAnswerable, match="approved already, by maya"):
            await say(gateway, asked, NADIA, seen=first.binding)


# Asking back


async def test_what_is_asked_back_reaches_the_caller_and_the_reply_the_approver(opened: OpenGateway, till: Any) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        policy, now = gateway.policy.current, gateway.now()
        await gateway.approvals.ask_back(name(asked), MAYA, policy, "which parcel?", now)
        told = await refund(gateway)
        assert told.approval is not None
        assert told.approval.asked_back == "which parcel?"
        declared = Declared.model_validate({"remit/reply": "the second one"})
        after = await call_tool(gateway, ToolCall(ANA, "crm_issue_refund", REFUND, declared))
        assert after.approval is not None
        assert after.approval.asked_back is None
        found = await gateway.approvals.find("larkspur", name(asked))
        assert found is not None
        assert [(remark.text, remark.is_reply) for remark in found.remarks] == [
            ("which parcel?", False),
            ("the second one", True),
        ]
        assert await gateway.approvals.reply(found, ANA, "unasked", now) == found
        assert (await say(gateway, asked, MAYA)).state(now) is State.APPROVED


# Policy changes


async def test_a_new_policy_decides_open_questions_again_at_once(
    opened: OpenGateway, till: Any, policies: Path, entries: Callable[[], list[Entry]]
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        denied, allowed, kept = [await refund(gateway, amount=amount) for amount in (80, 10, 30)]
        new = (
            "p, A9, role:agent, crm_issue_refund, args.amount > 50, deny, too much\n"
            "p, B1, role:agent, crm_issue_refund, args.amount < 20, allow, small\n"
            "p, B2, role:agent, crm_issue_refund, args.amount >= 20, ask, money needs a second look\n"
        )
        (policies / "rules.csv").write_text(new)
        policy = load_policy(policies, list(plain.catalog.tools.values()))
        assert await gateway.approvals.decide_again(policy, gateway.now()) == 3
        assert await gateway.approvals.decide_again(policy, gateway.now()) == 0, "once"
        states = [await gateway.approvals.find("larkspur", name(each)) for each in (denied, allowed, kept)]
        assert [each.state(gateway.now()) for each in states if each] == [
            State.WITHDRAWN,
            State.WITHDRAWN,
            State.PENDING,
        ]
        plain.policy.current = policy
        with pytest.raises(NotAnswerable, match="it was withdrawn: rule A9 denies it: too much"):
            await say(gateway, denied, MAYA)
        assert (await refund(gateway, amount=80)).status == "denied"
        assert (await refund(gateway, amount=10)).status == "ok"
        assert (await refund(gateway, amount=30)).status == "pending_approval"
    assert [entry.kind for entry in entries()].count(Kind.WITHDRAWN) == 2


async def test_a_withdrawn_question_is_open_again_when_policy_asks_again(
    opened: OpenGateway, till: Any, policies: Path
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        tools = list(plain.catalog.tools.values())
        before = plain.policy.current
        asked = await refund(gateway)
        await say(gateway, asked, MAYA)
        (policies / "rules.csv").write_text("p, A1, role:agent, crm_issue_refund, , deny, stop\n")
        await gateway.approvals.decide_again(load_policy(policies, tools), gateway.now())
        plain.policy.current = before
        assert (await refund(gateway)).status == "pending_approval", "the former yes does not count"
        assert (await say(gateway, asked, MAYA)).state(gateway.now()) is State.APPROVED
    assert till.paid == {}


# Keys


async def test_a_question_with_a_key_is_named_by_it_and_its_end_stays(opened: OpenGateway, till: Any) -> None:
    async def keyed(gateway: Gateway, key: str, **changes: object) -> Answer[Any]:
        declared = Declared.model_validate({"remit/key": key})
        return await call_tool(gateway, ToolCall(ANA, "crm_issue_refund", {**REFUND, **changes}, declared))

    async with opened(approval_ttl=3600) as plain:
        gateway = paying(plain, till)
        first, second = await keyed(gateway, "one"), await keyed(gateway, "two")
        assert name(first) != name(second), "two calls, though alike"
        other = await keyed(gateway, "one", amount=81)
        assert other.error is not None
        assert (other.error.kind, other.error.field) == ("conflict", "remit/key")
        await say(gateway, first, MAYA)
        assert (await keyed(gateway, "one")).status == "ok"
        assert (await keyed(later(gateway, hours=9), "one")).status == "ok", "the settled answer, for ever"
        assert (await keyed(later(gateway, hours=9), "two")).status == "denied", "it expired"
    assert len(till.paid) == 1


# Standing approvals

STANDING = "approver, role:lead, crm_*, *, standing=2\n"


def terms(gateway: Gateway, times: int = 2, hours: float = 8, run: str | None = None) -> Terms:
    return Terms(times, gateway.now() + timedelta(hours=hours), run)


async def test_a_standing_approval_lets_a_few_like_calls_through_and_no_others(
    opened: OpenGateway, till: Any, policies: Path
) -> None:
    approvers(policies, STANDING)
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        await say(gateway, asked, MAYA, terms=terms(gateway))
        assert (await refund(gateway)).status == "ok", "the call itself"
        assert (await refund(gateway)).status == "ok", "its settled answer"
        assert len(till.paid) == 1
        for changed in ({"amount": 81}, {"order_id": "ord_other234"}):
            assert (await refund(gateway, **changed)).status == "pending_approval", changed
        assert (await refund(gateway, TRIAGE)).status == "pending_approval"
        outcomes = [(await refund(gateway, note=note)).status for note in ("first", "second", "third")]
        assert outcomes == ["ok", "ok", "pending_approval"]
    assert len(till.paid) == 3


async def test_many_calls_at_once_do_not_exceed_a_standing_approval(
    opened: OpenGateway, till: Any, policies: Path
) -> None:
    approvers(policies, STANDING)
    got: list[str] = []

    async def call(gateway: Gateway, number: int) -> None:
        got.append((await refund(gateway, note=f"number {number}")).status)

    async with opened() as plain:
        gateway = paying(plain, till)
        await say(gateway, await refund(gateway), MAYA, terms=terms(gateway))
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(call, gateway, number)
    assert sorted(got) == ["ok"] * 2 + ["pending_approval"] * 8


@pytest.mark.parametrize(
    ("line", "given", "why"),
    [
        ("approver, role:lead, crm_*, *\n", {}, "lets maya@larkspur.example give no standing approval"),
        (STANDING, {"times": 3}, "covers 1 to 2 calls, not 3"),
        (STANDING, {"hours": 25}, "ends within 24 hours"),
        (STANDING, {"hours": 0}, "ends within 24 hours"),
        (STANDING.replace("\n", ", quorum=2\n"), {}, "2 people must say yes to each such call"),
    ],
)
async def test_policy_bounds_what_a_standing_approval_covers(
    opened: OpenGateway, till: Any, policies: Path, line: str, given: dict[str, Any], why: str
) -> None:
    approvers(policies, line)
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        with pytest.raises(NotAnswerable, match=why):
            await say(gateway, asked, MAYA, terms=terms(gateway, **given))
        assert (await refund(gateway)).status == "pending_approval", "then the yes is not recorded either"


async def test_a_standing_approval_ends_by_time_by_a_changed_policy_by_deny_and_by_being_taken_back(
    opened: OpenGateway, till: Any, policies: Path
) -> None:
    approvers(policies, STANDING)
    async with opened() as plain:
        gateway = paying(plain, till)
        tools = list(plain.catalog.tools.values())
        asked = await refund(gateway)
        await say(gateway, asked, MAYA, terms=terms(gateway, hours=1))
        assert (await refund(later(gateway, hours=1), note="late")).status == "pending_approval"
        before = plain.policy.current
        denying = "p, A9, role:agent, crm_issue_refund, args.amount > 1, deny, stop\n"
        for rules, status in ((RULES + "# changed\n", "pending_approval"), (RULES + denying, "denied")):
            (policies / "rules.csv").write_text(rules)
            plain.policy.current = load_policy(policies, tools)
            assert (await refund(gateway, note="changed")).status == status
        plain.policy.current = before
        [standing] = await gateway.approvals.standing.in_force("larkspur", gateway.now())
        with pytest.raises(NotAnswerable, match="may not answer"):
            await gateway.approvals.end_standing(standing.id, TOM, before, gateway.now())
        with pytest.raises(UnknownApproval):
            await gateway.approvals.end_standing(
                standing.id, Principal("other", person="zoe@other.example"), before, gateway.now()
            )
        await gateway.approvals.end_standing(standing.id, NADIA, before, gateway.now())
        assert (await refund(gateway, note="ended")).status == "pending_approval"
    assert till.paid == {}


async def test_a_standing_approval_for_one_run_needs_calls_that_declare_it(
    opened: OpenGateway, till: Any, policies: Path
) -> None:
    approvers(policies, STANDING)

    async def within(gateway: Gateway, run: str | None, note: str) -> str:
        declared = Declared.model_validate({"remit/run": run} if run else {})
        arguments = {**REFUND, "note": note}
        return (await call_tool(gateway, ToolCall(ANA, "crm_issue_refund", arguments, declared))).status

    async with opened() as plain:
        gateway = paying(plain, till)
        await say(gateway, await refund(gateway), MAYA, terms=terms(gateway, run="run_1"))
        assert await within(gateway, None, "a") == "pending_approval"
        assert await within(gateway, "run_2", "b") == "pending_approval"
        assert await within(gateway, "run_1", "c") == "ok"


async def test_the_recipient_of_a_standing_approval_is_fixed_and_the_text_is_free(
    opened: OpenGateway, policies: Path, entries: Callable[[], list[Entry]]
) -> None:
    (policies / "rules.csv").write_text(RULES + "p, M1, role:agent, email_send_message, , ask, mail goes out\n")
    approvers(policies, "approver, role:lead, *, *, standing=5\n")

    async def mail(gateway: Gateway, **changes: object) -> Answer[Any]:
        return await call_tool(gateway, ToolCall(ANA, "email_send_message", {**MAIL, **changes}))

    async with opened() as gateway:
        asked = await mail(gateway)
        await say(gateway, asked, MAYA, terms=terms(gateway))
        assert (await mail(gateway, body="Another text")).status != "pending_approval"
        for other in ({"to": ["eve@evil.example"]}, {"cc": ["eve@evil.example"]}, {"mailbox": "ceo@larkspur.example"}):
            assert (await mail(gateway, **other)).status == "pending_approval", other
    [given] = [entry.body for entry in entries() if entry.kind is Kind.STANDING]
    assert set(given["fixed"]) == {"mailbox", "to", "cc"}


async def test_the_case_of_the_agent_is_recorded_with_the_question(
    opened: OpenGateway, till: Any, entries: Callable[[], list[Entry]]
) -> None:
    case = {"recommendation": "refund it", "evidence": ["tic_1: late by 9 days"], "confidence": 0.8}
    declared = Declared.model_validate({"remit/case": case, "remit/context": ["doc_1"], "remit/cost": {"usd": 0.02}})
    async with opened() as plain:
        await call_tool(paying(plain, till), ToolCall(ANA, "crm_issue_refund", REFUND, declared))
    [asked] = [entry.body["said"] for entry in entries() if entry.kind is Kind.ASKED]
    assert asked == {"case": case, "context": ["doc_1"], "cost": {"usd": 0.02}, "client": ""}
    [pending] = [entry.body for entry in entries() if entry.kind is Kind.PENDING]
    assert (pending["context"], pending["cost"]) == (["doc_1"], {"usd": 0.02})


async def test_in_process_listeners_hear_of_every_change(opened: OpenGateway, till: Any) -> None:
    heard: list[State] = []
    async with opened() as plain:
        gateway = paying(plain, till)
        gateway.approvals.listeners.append(lambda approval: heard.append(approval.state(gateway.now())))
        asked = await refund(gateway)
        await say(gateway, asked, MAYA)
        await refund(replace(gateway))
    assert heard == [State.PENDING, State.APPROVED]
