"""A client whose call waits for a person is asked whether to wait, in every era; what it says runs nothing."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import mcp.types as wire
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError
from structlog.testing import capture_logs

from gateway.declared import Declared
from gateway.elicitation import Mode, mode_for, page_of
from gateway.gateway import Gateway
from gateway.held import HeldRequests, NoPlace
from gateway.home import utc_now
from gateway.journal import Entry, Kind
from gateway.journal.note import load_or_make_signer
from gateway.principal import Principal
from gateway.server import build_server
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_approvals import ANA, APPROVERS, MAYA, REFUND, ROLES, RULES, Till

CONSOLE = "https://remit.example"
MODERN, LEGACY = "2026-07-28", "legacy"
ERAS = [MODERN, LEGACY]
NEVER = 3600.0
Say = Callable[[wire.ElicitRequestParams], Any]


@pytest.fixture
def policies(policies: Path) -> Path:
    (policies / "roles.csv").write_text(ROLES)
    (policies / "rules.csv").write_text(RULES + "p, A3, role:agent, crm_search_accounts, , allow, reading is free\n")
    (policies / "approvers.csv").write_text(APPROVERS)
    return policies


class Desk:
    """One gateway, the till behind it, and the people around it."""

    def __init__(self, gateway: Gateway, held: HeldRequests) -> None:
        self.till = Till()
        self.later = timedelta()
        self.held = held
        self.asked: list[wire.ElicitRequestParams] = []
        self.over: list[str] = []
        self.progress: list[tuple[float, str | None]] = []
        self.waiting = anyio.Event()
        self.gateway = replace(
            gateway,
            back_ends=replace(gateway.back_ends, crm=cast("Any", self.till)),
            now=self.now,
        )

    def now(self) -> datetime:
        return utc_now() + self.later

    async def approve(self, approval_id: str, approve: bool = True) -> None:
        book, policy = self.gateway.approvals, self.gateway.policy.current
        await book.answer(approval_id, MAYA, policy, approve, "as agreed", self.gateway.now())

    async def approve_when_held(self) -> None:
        await self.waiting.wait()
        await self.approve(await self.question())

    @property
    def ids(self) -> list[str | None]:
        return [asked.elicitation_id for asked in self.asked if isinstance(asked, wire.ElicitRequestURLParams)]

    async def question(self) -> str:
        [approval] = await self.gateway.approvals.recent("larkspur", self.gateway.now())
        return approval.question.id

    async def tell(self, progress: float, total: float | None, message: str | None) -> None:
        self.progress.append((progress, message))
        if message == "waiting for an approver":
            self.waiting.set()

    async def notice(self, message: Any) -> None:
        if isinstance(message, wire.ElicitCompleteNotification):
            self.over.append(message.params.elicitation_id)

    @asynccontextmanager
    async def client(self, mode: Any, say: Say | None = None, who: Principal = ANA) -> AsyncIterator[Client]:
        async def callback(context: Any, params: wire.ElicitRequestParams) -> wire.ElicitResult:
            self.asked.append(params)
            said = say(params) if say else "accept"
            return wire.ElicitResult(action=said if isinstance(said, str) else await said)

        server = build_server(self.gateway, who)
        asks = callback if say else None
        async with Client(server, mode=mode, elicitation_callback=asks, message_handler=self.notice) as client:
            yield client

    async def refund(self, client: Client, meta: Any = None, **changes: object) -> dict[str, Any]:
        answer = await client.call_tool(
            "crm_issue_refund", {**REFUND, **changes}, progress_callback=self.tell, meta=meta
        )
        content: dict[str, Any] = answer.structured_content or {}
        return content


@asynccontextmanager
async def desk(opened: OpenGateway, *, poll: float = 0.005, **settings: object) -> AsyncIterator[Desk]:
    async with opened(**{"console_url": CONSOLE, **settings}) as gateway:
        here = Desk(gateway, gateway.patience.held)
        here.held = HeldRequests(gateway.approvals.find, here.now, 100, poll)
        here.gateway = replace(here.gateway, patience=replace(gateway.patience, held=here.held))
        yield here


async def emptied(held: HeldRequests) -> None:
    with anyio.fail_after(10):
        while len(held):
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("mode", ERAS)
async def test_a_client_that_waits_gets_the_result_of_the_call_once_it_is_approved(
    opened: OpenGateway, mode: str
) -> None:
    async with desk(opened) as here, here.client(mode, lambda _: "accept") as client:
        got: list[dict[str, Any]] = []

        async def call() -> None:
            got.append(await here.refund(client))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await here.waiting.wait()
            assert here.till.paid == {}
            await here.approve(await here.question())
        [asked] = here.asked
        assert isinstance(asked, wire.ElicitRequestURLParams)
        assert asked.url == f"{CONSOLE}/console/approvals/{await here.question()}"
        for told in ("`crm_issue_refund`", "ana@larkspur.example", " UTC"):
            assert told in asked.message
        assert "ord_abcd2345" not in asked.message
    assert [answer["status"] for answer in got] == ["ok"]
    assert len(here.till.paid) == 1
    numbers = [number for number, _ in here.progress]
    assert numbers == sorted(set(numbers)), "progress only rises"
    assert [message for _, message in here.progress if message][-1] == "done"
    assert here.over == ([asked.elicitation_id] if mode == LEGACY else [])


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize("action", ["accept", "decline", "cancel"])
async def test_nothing_that_the_client_says_runs_the_call(opened: OpenGateway, mode: str, action: str) -> None:
    hold = 0.05 if action == "accept" else 45
    async with desk(opened, approval_hold=hold) as here, here.client(mode, lambda _: action) as client:
        with anyio.fail_after(20):
            answer = await here.refund(client)
        assert len(here.held) == 0
    assert (answer["status"], here.till.paid) == ("pending_approval", {})
    assert answer["approval"]["id"] == await_id(here)
    assert here.over == []


def await_id(here: Desk) -> str:
    [asked] = here.asked
    assert isinstance(asked, wire.ElicitRequestURLParams)
    return asked.url.rpartition("/")[2]


@pytest.mark.parametrize("mode", ERAS)
async def test_a_refusal_ends_the_wait_with_the_approvers_no(opened: OpenGateway, mode: str) -> None:
    async with desk(opened) as here:

        async def refuse(_params: Any) -> str:
            await here.approve(await here.question(), approve=False)
            return "accept"

        async with here.client(mode, refuse) as client:
            answer = await here.refund(client)
    assert answer["status"] == "denied"
    assert "maya@larkspur.example refused" in answer["reason"]
    assert here.till.paid == {}


@pytest.mark.parametrize("mode", ERAS)
async def test_a_question_that_expires_ends_the_wait(opened: OpenGateway, mode: str) -> None:
    async with desk(opened, approval_ttl=3600) as here:

        async def an_hour_passes() -> None:
            await here.waiting.wait()
            here.later = timedelta(hours=1)

        async with here.client(mode, lambda _: "accept") as client, anyio.create_task_group() as tasks:
            tasks.start_soon(an_hour_passes)
            answer = await here.refund(client)
    assert (answer["status"], here.till.paid) == ("denied", {})
    assert "expired" in answer["reason"]


async def test_an_answer_in_this_process_is_not_waited_for_until_the_next_look(opened: OpenGateway) -> None:
    async with opened(console_url=CONSOLE) as gateway:
        here = Desk(gateway, gateway.patience.held)
        here.held._poll = NEVER

        async def approve_when_held() -> None:
            await here.waiting.wait()
            await anyio.wait_all_tasks_blocked()
            await here.approve(await here.question())

        async with here.client(MODERN, lambda _: "accept") as client, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_when_held)
            answer = await here.refund(client)
    assert answer["status"] == "ok"


@pytest.mark.parametrize("mode", ERAS)
async def test_a_caller_who_is_asked_back_is_told_at_once_and_can_reply(opened: OpenGateway, mode: str) -> None:
    async with desk(opened) as here:

        async def ask_back_when_held() -> None:
            await here.waiting.wait()
            book, policy = here.gateway.approvals, here.gateway.policy.current
            await book.ask_back(await here.question(), MAYA, policy, "why so much?", here.gateway.now())

        async with here.client(mode, lambda _: "accept") as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask_back_when_held)
                told = await here.refund(client, meta={"remit/reply": "nobody has asked yet"})
            unheard = await here.refund(client)
            here.waiting = anyio.Event()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(here.approve_when_held)
                done = await here.refund(client, meta={"remit/reply": "two orders were late"})
        found = await here.gateway.approvals.find("larkspur", await here.question())
    assert [told["status"], unheard["status"], done["status"]] == ["pending_approval", "pending_approval", "ok"]
    assert told["approval"]["asked_back"] == unheard["approval"]["asked_back"] == "why so much?"
    assert len(here.asked) == 2, "who has to reply is not asked whether to wait"
    assert found is not None
    assert [remark.text for remark in found.remarks] == ["why so much?", "two orders were late"]
    assert here.over == ([here.ids[1]] if mode == LEGACY else [])


@pytest.mark.parametrize("mode", ERAS)
async def test_a_client_that_gives_up_is_held_no_longer(opened: OpenGateway, mode: str) -> None:
    async with desk(opened) as here, here.client(mode, lambda _: "accept") as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(here.refund, client)
            await here.waiting.wait()
            assert len(here.held) == 1
            tasks.cancel_scope.cancel()
        await emptied(here.held)
        await here.approve(await here.question())
    assert here.till.paid == {}


@pytest.mark.parametrize("mode", ERAS)
async def test_a_client_that_shows_nothing_is_told_at_once(opened: OpenGateway, mode: str) -> None:
    async with desk(opened) as here, here.client(mode) as client:
        with anyio.fail_after(20):
            answer = await here.refund(client)
    assert (answer["status"], here.progress) == ("pending_approval", [])


@pytest.mark.parametrize("mode", ERAS)
async def test_a_caller_that_asks_to_be_held_is_held_and_its_user_not_asked(opened: OpenGateway, mode: str) -> None:
    got: list[dict[str, Any]] = []
    async with desk(opened) as here, here.client(mode, lambda _: "decline") as client:

        async def call() -> None:
            got.append(await here.refund(client, meta={"remit/wait": 40}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await here.waiting.wait()
            await here.approve(await here.question())
    assert [answer["status"] for answer in got] == ["ok"]
    assert here.asked == []


async def test_a_caller_that_asks_not_to_be_held_is_told_at_once(opened: OpenGateway) -> None:
    async with desk(opened) as here, here.client(MODERN, lambda _: "accept") as client:
        answer = await here.refund(client, meta={"remit/wait": 0})
    assert (answer["status"], here.asked, here.progress) == ("pending_approval", [], [])


@pytest.mark.parametrize("mode", ERAS)
async def test_where_nobody_may_be_held_nobody_is_asked(opened: OpenGateway, mode: str) -> None:
    async with desk(opened, approval_hold=0) as here, here.client(mode, lambda _: "accept") as client:
        answer = await here.refund(client, meta={"remit/wait": 50})
        again = await here.refund(client)
    assert (answer["status"], again["status"], here.asked) == ("pending_approval", "pending_approval", [])


@pytest.mark.parametrize("value", [-1, 51, "5", True, [5]])
async def test_a_wait_that_is_no_number_of_seconds_up_to_fifty_is_refused_before_anything_is_asked(
    opened: OpenGateway, entries: Callable[[], list[Entry]], value: object
) -> None:
    async with desk(opened) as here, here.client(MODERN) as client:
        with pytest.raises(MCPError, match=r"`_meta\.remit/wait`"):
            await here.refund(client, meta={"remit/wait": value})
    assert entries() == []


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_wait_that_json_cannot_say_is_refused(value: float) -> None:
    with pytest.raises(ValidationError):
        Declared.model_validate({"remit/wait": value})


def test_how_long_a_caller_waits_is_not_recorded() -> None:
    assert Declared.model_validate({"remit/wait": 5, "remit/run": "r"}).told() == {"run": "r"}


@pytest.mark.parametrize("mode", ERAS)
async def test_without_a_console_the_user_sees_a_form_and_everybody_how_to_answer(
    opened: OpenGateway, mode: str
) -> None:
    async with (
        desk(opened, console_url="", approval_hold=0.05) as here,
        here.client(mode, lambda _: "accept") as client,
    ):
        answer = await here.refund(client)
        [asked] = here.asked
        assert isinstance(asked, wire.ElicitRequestFormParams)
        command = f"`remit approvals show {answer['approval']['id']}`"
        assert command in asked.message
        assert asked.requested_schema == {"type": "object", "properties": {}}
    assert answer["status"] == "pending_approval"
    assert command in answer["next"]


async def test_held_requests_take_no_slot_from_ordinary_calls(opened: OpenGateway) -> None:
    async with (
        desk(opened, max_calls=1, max_waiting=0) as here,
        here.client(MODERN, lambda _: "accept") as client,
        anyio.create_task_group() as tasks,
    ):
        for held in range(1, 21):
            here.waiting = anyio.Event()
            tasks.start_soon(partial(here.refund, client, amount=held))
            await here.waiting.wait()
            assert len(here.held) == held
        told = await here.refund(client, meta={"remit/wait": 0}, amount=21)
        tasks.cancel_scope.cancel()
    assert told["status"] == "pending_approval", "and not turned away as busy"


async def test_one_more_than_may_be_held_is_told_at_once(opened: OpenGateway) -> None:
    async with desk(opened) as here:
        crowded = HeldRequests(here.gateway.approvals.find, here.gateway.now, 1, NEVER)
        here.gateway = replace(here.gateway, patience=replace(here.gateway.patience, held=crowded))
        with crowded.place("larkspur", "apr_other"):
            for mode in ERAS:
                async with here.client(mode, lambda _: "accept") as client:
                    assert (await here.refund(client))["status"] == "pending_approval"
        with (
            crowded.place("larkspur", "apr_other"),
            pytest.raises(NoPlace),
            crowded.place("larkspur", "apr_one_too_many"),
        ):
            pass


async def test_a_record_that_cannot_be_read_keeps_the_request_waiting(opened: OpenGateway) -> None:
    failed = anyio.Event()

    async def find(tenant: str, approval_id: str) -> Any:
        if not failed.is_set():
            failed.set()
            raise OSError("the disk is gone")
        return await here.gateway.approvals.find(tenant, approval_id)

    async def approve_after_the_failure() -> None:
        await failed.wait()
        await here.approve(await here.question())

    async with desk(opened) as here:
        shaky = HeldRequests(find, here.gateway.now, 10, 0.005)
        here.gateway = replace(here.gateway, patience=replace(here.gateway.patience, held=shaky))
        async with here.client(MODERN, lambda _: "accept") as client, anyio.create_task_group() as tasks:
            tasks.start_soon(approve_after_the_failure)
            answer = await here.refund(client)
    assert answer["status"] == "ok"


async def test_what_passed_between_client_and_gateway_is_logged_and_not_in_the_journal(
    opened: OpenGateway, entries: Callable[[], list[Entry]]
) -> None:
    with capture_logs() as logs:
        async with desk(opened) as here, here.client(MODERN, lambda _: "decline") as client:
            answer = await here.refund(client)
    told = {line["event"]: line for line in logs}
    assert told["elicitation_sent"]["mode"] == "url"
    assert told["elicitation_answered"]["action"] == "decline"
    assert told["elicitation_answered"]["approval"] == answer["approval"]["id"]
    assert {entry.kind for entry in entries()} == {Kind.ASKED, Kind.PENDING}


class Rounds:
    """A 2026-07-28 client that drives its rounds by hand, as an attacker would."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, action: Any = None, state: str | None = None, **changes: object) -> Any:
        responses: Any = {"approval": wire.ElicitResult(action=action)} if action else None
        return await self.client.session.call_tool(
            "crm_issue_refund",
            {**REFUND, **changes},
            input_responses=responses,
            request_state=state,
            allow_input_required=True,
        )

    async def status(self, *args: Any, **changes: Any) -> str:
        answer = await self.call(*args, **changes)
        if isinstance(answer, wire.InputRequiredResult):
            return "input_required"
        status: str = answer.structured_content["status"]
        return status


