"""A key stands for one call of one caller: done once, its answer given again, never used for another call."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import CallContext, Output, Tool
from connectors.crm.tools import Contact, CreateContact
from connectors.embedded.tenancy import EVERY_TENANT
from connectors.errors import InDoubt, InvalidInput, Unavailable
from gateway.answer import Answer, ErrorKind
from gateway.app import open_gateway
from gateway.call import call_tool
from gateway.canonical import keyed_name, names_of_key
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.journal import Entry, Kind, read_journal
from gateway.principal import Principal
from gateway.settings import Settings
from tests.gateway.conftest import RULES, SECRET, OpenGateway
from tests.gateway.test_call import ANA, KIM, REFUND, TRIAGE, Entries, ask, kinds, with_crm
from tests.policies import policy_folder

MAYA_FOR_ANA = Principal("larkspur", person=ANA.person, agent="triage")


class Register:
    """A back end that adds contacts once per key and can be told what to do meanwhile."""

    def __init__(self) -> None:
        self.made: dict[str, Contact] = {}
        self.asked = 0
        self.before: Callable[[], Any] = anyio.lowlevel.checkpoint
        self.after: Callable[[], Any] = anyio.lowlevel.checkpoint

    async def crm_create_contact(self, call: CallContext, args: CreateContact) -> Contact:
        self.asked += 1
        await self.before()
        made = Contact(
            id=f"con_made{len(self.made)}",
            name=args.name,
            email=args.email,
            created_at=call.now,
            updated_at=call.now,
            version=1,
        )
        self.made.setdefault(call.key, made)
        await self.after()
        return self.made[call.key]


class RegisterThatRemembers(Register):
    """And that says afterwards what became of a key."""

    def __init__(self) -> None:
        super().__init__()
        self.fenced: set[str] = set()
        self.silent = False

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:
        if self.silent:
            raise Unavailable("not now")
        if call.key not in self.made:
            self.fenced.add(call.key)
        return self.made.get(call.key)


def kind_of(answer: Answer[Any]) -> ErrorKind | None:
    return answer.error.kind if answer.error else None


def later(gateway: Gateway, minutes: float = 1) -> Gateway:
    return replace(gateway, now=lambda: gateway.now() + timedelta(minutes=minutes))


async def add(gateway: Gateway, key: str = "run-1/2", who: Principal = ANA, **changes: Any) -> Answer[Any]:
    return await ask(gateway, who, "crm_create_contact", {**KIM, **changes}, key)


async def test_a_repetition_gets_the_first_answer_and_does_nothing(opened: OpenGateway, entries: Entries) -> None:
    crm = Register()
    async with opened() as plain:
        gateway = with_crm(plain, crm)
        first = await add(gateway)
        again = [await add(gateway) for _ in range(3)]
    assert first.status == "ok"
    assert [answer.to_wire() for answer in again] == [first.to_wire()] * 3
    assert crm.asked == 1
    assert kinds(entries()) == [Kind.INTENT, Kind.OUTCOME, *[Kind.REPEATED] * 3]
    assert first.call_id == keyed_name(ANA, "run-1/2", SECRET)
    assert {entry.body["repeats"] for entry in entries()[2:]} == {first.call_id}


async def test_a_refusal_is_an_answer_that_stays(opened: OpenGateway) -> None:
    crm = Register()

    async def refuse() -> None:
        raise InvalidInput("no such account", field="account_id")

    async with opened() as plain:
        gateway = with_crm(plain, crm)
        crm.before = refuse
        first = await add(gateway)
        crm.before = anyio.lowlevel.checkpoint
        again = await add(gateway)
        other = await add(gateway, key="another")
    assert again.to_wire() == first.to_wire()
    assert kind_of(first) is ErrorKind.INVALID_INPUT
    assert other.status == "ok"


@pytest.mark.parametrize("change", [{"name": "Kim"}, {"email": "kim2@customer.example"}, {"notes": "x"}])
async def test_the_same_key_with_other_arguments_is_a_conflict_that_leaks_none(
    opened: OpenGateway, entries: Entries, change: dict[str, Any]
) -> None:
    crm = Register()
    async with opened() as plain:
        gateway = with_crm(plain, crm)
        first = await add(gateway)
        other = await add(gateway, **change)
    assert kind_of(other) is ErrorKind.CONFLICT
    assert other.error is not None
    assert first.call_id in other.error.message
    assert "crm_create_contact" in other.error.message
    assert "kim@customer" not in other.model_dump_json()
    assert crm.asked == 1
    assert kinds(entries()) == [Kind.INTENT, Kind.OUTCOME, Kind.INVALID]


async def test_the_same_key_with_another_tool_is_a_conflict(opened: OpenGateway) -> None:
    async with opened() as plain:
        await add(with_crm(plain, Register()))
        other = await ask(plain, ANA, "crm_log_activity", {"kind": "note", "summary": "x"}, "run-1/2")
    assert kind_of(other) in {ErrorKind.CONFLICT, ErrorKind.INVALID_INPUT}


async def test_another_caller_with_the_same_key_is_another_call(opened: OpenGateway) -> None:
    crm = Register()
    async with opened() as plain:
        gateway = with_crm(plain, crm)
        answers = [await add(gateway, who=who, email=f"{n}@x.example") for n, who in enumerate((ANA, TRIAGE))]
    assert [answer.status for answer in answers] == ["ok", "ok"]
    assert len({keyed_name(who, "k", SECRET) for who in (ANA, TRIAGE, MAYA_FOR_ANA)}) == 3


async def test_a_denied_call_does_not_use_its_key_up(opened: OpenGateway, policies: Path) -> None:
    crm = Register()
    (policies / "rules.csv").write_text(RULES + "p, Z1, role:agent, crm_create_contact, args.name == 'Eve', deny, no\n")
    async with opened() as plain:
        gateway = with_crm(plain, crm)
        assert (await add(gateway, name="Eve")).status == "denied"
        assert (await add(gateway)).status == "ok"


async def test_a_key_of_a_waiting_question_does_no_other_call(opened: OpenGateway, entries: Entries) -> None:
    async with opened() as gateway:
        _, name = names_of_key(keyed_name(ANA, "k1", SECRET))
        body = {"tool": "crm_issue_refund", "arguments": {**REFUND, "amount": "80", "note": ""}}
        await gateway.journal.append(Entry(name, "larkspur", ANA.name, gateway.now(), Kind.ASKED, body))
        answer = await ask(gateway, ANA, "crm_issue_refund", {**REFUND, "amount": 10}, "k1")
    assert kind_of(answer) is ErrorKind.CONFLICT
    assert kinds(entries()) == [Kind.ASKED, Kind.INVALID]


def test_either_name_of_a_key_leads_to_both() -> None:
    call = keyed_name(ANA, "k1", SECRET)
    assert names_of_key(call) == names_of_key(names_of_key(call)[1])


async def test_a_repetition_while_it_is_carried_out_is_told_to_come_back(opened: OpenGateway, entries: Entries) -> None:
    crm, started, go_on = Register(), anyio.Event(), anyio.Event()

    async def wait() -> None:
        started.set()
        await go_on.wait()

    async with opened() as plain, anyio.create_task_group() as tasks:
        gateway = with_crm(plain, crm)
        crm.before = wait
        tasks.start_soon(add, gateway)
        await started.wait()
        meanwhile = await add(gateway)
        elsewhere = await add(replace(gateway, running=type(gateway.running)()))
        much_later = await add(later(gateway, minutes=60))
        go_on.set()
    assert {kind_of(answer) for answer in (meanwhile, elsewhere, much_later)} == {ErrorKind.BUSY}
    assert "in progress" in meanwhile.error.message if meanwhile.error else False
    assert crm.asked == 1
    assert kinds(entries()).count(Kind.OUTCOME) == 1


async def test_a_read_with_a_key_simply_runs_again(opened: OpenGateway, entries: Entries) -> None:
    async with opened() as gateway:
        for _ in range(2):
            assert (await ask(gateway, ANA, "crm_search_accounts", {}, "k1")).status == "ok"
    assert kinds(entries()) == [Kind.INTENT, Kind.OUTCOME] * 2


async def test_a_repetition_does_not_count_itself_where_rules_look_back(opened: OpenGateway, policies: Path) -> None:
    rule = "p, Z1, role:agent, crm_create_contact, calls('crm_create_contact') >= 1, deny, one a day\n"
    (policies / "rules.csv").write_text(RULES + rule)
    async with opened() as plain:
        gateway = with_crm(plain, Register())
        first = await add(gateway)
        assert (await add(gateway)).to_wire() == first.to_wire()
        assert (await add(gateway, key="another")).status == "denied"


class _Stop(BaseException):
    """Ends a call as a process that dies would: nothing more is recorded."""


async def died(gateway: Gateway, crm: Register, *, after: bool) -> None:
    async def die() -> None:
        raise _Stop

    setattr(crm, "after" if after else "before", die)
    with pytest.raises(_Stop):
        await add(gateway)
    crm.before = crm.after = anyio.lowlevel.checkpoint


@pytest.mark.parametrize("after", [True, False])
async def test_after_a_crash_a_back_end_that_remembers_settles_it(
    opened: OpenGateway, entries: Entries, after: bool
) -> None:
    crm = RegisterThatRemembers()
    async with opened() as plain:
        gateway = with_crm(plain, crm)
        await died(gateway, crm, after=after)
        assert kind_of(await add(gateway)) is ErrorKind.BUSY, "another process may still be at it"
        found, again = await add(later(gateway)), await add(later(gateway))
    assert crm.asked == 1
    assert again.to_wire() == found.to_wire()
    assert (found.status, kind_of(found)) == (("ok", None) if after else ("failed", ErrorKind.NOT_DONE))
    assert bool(crm.fenced) is not after
    [outcome] = [entry for entry in entries() if entry.kind is Kind.OUTCOME]
    assert outcome.body["recovered"] is True


@pytest.mark.parametrize("after", [True, False])
async def test_after_a_crash_a_back_end_that_only_knows_keys_is_asked_again_under_the_key(
    opened: OpenGateway, after: bool
) -> None:
    crm = Register()
    async with opened() as plain:
        gateway = with_crm(plain, crm)
        await died(gateway, crm, after=after)
        assert (await add(later(gateway))).status == "ok"
        assert (await add(later(gateway))).status == "ok"
    assert len(crm.made) == 1
    assert crm.asked == 2


async def test_what_a_back_end_says_the_second_time_proves_nothing_of_the_first(opened: OpenGateway) -> None:
    crm = Register()

    async def refuse() -> None:
        raise InvalidInput("the account is closed by now")

    async with opened() as plain:
        gateway = with_crm(plain, crm)
        await died(gateway, crm, after=True)
        crm.before = refuse
        assert kind_of(await add(later(gateway))) is ErrorKind.IN_DOUBT
        assert len(await gateway.recorded.doubts("larkspur")) == 1
        crm.before = anyio.lowlevel.checkpoint
        assert (await add(later(gateway))).status == "ok"
        assert await gateway.recorded.doubts("larkspur") == []


async def test_a_write_that_hangs_is_looked_up_at_once(opened: OpenGateway, entries: Entries) -> None:
    crm = RegisterThatRemembers()
    crm.after = anyio.sleep_forever
    async with opened(call_timeout=0.05) as plain:
        answer = await add(with_crm(plain, crm))
    assert answer.status == "ok"
    assert kinds(entries()) == [Kind.INTENT, Kind.OUTCOME]


@pytest.mark.parametrize("after", [True, False])
async def test_what_the_back_end_does_not_confirm_is_looked_up_and_not_tried_again(
    opened: OpenGateway, after: bool
) -> None:
    crm = RegisterThatRemembers()

    async def lose_touch() -> None:
        raise InDoubt("the connection broke")

    setattr(crm, "after" if after else "before", lose_touch)
    async with opened() as plain:
        answer = await add(with_crm(plain, crm))
    assert answer.status == ("ok" if after else "failed")
    assert crm.asked == 1
    assert len(crm.made) == (1 if after else 0)


async def test_while_the_back_end_is_silent_it_stays_open_and_a_repetition_finds_out(opened: OpenGateway) -> None:
    crm = RegisterThatRemembers()
    crm.after = anyio.sleep_forever
    crm.silent = True
    async with opened(call_timeout=0.05) as plain:
        gateway = with_crm(plain, crm)
        assert kind_of(await add(gateway)) is ErrorKind.IN_DOUBT
        assert kind_of(await add(gateway)) is ErrorKind.IN_DOUBT
        assert await gateway.recorded.doubts("larkspur") == []
        crm.silent = False
        assert (await add(gateway)).status == "ok"
    assert crm.asked == 1


STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["Kim", "Lee"]), st.booleans()), min_size=1, max_size=12
)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_whatever_is_called_at_once_each_key_is_done_once_at_most_and_always_answered_alike(
    steps: list[tuple[str, str, bool]],
) -> None:
    crm = RegisterThatRemembers()
    heard: dict[str, list[dict[str, Any]]] = {}

    async def one(gateway: Gateway, key: str, name: str) -> None:
        answer = await call_tool(
            gateway,
            ToolCall(ANA, "crm_create_contact", {**KIM, "name": name}, Declared.model_validate({"remit/key": key})),
        )
        if answer.status == "ok":
            heard.setdefault(key, []).append(answer.to_wire())
        else:
            assert kind_of(answer) in {ErrorKind.BUSY, ErrorKind.CONFLICT}

    async def run(folder: Path) -> None:
        rules = "p, A1, role:agent, crm_*, , allow, support works in the CRM\n"
        policy_folder(folder, roles="g, person:ana@larkspur.example, role:agent, larkspur\n", rules=rules)
        async with open_gateway(Settings(home=folder / "home", policies=folder)) as plain:
            gateway = with_crm(plain, crm)
            async with anyio.create_task_group() as tasks:
                for key, name, wait in steps:
                    tasks.start_soon(one, gateway, key, name)
                    if wait:
                        await anyio.wait_all_tasks_blocked()

    with TemporaryDirectory() as folder:
        anyio.run(run, Path(folder))
        with Settings(home=Path(folder) / "home").open_database() as database:
            written = list(read_journal(database, EVERY_TENANT))
    assert len(crm.made) == crm.asked == len({key for key, _, _ in steps})
    assert all(answers == [answers[0]] * len(answers) for answers in heard.values())
    for kind in (Kind.INTENT, Kind.OUTCOME):
        names = [entry.call_id for entry in written if entry.kind is kind]
        assert len(names) == len(set(names)) == crm.asked
