"""Triage of a small gateway's items with the stand-in or a scripted model, run by run, as the command does it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from orchestrator.assembling import stand_in
from orchestrator.durable.database import Database
from orchestrator.durable.store import Store
from orchestrator.gateway_client import GatewayClient, connect
from orchestrator.grants import Issuer
from orchestrator.models.asking import Account, Answered, Ask, Models, ModelsUnavailable, Payer
from orchestrator.models.choosing import register_of
from orchestrator.models.registry import Registry
from orchestrator.promotion import Act, Stage, set_stage
from orchestrator.work import Surroundings
from orchestrator.workflow import Workflows
from orchestrator.workflows.triage.batch import Batch, Limits
from orchestrator.workflows.triage.items import Item
from orchestrator.workflows.triage.report import ItemReport
from orchestrator.workflows.triage.workflow import triage
from tests.orchestrator.fake_gateway import TOKEN, FakeGateway, over_http

Respond = Callable[[list[ModelMessage], AgentInfo], ModelResponse]
MAILBOX = "support@larkspur.example"


class Watcher:
    """Watches and says nothing."""

    def begin(self, item: Item) -> None:
        """Nobody looks."""

    def end(self, report: ItemReport) -> None:
        """Nobody looks."""


class Scripted:
    """A model that a test plays."""

    def __init__(self, respond: Respond) -> None:
        self._model = FunctionModel(respond)

    async def ask(self, ask: Ask) -> Answered:
        try:
            response = await self._model.request(ask.messages, ask.settings, ask.parameters)
        except ModelHTTPError as error:
            raise ModelsUnavailable(f"the model does not answer: HTTP {error.status_code}") from None
        used = response.usage
        took = {"input_tokens": used.input_tokens, "output_tokens": used.output_tokens}
        return Answered(response, Account(model="scripted", prompt=ask.prompt, **took))

    async def embed(
        self, texts: list[str], payer: Payer, key: str, sees: str, route: str = "embed"
    ) -> tuple[list[list[float]], Account]:
        raise AssertionError("triage asks for no vectors")


def registered(store: Store, name: str = "", environment: dict[str, str] | None = None) -> Registry:
    """The models that the command asks: the stand-in unless the environment has a key."""
    given = environment or {}
    return Registry(register_of(name, given), store.database, stand_in(Workflows([triage])), given)


def opened(folder: Path) -> Store:
    """The runs kept in a folder."""
    database = Database(f"sqlite:///{folder}/orchestrator.db")
    database.prepare()
    return Store(database)


async def triaged(
    gateway: FakeGateway,
    respond: Respond | None = None,
    limits: Limits = Limits(),  # noqa: B008 - it is frozen
    *,
    granted: bool = False,
    mailbox: str = MAILBOX,
    environment: dict[str, str] | None = None,
    name: str = "",
    patience: int = 1,
) -> Batch:
    """The batch of a gateway's open items, worked on to its end."""
    with TemporaryDirectory() as folder:
        store = opened(Path(folder))
        registry = registered(store, name, environment)
        try:
            async with over_http(gateway) as (url, _), connect(url=url, token=TOKEN) as client:
                models: Models = Scripted(respond) if respond else registry
                around = Surroundings(models, Issuer(url, TOKEN) if granted else None, hears=True)
                batch = Batch(store, client, around, patience=patience)
                await batch.begin(mailbox, 10, limits)
                await batch.work_on(Watcher())
        finally:
            await registry.aclose()
            store.database.close()
    return batch


@dataclass
class Desk:
    """Where `remit run triage` is run again and again over the same runs, and people answer in between."""

    store: Store
    client: GatewayClient
    models: Models
    issuer: Issuer | None = None

    def batch(self) -> Batch:
        return Batch(self.store, self.client, Surroundings(self.models, self.issuer, hears=True), patience=1)

    async def triage(self, mailbox: str = MAILBOX) -> list[ItemReport]:
        batch = self.batch()
        await batch.begin(mailbox, 10)
        await batch.work_on(Watcher())
        return batch.reports

    async def put_reply(self, stage: Stage) -> None:
        """Somebody says how far replies go by themselves."""
        act = Act("triage", "reply", Stage(triage.acts["reply"]))
        await set_stage(self.store.database, act, stage, {}, "ines", "a test", anyway=True)

    async def answer(self, report: ItemReport, choice: str, **more: Any) -> None:
        """Somebody answers what an item's run asks about its reply."""
        assert await self.store.tell(f"answer:{report.run}:reply", {"choice": choice, "note": "", "by": "ana", **more})


@asynccontextmanager
async def desk_over(
    gateway: FakeGateway, folder: Path, respond: Respond | None = None, *, granted: bool = False
) -> AsyncIterator[Desk]:
    """A desk over a small gateway, with the stand-in unless a test plays the model."""
    store = opened(folder)
    try:
        async with over_http(gateway) as (url, _), connect(url=url, token=TOKEN) as client:
            models = Scripted(respond) if respond else registered(store)
            yield Desk(store, client, models, Issuer(url, TOKEN) if granted else None)
    finally:
        store.database.close()


def result(info: AgentInfo, **changes: Any) -> ModelResponse:
    """A model's result about the ticket `tic_0001`."""
    found = {
        "intent": "refund",
        "confidence": 0.9,
        "customer_id": None,
        "evidence": [{"record_id": "tic_0001", "quote": "we want our money back"}],
        "recommended_action": "refund",
        "risk": "low",
        "next_step": "Refund it.",
        **changes,
    }
    return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, found)])


def replies(messages: list[ModelMessage]) -> list[ToolReturnPart]:
    """What tools gave a model so far."""
    return [part for message in messages for part in message.parts if isinstance(part, ToolReturnPart)]
