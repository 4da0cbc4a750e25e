"""Waiting for an approver over real transports: two processes on one home, HTTP and stdio, every protocol era."""

import itertools
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread
import httpx
import httpx2
import mcp.types as wire
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.gateway.test_approvals_process import TICKET
from tests.gateway.test_approvals_process import call as call_once
from tests.gateway.test_http import META
from tests.processes import Served, clean, make_token, remit, serving, warm_remit

pytestmark = pytest.mark.process

MAYA = "person:maya.okafor@larkspur.example"
ERAS = ["2026-07-28", "legacy"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def triage(home: Path) -> str:
    return make_token(home, "--agent", "triage")


@pytest.fixture(scope="module")
def ana(home: Path) -> str:
    return make_token(home, "--person", "ana.ruiz@larkspur.example")


@pytest.fixture(scope="module")
def jonas(home: Path) -> str:
    """A colleague who reads nothing that outsiders wrote, so that nobody is asked about what he writes."""
    return make_token(home, "--person", "jonas.weber@larkspur.example")


@pytest.fixture(scope="module")
def pair(home: Path, triage: str, ana: str) -> Iterator[list[Served]]:
    with serving(home) as first, serving(home) as second:
        yield [first, second]


@pytest.fixture
def reply(pair: list[Served], jonas: str) -> dict[str, str]:
    made = call_once(pair[0].mcp, jonas, "ticket_create_ticket", TICKET)
    return {"ticket_id": made["result"]["id"], "body": "It ships today."}


def replies(served: Served, ana: str, reply: dict[str, str]) -> list[str]:
    thread = call_once(served.mcp, ana, "ticket_get_ticket", {"ticket_id": reply["ticket_id"]})
    return [comment["body"] for comment in thread["result"]["comments"][1:]]


class RoundRobin(httpx2.AsyncHTTPTransport):
    """A plain load balancer: no request goes where the one before went."""

    def __init__(self, served: list[Served]) -> None:
        super().__init__()
        self.turns = itertools.cycle(httpx2.URL(each.url) for each in served)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        turn = next(self.turns)
        request.url = request.url.copy_with(port=turn.port)
        request.headers["Host"] = f"{turn.host}:{turn.port}"
        return await super().handle_async_request(request)


class User:
    """Looks at what the client shows, says yes, and has the approver answer once the call is held."""

    def __init__(self, home: Path, says: Literal["accept", "decline"] = "accept") -> None:
        self.home = home
        self.says = says
        self.asked: list[wire.ElicitRequestParams] = []
        self.looking = anyio.Event()
        self.waiting = anyio.Event()

    async def say(self, context: Any, params: wire.ElicitRequestParams) -> wire.ElicitResult:
        self.asked.append(params)
        self.looking.set()
        return wire.ElicitResult(action=self.says)

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        if message == "waiting for an approver":
            self.waiting.set()

    async def call(self, client: Client, reply: dict[str, str]) -> dict[str, Any]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._approve_when_held)
            answer = await client.call_tool("ticket_add_reply", reply, progress_callback=self.progress)
        content: dict[str, Any] = answer.structured_content or {}
        return content

    async def _approve_when_held(self) -> None:
        await self.looking.wait()
        await self.waiting.wait()
        await anyio.to_thread.run_sync(approve, self.home)


def approve(home: Path) -> None:
    [line] = [line for line in remit("approvals", "list", "--home", str(home)).stdout.splitlines() if "apr_" in line]
    name = next(word for word in line.split() if word.startswith("apr_"))
    remit("approvals", "approve", name, "--as", MAYA, "--home", str(home))


@asynccontextmanager
async def over_http(served: list[Served], token: str, mode: Any, user: User) -> AsyncIterator[Client]:
    async with AsyncExitStack() as stack:
        headers = {"Authorization": f"Bearer {token}"}
        http = httpx2.AsyncClient(headers=headers, timeout=60, transport=RoundRobin(served))
        await stack.enter_async_context(http)
        transport = streamable_http_client(f"{served[0].url}/mcp", http_client=http)
        yield await stack.enter_async_context(Client(transport, mode=mode, elicitation_callback=user.say))


async def test_behind_a_round_robin_each_process_serves_what_another_began(
    pair: list[Served], home: Path, triage: str, ana: str, reply: dict[str, str]
) -> None:
    user = User(home)
    async with over_http(pair, triage, "2026-07-28", user) as client:
        answer = await user.call(client, reply)
    [asked] = user.asked
    assert isinstance(asked, wire.ElicitRequestURLParams)
    assert asked.url.startswith(f"{pair[0].url}/console/approvals/apr_")
    assert answer["status"] == "ok"
    assert replies(pair[1], ana, reply) == [reply["body"]]


