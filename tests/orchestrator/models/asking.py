"""A register, a registry that does not wait, and questions."""

import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from sqlalchemy import select

from orchestrator.durable.database import Database
from orchestrator.durable.tables import spending
from orchestrator.models.asking import Ask, Payer
from orchestrator.models.register import Register
from orchestrator.models.registry import Registry
from tests.orchestrator.models.providers import Plan, Providers, providers

KEYS = {"SMALL_KEY": "sk-small", "CLAUDE_KEY": "sk-claude"}
REGISTER = """
[models.small]
provider = "openai"
model = "small"
endpoint = "{address}/v1"
key = "SMALL_KEY"
prices = {{ input = "0.25", cached_input = "0.025", output = "2" }}
context = 8_000
region = "eu"
retention = "30 days"
may_see = "internal"
quality = "small"

[models.claude]
provider = "anthropic"
model = "claude"
endpoint = "{address}"
key = "CLAUDE_KEY"
prices = {{ input = "3", cached_input = "0.3", output = "15" }}
context = 200_000
region = "us"
retention = "none"
may_see = "confidential"
quality = "capable"
vision = true

[models.vectors]
provider = "openai"
model = "vectors"
endpoint = "{address}/v1"
prices = {{ input = "0.02", output = "0" }}
context = 8_000
region = "eu"
retention = "none"
may_see = "internal"
quality = "small"
embedding = true

[models.rules]
provider = "stand-in"
free = true
context = 8_000
region = "here"
retention = "none"
may_see = "restricted"
quality = "small"

[routes]
default = {{ models = ["small", "claude"], max_tokens = 500, seconds = 20 }}
small = {{ models = ["small"], max_tokens = 500, seconds = 20, temperature = 0.5 }}
claude = {{ models = ["claude"], max_tokens = 500, seconds = 20 }}
hasty = {{ models = ["small", "claude"], max_tokens = 500, seconds = 0.2, tries = 1 }}
kept = {{ models = ["small"], max_tokens = 500, cache_seconds = 600 }}
rules = {{ models = ["rules"] }}
embed = {{ models = ["vectors"] }}
"""
LOOK_UP = ToolDefinition(name="look_up", description="Looks up", parameters_json_schema={"type": "object"})


def register(address: str, more: str = "", **changed: Any) -> Register:
    """The register above, with more of it, and words of `small` and `claude` changed."""
    read = tomllib.loads(REGISTER.format(address=address) + more, parse_float=Decimal)
    for name in ("small", "claude"):
        read["models"][name] |= changed
    return Register.model_validate(read)


@dataclass
class Asking:
    """A registry over a register, and how long it would have waited between tries."""

    registry: Registry
    database: Database
    pauses: list[float] = field(default_factory=list)

    async def lines(self) -> list[dict[str, Any]]:
        """What the ledger holds, in the order in which models were first asked."""
        query = select(spending).order_by(spending.c.at, spending.c.model.desc())
        found = await self.database.run(lambda connection: connection.execute(query).mappings().all())
        return [dict(row) for row in found]


@asynccontextmanager
async def asking(database: Database, made: Register) -> AsyncIterator[Asking]:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    registry = Registry(made, database, lambda ask: ModelResponse(parts=[TextPart(ask.route)]), KEYS, pause)
    try:
        yield Asking(registry, database, pauses)
    finally:
        await registry.aclose()


@asynccontextmanager
async def asking_of(
    database: Database, *, more: str = "", stream: bool = False, **plans: list[Plan]
) -> AsyncIterator[tuple[Asking, Providers]]:
    """A registry over a server that answers by plans; gives both."""
    async with providers(**plans) as (server, address), asking(database, register(address, more, stream=stream)) as it:
        yield it, server


def question(text: str = "Is it late?", *more: Any, **changed: Any) -> Ask:
    """A question of a run."""
    messages: list[ModelMessage] = [ModelRequest(parts=[UserPromptPart([text, *more] if more else text)])]
    fields: dict[str, Any] = {
        "route": "default",
        "messages": messages,
        "parameters": ModelRequestParameters(function_tools=[LOOK_UP]),
        "settings": ModelSettings(max_tokens=400),
        "sees": "internal",
        "payer": Payer("run_1", "triage", "support", "con_1"),
        "key": "run_1:classify.model1",
        "prompt": "classify@1#abc",
    }
    return Ask(**fields | changed)
