"""A person's yes covers one exact action, and the action happens once."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from connectors.contract import CallContext
from connectors.crm.tools import Contact, IssueRefund, Refund, UpdateContact
from connectors.errors import Conflict
from gateway.answer import Answer
from gateway.approvals import Approval, NotAnswerable, State
from gateway.approvals.book import UnknownApproval
from gateway.call import call_tool
from gateway.gateway import Gateway, ToolCall
from gateway.journal import Entry, JournalUnavailable, Kind
from gateway.principal import Principal
from tests.gateway.conftest import OpenGateway

ANA = Principal("larkspur", person="ana@larkspur.example")
MAYA = Principal("larkspur", person="maya@larkspur.example")
NADIA = Principal("larkspur", person="nadia@larkspur.example")
ROLES = """\
g, person:ana@larkspur.example, role:agent, larkspur
g, person:maya@larkspur.example, role:agent, larkspur
g, person:maya@larkspur.example, role:lead, larkspur
g, person:nadia@larkspur.example, role:lead, larkspur
g, person:zoe@other.example, role:lead, other
g, agent:triage, role:agent, larkspur
g, agent:triage, role:lead, larkspur
"""
RULES = """\
p, A1, role:agent, crm_issue_refund, , ask, money needs a second look
p, A2, role:agent, crm_update_contact, , ask, so does an address
"""
APPROVERS = "approver, role:lead, crm_*, *\n"
REFUND = {"order_id": "ord_abcd2345", "amount": 80, "currency": "EUR", "reason": "late"}
UPDATE = {"contact_id": "con_abcd", "version": 1, "name": "Kim"}


class Till:
    """A back end that pays once per key, as the contract asks, and can hang or refuse."""

    def __init__(self) -> None:
        self.paid: dict[str, Refund] = {}
        self.updated = 0
        self.fail: Callable[[], None] = lambda: None

    async def crm_issue_refund(self, call: CallContext, args: IssueRefund) -> Refund:
        await anyio.lowlevel.checkpoint()
        self.fail()
        made = Refund(
            id=f"ref_{len(self.paid):04}",
            order_id=args.order_id,
            amount=args.amount,
            currency=args.currency,
            reason=args.reason,
            issued_by=call.actor,
            issued_at=call.now,
        )
        return self.paid.setdefault(call.key, made)

    async def crm_update_contact(self, call: CallContext, args: UpdateContact) -> Contact:
        self.updated += 1
        self.fail()
        times = {"created_at": call.now, "updated_at": call.now}
        return Contact(id=args.contact_id, name="Kim", email="kim@customer.example", version=2, **times)


@pytest.fixture
def policies(policies: Path) -> Path:
    (policies / "roles.csv").write_text(ROLES)
    (policies / "rules.csv").write_text(RULES)
    (policies / "approvers.csv").write_text(APPROVERS)
    return policies


@pytest.fixture
def till() -> Any:
    return Till()


def paying(gateway: Gateway, till: Any) -> Gateway:
    return replace(gateway, back_ends=replace(gateway.back_ends, crm=till))


async def refund(gateway: Gateway, who: Principal = ANA, **changes: object) -> Answer[Any]:
    return await call_tool(gateway, ToolCall(who, "crm_issue_refund", {**REFUND, **changes}))


async def reply(gateway: Gateway, asked: Answer[Any], who: Principal = MAYA, approve: bool = True) -> State:
    assert asked.approval is not None
    approval = await gateway.approvals.answer(
        asked.approval.id, who, gateway.policy.current, approve, "as agreed", gateway.now()
    )
    return approval.state(gateway.now())


async def found(gateway: Gateway, asked: Answer[Any]) -> Approval:
    assert asked.approval is not None
    approval = await gateway.approvals.find("larkspur", asked.approval.id)
    assert approval is not None
    return approval


async def answered(gateway: Gateway, asked: Answer[Any], who: Principal = MAYA, **said: Any) -> Approval:
    assert asked.approval is not None
    return await gateway.approvals.answer(
        asked.approval.id, who, gateway.policy.current, True, "", gateway.now(), **said
    )


def later(gateway: Gateway, **delta: float) -> Gateway:
    return replace(gateway, now=lambda: gateway.now() + timedelta(**delta))


async def test_an_approved_call_runs_when_it_is_repeated_and_only_once(opened: OpenGateway, till: Any) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        assert (asked.status, till.paid) == ("pending_approval", {})
        assert await reply(gateway, asked) is State.APPROVED
        assert till.paid == {}, "an answer alone runs nothing"
        first, again = await refund(gateway), await refund(gateway)
    assert first.status == again.status == "ok"
    assert again == first.model_copy(update={"result": again.result})
    assert again.to_wire() == first.to_wire()
    assert len(till.paid) == 1


async def test_the_whole_story_stands_in_the_journal_under_one_name(
    opened: OpenGateway, till: Any, entries: Callable[[], list[Entry]]
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        await reply(gateway, asked)
        await refund(gateway)
        await refund(gateway)
    assert asked.approval is not None
    story = [entry for entry in entries() if entry.call_id == asked.approval.id]
    assert [entry.kind for entry in story] == [Kind.ASKED, Kind.ANSWERED, Kind.INTENT, Kind.OUTCOME]
    assert story[1].body["approver"] == "maya@larkspur.example"
    assert [entry.kind for entry in entries() if entry not in story] == [Kind.PENDING, Kind.REPEATED]


async def test_twenty_repetitions_at_once_pay_once(opened: OpenGateway, till: Any) -> None:
    got: list[Answer[Any]] = []

    async with opened() as plain:
        gateway = paying(plain, till)
        await reply(gateway, await refund(gateway))

        async def repeat() -> None:
            got.append(await refund(gateway))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(repeat)
    assert len(till.paid) == 1
    assert {answer.to_wire()["result"]["id"] for answer in got if answer.result} == {"ref_0000"}


async def test_twenty_repetitions_at_once_start_once_though_the_back_end_knows_no_keys(
    opened: OpenGateway, till: Any, entries: Callable[[], list[Entry]]
) -> None:
    async def update(gateway: Gateway) -> Answer[Any]:
        return await call_tool(gateway, ToolCall(ANA, "crm_update_contact", UPDATE))

    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await update(gateway)
        await reply(gateway, asked)
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(update, gateway)
    assert till.updated == 1
    assert asked.approval is not None
    started = [entry.kind for entry in entries() if entry.call_id == asked.approval.id].count(Kind.INTENT)
    assert started == 1


async def test_arguments_swapped_after_the_approval_are_another_question(opened: OpenGateway, till: Any) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        await reply(gateway, await refund(gateway))
        for change in ({"amount": 80.01}, {"order_id": "ord_other234"}, {"note": "x"}, {"currency": "USD"}):
            assert (await refund(gateway, **change)).status == "pending_approval"
    assert till.paid == {}


async def test_another_callers_approval_is_of_no_use(opened: OpenGateway, till: Any) -> None:
    triage_for_ana = Principal("larkspur", person=ANA.person, agent="triage")
    async with opened() as plain:
        gateway = paying(plain, till)
        await reply(gateway, await refund(gateway))
        for other in (MAYA, triage_for_ana, Principal("larkspur", agent="triage")):
            assert (await refund(gateway, other)).status == "pending_approval"
    assert till.paid == {}


@pytest.mark.parametrize(
    ("who", "told"),
    [
        (ANA, "nobody answers a question of their own"),
        (Principal("larkspur", agent="triage"), "only a person answers"),
        (Principal("larkspur", person="maya@larkspur.example", agent="triage"), "only a person answers"),
        (Principal("larkspur", person="stranger@larkspur.example"), "may not answer for `crm_issue_refund`"),
    ],
)
async def test_only_another_person_whom_policy_names_answers(
    opened: OpenGateway, till: Any, who: Principal, told: str
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        with pytest.raises(NotAnswerable, match=told):
            await reply(gateway, asked, who)
        assert (await refund(gateway)).status == "pending_approval"


async def test_an_approver_may_not_answer_what_an_agent_asks_for_them(opened: OpenGateway, till: Any) -> None:
    for_maya = Principal("larkspur", person=MAYA.person, agent="triage")
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway, for_maya)
        with pytest.raises(NotAnswerable, match="of their own"):
            await reply(gateway, asked, MAYA)
        assert await reply(gateway, asked, NADIA) is State.APPROVED


async def test_another_tenants_question_does_not_exist(opened: OpenGateway, till: Any) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        with pytest.raises(UnknownApproval):
            await reply(gateway, asked, Principal("other", person="zoe@other.example"))


async def test_of_two_answers_at_the_same_moment_one_counts(opened: OpenGateway, till: Any) -> None:
    outcomes: list[object] = []

    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)

        async def answer(who: Principal, approve: bool) -> None:
            try:
                outcomes.append(await reply(gateway, asked, who, approve))
            except NotAnswerable as refused:
                outcomes.append(str(refused))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer, MAYA, True)
            tasks.start_soon(answer, NADIA, False)
        final = (await refund(gateway)).status
    [won] = [each for each in outcomes if isinstance(each, State)]
    [lost] = [each for each in outcomes if not isinstance(each, State)]
    assert f"it is {won} already, by" in str(lost)
    assert final == {State.APPROVED: "ok", State.REFUSED: "denied"}[won]


async def test_a_refusal_reaches_the_caller_with_its_note_and_cannot_be_turned(opened: OpenGateway, till: Any) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        assert await reply(gateway, asked, approve=False) is State.REFUSED
        told = await refund(gateway)
        assert (told.status, told.rules) == ("denied", ["A1"])
        assert "maya@larkspur.example refused" in (told.reason or "")
        assert "as agreed" in (told.reason or "")
        with pytest.raises(NotAnswerable, match="it is refused already"):
            await reply(gateway, asked, NADIA)


async def test_a_question_that_expires_is_refused_and_cannot_be_answered(opened: OpenGateway, till: Any) -> None:
    async with opened(approval_ttl=3600) as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        too_late = later(gateway, hours=1)
        with pytest.raises(NotAnswerable, match="it is expired already"):
            await reply(too_late, asked)
        told = await refund(too_late)
    assert told.status == "denied"
    assert "expired on" in (told.reason or "")


async def test_an_approval_that_is_not_used_in_time_expires_too(opened: OpenGateway, till: Any) -> None:
    async with opened(approval_ttl=3600) as plain:
        gateway = paying(plain, till)
        await reply(gateway, await refund(gateway))
        assert (await refund(later(gateway, hours=1))).status == "denied"
    assert till.paid == {}


async def test_long_after_its_end_the_same_call_is_a_new_question(opened: OpenGateway, till: Any) -> None:
    async with opened(approval_ttl=3600) as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        await reply(gateway, asked)
        await refund(gateway)
        new = await refund(later(gateway, hours=2, seconds=1))
    assert new.status == "pending_approval"
    assert asked.approval is not None
    assert new.approval is not None
    assert new.approval.id != asked.approval.id


async def test_under_a_changed_policy_a_question_is_open_again_and_what_was_said_before_does_not_count(
    opened: OpenGateway, till: Any, policies: Path
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = await refund(gateway)
        approved = await refund(gateway, amount=10)
        await reply(gateway, approved)
        assert asked.approval is not None
        seen = await found(gateway, asked)
    (policies / "rules.csv").write_text(RULES + "# a change\n")
    async with opened() as plain:
        gateway = paying(plain, till)
        assert (await refund(gateway, amount=10)).status == "pending_approval"
        with pytest.raises(NotAnswerable, match="has changed since you were shown it"):
            await answered(gateway, asked, seen=seen.binding)
        assert till.paid == {}
        assert await reply(gateway, asked) is State.APPROVED
        assert (await refund(gateway)).status == "ok"


async def test_a_policy_that_now_denies_denies_what_was_approved(
    opened: OpenGateway, till: Any, policies: Path
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        await reply(gateway, await refund(gateway))
    (policies / "rules.csv").write_text(RULES + "p, A9, role:agent, crm_issue_refund, args.amount > 50, deny, stop\n")
    async with opened() as plain:
        assert (await refund(paying(plain, till))).rules == ["A9"]
    assert till.paid == {}


async def test_what_the_back_end_refused_stays_refused(opened: OpenGateway, till: Any) -> None:
    def refuse() -> None:
        raise Conflict("the order is cancelled")

    async with opened() as plain:
        gateway = paying(plain, till)
        await reply(gateway, await refund(gateway))
        till.fail = refuse
        first = await refund(gateway)
        till.fail = lambda: None
        again = await refund(gateway)
    assert first.status == again.status == "failed"
    assert till.paid == {}


class _JournalThatLoses:
    """Loses every outcome, as a process that dies right after the effect would."""

    def __init__(self, gateway: Gateway) -> None:
        self.inner = gateway.journal
        self.failing = ""

    async def append(self, entry: Entry) -> None:
        if entry.kind is Kind.OUTCOME:
            raise JournalUnavailable("lost")
        await self.inner.append(entry)


async def test_an_effect_whose_outcome_was_lost_is_settled_by_the_repetition_and_done_once(
    opened: OpenGateway, till: Any
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        await reply(gateway, await refund(gateway))
        losing: Any = _JournalThatLoses(gateway)
        assert (await refund(replace(gateway, journal=losing))).status == "failed"
    async with opened() as plain:
        assert (await refund(paying(plain, till))).status == "failed", "another process may still be at it"
        for _ in range(2):
            assert (await refund(later(paying(plain, till), minutes=1))).status == "ok"
    assert len(till.paid) == 1


async def test_where_the_back_end_cannot_tell_the_kept_answer_tells_and_nothing_is_repeated(
    opened: OpenGateway, till: Any
) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        update = ToolCall(ANA, "crm_update_contact", UPDATE)
        await reply(gateway, await call_tool(gateway, update))
        losing: Any = _JournalThatLoses(gateway)
        await call_tool(replace(gateway, journal=losing), ToolCall(ANA, "crm_update_contact", UPDATE))
        again = await call_tool(gateway, ToolCall(ANA, "crm_update_contact", UPDATE))
    assert again.status == "ok"
    assert till.updated == 1