async def test_replicas_with_homes_of_their_own_share_one_database_and_the_key_that_is_set(
    tmp_path: Path, postgres_url: str
) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    for home in homes:
        home.mkdir()
        (home / "remit.toml").write_text(f'database_url = "{postgres_url}"\nstate_key = "{"k" * 32}"\n')
    triage, ana = (
        make_token(homes[0], "--agent", "triage"),
        make_token(homes[1], "--person", "ana.ruiz@larkspur.example"),
    )
    with serving(homes[0]) as first, serving(homes[1]) as second:
        made = call_once(first.mcp, ana, "ticket_create_ticket", TICKET)
        reply = {"ticket_id": made["result"]["id"], "body": "It ships today."}
        user = User(homes[1])
        async with over_http([first, second], triage, "2026-07-28", user) as client:
            answer = await user.call(client, reply)
        assert (answer["status"], replies(second, ana, reply)) == ("ok", [reply["body"]])


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_session_of_an_older_client_is_asked_on_its_open_request(
    pair: list[Served], home: Path, triage: str, ana: str, reply: dict[str, str], processes: int
) -> None:
    user = User(home)
    async with over_http(pair[:processes], triage, "legacy", user) as client:
        answer = await user.call(client, reply)
    [asked] = user.asked
    assert isinstance(asked, wire.ElicitRequestURLParams)
    assert asked.elicitation_id
    assert answer["status"] == "ok"
    assert replies(pair[1], ana, reply) == [reply["body"]]


async def test_what_an_older_client_replies_reaches_the_process_that_asked(
    pair: list[Served], home: Path, triage: str, reply: dict[str, str]
) -> None:
    user = User(home, says="decline")
    async with over_http(pair, triage, "legacy", user) as client:
        with anyio.fail_after(30):  # held, it would be 45
            answer = await client.call_tool("ticket_add_reply", reply)
    assert user.asked
    assert (answer.structured_content or {})["status"] == "pending_approval"
    await anyio.to_thread.run_sync(approve, home)  # other tests look for the only question there is


async def test_a_session_is_gone_on_with_by_whoever_opened_it_alone(
    pair: list[Served], home: Path, triage: str, ana: str
) -> None:
    opening = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}},
    }
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    first, second = pair

    async def posted(served: Served, token: str, message: dict[str, Any], **headers: str) -> httpx.Response:
        own = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream", **headers}
        return await http.post(served.mcp, json=message, headers=own)

    async with httpx.AsyncClient(timeout=30) as http:
        opened = await posted(first, triage, opening)
        session = opened.headers["mcp-session-id"]
        assert "triage" not in session
        assert "larkspur" not in session
        known = {"mcp-session-id": session, "mcp-protocol-version": "2025-11-25"}
        assert (await posted(second, triage, listing, **known)).status_code == 200
        for stranger, changed in [(ana, session), (triage, session[:-9] + "AAAAAAAA="), (triage, "0" * 32)]:
            told = await posted(second, stranger, listing, **known | {"mcp-session-id": changed})
            assert told.status_code == 404
        own = {"Authorization": f"Bearer {triage}", **known}
        await http.delete(second.mcp, headers=own)
        assert (await posted(second, triage, listing, **known)).status_code == 404


@pytest.mark.parametrize("mode", ERAS)
async def test_over_stdio_the_user_is_asked_whether_to_wait_and_told_the_command(
    pair: list[Served], home: Path, ana: str, reply: dict[str, str], mode: Any
) -> None:
    user = User(home)
    arguments = ["serve", "--stdio", "--home", str(home), "--as", "agent:triage"]
    with anyio.fail_after(60):
        async with Client(
            StdioServerParameters(command=warm_remit(), args=arguments), mode=mode, elicitation_callback=user.say
        ) as client:
            answer = await user.call(client, reply)
    [asked] = user.asked
    assert isinstance(asked, wire.ElicitRequestFormParams)
    assert "`remit approvals show apr_" in asked.message
    assert answer["status"] == "ok"
    assert replies(pair[0], ana, reply) == [reply["body"]]


