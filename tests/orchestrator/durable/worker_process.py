"""A worker that is killed: a real process with the real parts, and a workflow that does a bit of everything."""

import asyncio
from functools import partial
from typing import cast

import anyio
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings

from orchestrator.agent import run_agent, think
from orchestrator.durable.database import Database
from orchestrator.durable.store import Store
from orchestrator.durable.worker import Worker
from orchestrator.gateway_client import connect
from orchestrator.models.asking import Account, Answered, Ask, Models, ModelsUnavailable
from orchestrator.patterns import parallel
from orchestrator.shared_connection import SharedConnection
from orchestrator.work import Surroundings, Work
from orchestrator.workflow import Workflows, workflow
from orchestrator.working import Working

LEASE = 2.0


class Given(BaseModel):
    mark: str
    waits: bool = False


class Answer(BaseModel):
    says: str


class Outcome(BaseModel):
    mark: str
    first: str
    then: str
    statuses: list[str]
    told: str | None = None


@workflow("bit_of_everything", version=1)
async def everything(work: Work, given: Given) -> Outcome:
    """Two questions to a model, four effects of which a person is asked about one, and an event."""
    prompt, data = work.prompt("answer"), {"mark": given.mark}
    first = await think(work, "classify", prompt, data, Answer)
    contact = {"name": given.mark, "email": f"{given.mark.replace(' ', '.')}@customer.example"}
    mail = {"mailbox": "support@larkspur.example", "to": ["kim@customer.example"], "subject": given.mark, "body": "b"}
    calls = await parallel(
        {
            "contact": partial(work.call, "contact", "crm_create_contact", contact),
            "mail": partial(work.call, "mail", "email_send_message", mail),
        }
    )
    tools = ["ticket_create_ticket"]
    then, session = await run_agent(work, "answer", prompt, data, Answer, tools=tools)
    told = await work.wait("told", f"told:{given.mark}") if given.waits else None
    asked = {**mail, "mailbox": "sales@larkspur.example"}
    calls["asked"] = await work.call("asked", "email_send_message", asked)
    statuses = [call.status for call in calls.values()] + [str(call["status"]) for call in session.calls]
    return Outcome(mark=given.mark, first=first.says, then=then.says, statuses=statuses, told=told)


class LocalModel:
    """Asks the provider under the step's key."""

    def __init__(self, url: str) -> None:
        client = AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=20)
        self._model = OpenAIChatModel("local", provider=OpenAIProvider(openai_client=client))

    async def ask(self, ask: Ask) -> Answered:
        settings = cast("ModelSettings", {**(ask.settings or {}), "extra_headers": {"Idempotency-Key": ask.key}})
        try:
            response = await self._model.request(ask.messages, settings, ask.parameters)
        except ModelAPIError as error:
            raise ModelsUnavailable(type(error).__name__) from None
        return Answered(response, Account(model="local"))


def work(database_url: str, gateway_url: str, token: str, model_url: str) -> None:
    """Work until killed."""
    asyncio.run(_work(database_url, gateway_url, token, model_url))


async def _work(database_url: str, gateway_url: str, token: str, model_url: str) -> None:
    database = Database(database_url)
    around = Surroundings(cast("Models", LocalModel(model_url)), hears=True)
    shared = SharedConnection(partial(connect, url=gateway_url, token=token))
    working = Working(Workflows([everything]), around, shared)
    worker = Worker(Store(database), working, lease=LEASE, idle=0.05)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shared.hold)
        tasks.start_soon(worker.run)