async def test_an_accept_on_a_first_call_is_not_heard(opened: OpenGateway) -> None:
    async with desk(opened) as here, here.client(MODERN, lambda _: "accept") as client:
        assert await Rounds(client).status("accept") == "input_required"
    assert here.till.paid == {}


async def test_a_retry_without_an_answer_is_asked_again(opened: OpenGateway) -> None:
    async with desk(opened) as here, here.client(MODERN, lambda _: "accept") as client:
        asked = await Rounds(client).call()
        assert await Rounds(client).status(None, asked.request_state) == "input_required"


async def test_state_that_is_brought_again_after_the_end_gives_the_settled_answer(opened: OpenGateway) -> None:
    async with desk(opened) as here, here.client(MODERN, lambda _: "accept") as client:
        asked = await Rounds(client).call()
        await here.approve(await here.question())
        answers = [await Rounds(client).call("accept", asked.request_state) for _ in range(3)]
    assert [answer.structured_content["status"] for answer in answers] == ["ok"] * 3
    assert len({json.dumps(answer.structured_content["result"], sort_keys=True) for answer in answers}) == 1
    assert len(here.till.paid) == 1


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_user_who_says_no_does_not_see_it_run_though_it_was_approved_meanwhile(
    opened: OpenGateway, action: str
) -> None:
    async with desk(opened) as here, here.client(MODERN, lambda _: "accept") as client:
        asked = await Rounds(client).call()
        await here.approve(await here.question())
        assert await Rounds(client).status(action, asked.request_state) == "pending_approval"
        assert here.till.paid == {}
        assert await Rounds(client).status() == "ok", "the approval is there for who wants it"


