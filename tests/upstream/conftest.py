"""A gateway in front of a real server process, whose plan the test writes."""

import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from connectors.embedded.tenancy import EVERY_TENANT
from connectors.mcp_upstream.definition import Definition
from connectors.mcp_upstream.results import UpstreamResult
from gateway.answer import Answer
from gateway.app import open_gateway
from gateway.background import background
from gateway.call import call_tool
from gateway.gateway import Gateway, ToolCall
from gateway.journal import Entry, read_journal
from gateway.principal import Principal
from gateway.settings import Settings
from gateway.upstream.pins import accept, read_pins, write_pins
from tests.policies import policy_folder
from tests.processes import free_port
from tests.sqlite import ready_home

SCRIPT = Path(__file__).with_name("server.py")
ANA = Principal("larkspur", person="ana@larkspur.example")
ROLES = "g, person:ana@larkspur.example, role:agent, larkspur\n"
RULES = "p, A1, role:agent, *, , allow, everything\n"
PATIENCE_SECONDS = 20
TEXT = {"type": "string"}


def wire_tool(name: str, description: str = "Does it.", **properties: Any) -> dict[str, Any]:
    """A tool as `tools/list` has it."""
    schema = {"type": "object", "properties": properties, "required": sorted(properties)}
    return {"name": name, "description": description, "inputSchema": schema}


def defined(tool: Mapping[str, Any]) -> Definition:
    """The definition that the gateway reads of it."""
    named = {"title": "title", "description": "description", "input_schema": "inputSchema"}
    named |= {"output_schema": "outputSchema", "annotations": "annotations"}
    return Definition(tool["name"], **{own: tool[wire] for own, wire in named.items() if wire in tool})


@dataclass
class Upstream:
    """A server with its plan and its file."""

    folder: Path
    plan_file: Path
    name: str = "up"
    tools: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    declared: str = ""
    options: str = ""
    stdio: str = ""
    modern: bool = False
    """Whether it speaks 2026-07-28, and not an older version."""

    def write(self) -> None:
        """Write plan and file as they are now."""
        beside = self.plan_file.with_suffix(".new")
        beside.write_text(json.dumps({"tools": self.tools, "answers": self.answers, "modern": self.modern}))
        beside.replace(self.plan_file)
        self.folder.mkdir(parents=True, exist_ok=True)
        command = json.dumps(sys.executable)
        arguments = json.dumps(["-u", str(SCRIPT), str(self.plan_file)])
        head = self.options if "prefix" in self.options else f'prefix = "{self.name}"\n{self.options}'
        text = f"{head}\nrecheck = 0.2\n[stdio]\ncommand = {command}\nargs = {arguments}\n{self.stdio}\n{self.declared}"
        (self.folder / f"{self.name}.toml").write_text(text)

    def accept(self, *names: str) -> None:
        """Have a person accept what the plan defines now; without names everything."""
        pins = dict(read_pins(self.folder, self.name))
        for tool in self.tools:
            if not names or tool["name"] in names:
                now = datetime.now(UTC)
                pins[tool["name"]] = accept(pins.get(tool["name"]), defined(tool), "rosa", now)
        write_pins(self.folder, self.name, pins)

    def offers(self, tool: dict[str, Any], effect: str = "read", more: str = "", **answer: Any) -> None:
        """Have one more tool, declared with an effect, and say what it answers."""
        self.tools.append(tool)
        self.answers[tool["name"]] = answer
        self.declared += f'[tools."{tool["name"]}"]\neffect = "{effect}"\n{more}\n'

    def calls(self) -> list[dict[str, Any]]:
        """The calls that reached the server."""
        noted = self.plan_file.with_suffix(".calls")
        requests = [json.loads(line) for line in noted.read_text().splitlines()] if noted.exists() else []
        return [request["params"] for request in requests if request["method"] == "tools/call"]


def result(answer: Answer[Any]) -> UpstreamResult:
    """What a call that went well gave."""
    assert answer.status == "ok", answer
    assert isinstance(answer.result, UpstreamResult)
    return answer.result


@dataclass
class Fronting:
    """A gateway in front of servers."""

    gateway: Gateway

    async def call(self, tool: str, arguments: dict[str, Any] | None = None, **more: Any) -> Answer[Any]:
        """Call a tool as Ana."""
        return await call_tool(self.gateway, ToolCall(ANA, tool, arguments or {}, **more))

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait for something to hold; fails if it does not come to that."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while not holds():  # noqa: ASYNC110 - it is looked at from outside
                await anyio.sleep(0.02)

    @property
    def withheld(self) -> Mapping[str, str]:
        return self.gateway.upstreams.withheld

    @property
    def looked(self) -> bool:
        """Whether every server's definitions were read."""
        return all(each.session.definitions is not None for each in self.gateway.upstreams.back_ends.values())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def up(tmp_path: Path, home: Path) -> Upstream:
    return Upstream(home / "upstreams", tmp_path / "plan.json")


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return policy_folder(tmp_path / "policies", roles=ROLES, rules=RULES)


@pytest.fixture
def settings(home: Path, policies: Path) -> Settings:
    return Settings(home=home, policies=policies, call_tries=1, policy_poll=0.05)


@pytest.fixture
def entries(settings: Settings) -> Callable[[], list[Entry]]:
    def read() -> list[Entry]:
        with settings.open_database() as database:
            return list(read_journal(database, EVERY_TENANT))

    return read


@asynccontextmanager
async def fronting(settings: Settings, *servers: Upstream, accepted: bool = True) -> AsyncIterator[Fronting]:
    """Open a gateway in front of servers, all of whose tools are accepted."""
    for server in servers:
        server.write()
        if accepted:
            server.accept()
    ready_home(settings)
    async with open_gateway(settings) as gateway, background(gateway, settings):
        yield Fronting(gateway)


@pytest.fixture
def unused_port() -> int:
    return free_port()