class Lines:
    """A client of 2025-06-18 as bare lines of JSON over standard input and output."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.stdin, self.stdout = process.stdin, process.stdout

    def send(self, **message: Any) -> None:
        self.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self.stdin.flush()

    def read(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.stdout.readline())
        return message


@contextmanager
def lines(home: Path) -> Iterator[Lines]:
    command = [warm_remit(), "serve", "--stdio", "--home", str(home), "--as", "agent:triage"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=clean()) as run:
        client = Lines(run)
        about = {"name": "old", "version": "1"}
        params = {"protocolVersion": "2025-06-18", "capabilities": {"elicitation": {}}, "clientInfo": about}
        client.send(id=1, method="initialize", params=params)
        assert client.read()["result"]["protocolVersion"] == "2025-06-18"
        client.send(method="notifications/initialized")
        try:
            yield client
        finally:
            client.stdin.close()


@pytest.mark.parametrize("action", ["decline", "cancel", "accept"])
def test_a_client_of_2025_06_18_that_knows_forms_only_is_asked_by_a_form(
    pair: list[Served], home: Path, ana: str, reply: dict[str, str], action: str
) -> None:
    with lines(home) as client:
        client.send(id=2, method="tools/call", params={"name": "ticket_add_reply", "arguments": reply})
        asked = client.read()
        assert asked["method"] == "elicitation/create"
        assert asked["params"]["requestedSchema"] == {"type": "object", "properties": {}}
        assert "url" not in asked["params"]
        client.send(id=asked["id"], result={"action": action, **({"content": {}} if action == "accept" else {})})
        if action == "accept":
            approve(home)
        answer = client.read()
    status = answer["result"]["structuredContent"]["status"]
    assert status == ("ok" if action == "accept" else "pending_approval")
    assert replies(pair[0], ana, reply) == ([reply["body"]] if action == "accept" else [])
    if action != "accept":
        approve(home)


class Raw:
    """A 2026-07-28 client as bare HTTP requests."""

    def __init__(self, served: Served, token: str, **elicitation: object) -> None:
        capabilities = {"elicitation": elicitation} if elicitation else {}
        self.meta = {**META, "io.modelcontextprotocol/clientCapabilities": capabilities}
        self.url = served.mcp
        self.headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": "ticket_add_reply",
        }

    def body(self, reply: dict[str, str], meta: dict[str, Any], **more: Any) -> dict[str, Any]:
        params = {"name": "ticket_add_reply", "arguments": reply, "_meta": {**self.meta, **meta}, **more}
        return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}

    def call(self, reply: dict[str, str], **more: Any) -> dict[str, Any]:
        answer = httpx.post(self.url, json=self.body(reply, {}, **more), headers=self.headers, timeout=60)
        content: dict[str, Any] = answer.json()
        return content

    @contextmanager
    def held(self, reply: dict[str, str]) -> Iterator[str]:
        """Ask to be held; gives the first thing that is heard, and goes away at the end."""
        meta = {"remit/wait": 40, "progressToken": "p"}
        body = self.body(reply, meta)
        with httpx.stream("POST", self.url, json=body, headers=self.headers, timeout=60) as stream:
            chunks = stream.iter_text()  # named, since a stream is closed with its last reader
            yield next(chunks)


ACCEPT = {"approval": {"action": "accept"}}


def test_raw_requests_cannot_turn_an_accept_into_an_approval(
    pair: list[Served], home: Path, triage: str, ana: str, reply: dict[str, str]
) -> None:
    first, second = (Raw(each, triage, url={}) for each in pair)
    asked = first.call(reply, inputResponses=ACCEPT)["result"]
    assert asked["resultType"] == "input_required"
    [request] = asked["inputRequests"].values()
    assert request["params"]["mode"] == "url"
    assert "elicitationId" not in request["params"]
    assert list(asked["inputRequests"]) == list(ACCEPT)
    state = asked["requestState"]

    refused = {"code": -32602, "message": "Invalid or expired requestState"}
    others = Raw(pair[1], ana, url={})
    forged = state[:-2] + ("A" if state[-2] != "A" else "B") + state[-1]
    for attempt in (
        others.call(reply, inputResponses=ACCEPT, requestState=state),
        second.call({**reply, "body": "Pay me."}, inputResponses=ACCEPT, requestState=state),
        second.call(reply, inputResponses=ACCEPT, requestState=forged),
    ):
        assert {name: attempt["error"][name] for name in refused} == refused
    declined = second.call(reply, inputResponses={"approval": {"action": "decline"}}, requestState=state)
    assert declined["result"]["structuredContent"]["status"] == "pending_approval"
    assert replies(pair[0], ana, reply) == []

    approve(home)
    answers = [each.call(reply, inputResponses=ACCEPT, requestState=state) for each in (first, second, first)]
    assert [answer["result"]["structuredContent"]["status"] for answer in answers] == ["ok"] * 3
    assert replies(pair[0], ana, reply) == [reply["body"]]


def test_a_client_that_hangs_up_gives_its_place_back(tmp_path: Path) -> None:
    token = make_token(tmp_path, "--agent", "triage")
    ana = make_token(tmp_path, "--person", "ana.ruiz@larkspur.example")
    (tmp_path / "remit.toml").write_text("max_held = 1\n")
    with serving(tmp_path) as served:
        made = call_once(served.mcp, ana, "ticket_create_ticket", TICKET)
        reply = {"ticket_id": made["result"]["id"], "body": "It ships today."}
        client = Raw(served, token)
        with client.held(reply) as heard:
            assert "waiting for an approver" in heard
            with client.held(reply) as told:
                assert "pending_approval" in told
        for _ in range(1_000):
            with client.held(reply) as heard:
                if "waiting for an approver" in heard:
                    break
        assert "waiting for an approver" in heard