async def test_a_no_after_the_end_gives_the_settled_answer(opened: OpenGateway) -> None:
    async with desk(opened) as here, here.client(MODERN, lambda _: "accept") as client:
        asked = await Rounds(client).call()
        await here.approve(await here.question())
        await Rounds(client).call()
        assert await Rounds(client).status("decline", asked.request_state) == "ok"
    assert len(here.till.paid) == 1


async def test_state_of_another_question_is_worth_nothing(opened: OpenGateway) -> None:
    """The same call is another question long after the end of the first one: its client is asked anew."""
    async with desk(opened, approval_ttl=3600) as here, here.client(MODERN, lambda _: "accept") as client:
        asked = await Rounds(client).call()
        here.later = timedelta(hours=2)
        assert await Rounds(client).status("accept", asked.request_state) == "input_required"
    assert here.till.paid == {}


@pytest.mark.parametrize("who", [MAYA, Principal("larkspur", person=ANA.person, agent="triage")])
async def test_state_of_another_caller_is_refused_and_runs_nothing(opened: OpenGateway, who: Principal) -> None:
    async with desk(opened) as here:
        async with here.client(MODERN, lambda _: "accept") as client:
            asked = await Rounds(client).call()
        await here.approve(await here.question())
        async with here.client(MODERN, lambda _: "accept", who) as client:
            with pytest.raises(MCPError, match="Invalid or expired requestState"):
                await Rounds(client).call("accept", asked.request_state)
    assert here.till.paid == {}


async def test_state_for_other_arguments_is_refused_and_runs_nothing(opened: OpenGateway) -> None:
    async with desk(opened) as here, here.client(MODERN, lambda _: "accept") as client:
        asked = await Rounds(client).call()
        await here.approve(await here.question())
        with pytest.raises(MCPError, match="Invalid or expired requestState"):
            await Rounds(client).call("accept", asked.request_state, amount=81)
    assert here.till.paid == {}


@pytest.mark.parametrize("place", [0, 3, 10, 40, -1])
async def test_state_with_a_changed_letter_is_refused_and_runs_nothing(opened: OpenGateway, place: int) -> None:
    async with desk(opened) as here, here.client(MODERN, lambda _: "accept") as client:
        state = list((await Rounds(client).call()).request_state)
        await here.approve(await here.question())
        state[place] = "A" if state[place] != "A" else "B"
        for forged in ("".join(state), await here.question(), "", "v1."):
            with pytest.raises(MCPError, match="Invalid or expired requestState"):
                await Rounds(client).call("accept", forged)
    assert here.till.paid == {}


async def test_gateways_of_one_home_seal_alike_and_not_with_the_journals_key(
    opened: OpenGateway, home: Path, tmp_path: Path
) -> None:
    async with opened() as first, opened() as second, opened(home=tmp_path / "other") as foreign:
        assert first.patience.state_key == second.patience.state_key != foreign.patience.state_key
        assert first.patience.state_key != load_or_make_signer(home / "journal.key").seed
    async with opened(state_key="k" * 32) as first, opened(home=tmp_path / "other", state_key="k" * 32) as second:
        assert first.patience.state_key == second.patience.state_key


def declared(**modes: object) -> wire.ClientCapabilities:
    return wire.ClientCapabilities.model_validate({"elicitation": modes})


@pytest.mark.parametrize(
    ("capabilities", "version", "console", "expected"),
    [
        (None, MODERN, CONSOLE, None),
        (wire.ClientCapabilities(), MODERN, CONSOLE, None),
        (declared(url={}), MODERN, CONSOLE, Mode.PAGE),
        (declared(url={}, form={}), MODERN, CONSOLE, Mode.PAGE),
        (declared(url={}, form={}), MODERN, "", Mode.FORM),
        (declared(url={}), MODERN, "", None),
        (declared(form={}), MODERN, CONSOLE, Mode.FORM),
        (declared(), MODERN, CONSOLE, Mode.FORM),
        (declared(url={}), "2025-11-25", CONSOLE, Mode.PAGE),
        (declared(), "2025-11-25", CONSOLE, Mode.FORM),
        (declared(), "2025-06-18", CONSOLE, Mode.FORM),
        (declared(url={}, form={}), "2025-06-18", CONSOLE, Mode.FORM),
        (declared(), "2025-03-26", CONSOLE, None),
        (declared(url={}), "no version", CONSOLE, None),
    ],
)
def test_a_client_is_asked_as_it_declares_and_its_era_knows(
    capabilities: wire.ClientCapabilities | None, version: str, console: str, expected: Mode | None
) -> None:
    assert mode_for(capabilities, version, page_of(console, "apr_1")) is expected
