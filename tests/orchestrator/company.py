"""A small company behind a real gateway with the shipped policies, and a worker for the shipped workflows."""

import importlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from connectors.crm.loading import CrmRecord
from connectors.records import (
    AccountRecord,
    CommentRecord,
    ContactRecord,
    DealRecord,
    DocumentRecord,
    MessageRecord,
    OrderLineRecord,
    OrderRecord,
    RefundRecord,
    TicketRecord,
)
from connectors.registry import EmbeddedBackEnds
from gateway.app import open_gateway
from gateway.call import call_tool
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.http import build_http_app
from gateway.identity import StaticTokenVerifier
from gateway.principal import Principal
from gateway.server import build_server
from gateway.settings import Settings
from gateway.tokens import Audience, Tokens
from orchestrator.durable.database import Database
from orchestrator.durable.run import Run
from orchestrator.durable.store import Done, State, Store
from orchestrator.durable.worker import Worker
from orchestrator.gateway_client import GatewayClient, connect
from orchestrator.grants import Issuer
from orchestrator.models.asking import Account, Answered, Ask, Payer
from orchestrator.work import Surroundings
from orchestrator.workflow import Workflows, shipped_and_own
from orchestrator.working import Working
from tests.orchestrator.fake_gateway import serving
from tests.sqlite import ready_home

T = "larkspur"
ANA, MAYA, NADIA, TOM = (
    Principal(T, person=f"{name}@larkspur.example")
    for name in ("ana.ruiz", "maya.okafor", "nadia.haddad", "tom.lindqvist")
)
DAY = datetime(2026, 11, 20, 9, tzinfo=UTC)
SUPPORT, SALES = "support@larkspur.example", "sales@larkspur.example"
TIMES: dict[str, Any] = {"created_at": DAY - timedelta(days=400), "updated_at": DAY - timedelta(days=20)}
REFUND_RULES = """\
# Refund rules

A customer may return unused goods within **30 days of delivery** and gets the full price back.

## How it is paid
Always to the payment method of the original order, never to another account.
"""


@dataclass
class StandIns:
    """Asks the rules beside each workflow; `asked` keeps under which prompts."""

    asked: list[str] = field(default_factory=list)

    async def ask(self, ask: Ask) -> Answered:
        self.asked.append(ask.prompt)
        rules = importlib.import_module(f"orchestrator.workflows.{ask.payer.workflow}.stand_in")
        response = rules.respond(ask.prompt.partition("@")[0], ask.messages, ask.parameters)
        return Answered(response, Account(model="stand-in", prompt=ask.prompt))

    async def embed(self, texts: list[str], payer: Payer, key: str, sees: str) -> tuple[list[list[float]], Account]:
        raise AssertionError("no workflow asks for vectors")


@dataclass
class Company:
    """The gateway, the runs, and whoever answers."""

    gateway: Gateway
    store: Store
    url: str
    granting: str
    client: GatewayClient
    workflows: Workflows
    models: StandIns = field(default_factory=StandIns)

    async def load(self, kind: str, *records: Any) -> None:
        back_ends = self.gateway.back_ends
        assert isinstance(back_ends, EmbeddedBackEnds)
        await getattr(back_ends, kind).load(T, records)

    async def see(self, tool: str, who: Principal = MAYA, **arguments: Any) -> dict[str, Any]:
        answer = await call_tool(self.gateway, ToolCall(who, tool, arguments, declared=Declared()))
        assert answer.result is not None, answer
        seen: dict[str, Any] = answer.result.model_dump(mode="json")
        return seen

    async def ticket(self, subject: str) -> dict[str, Any]:
        found = await self.see("ticket_search_tickets", query=subject)
        return await self.see("ticket_get_ticket", ticket_id=found["tickets"][0]["id"])

    async def begin(self, workflow: str, run: str = "", **given: Any) -> str:
        name = await self.store.begin(self.workflows.find(workflow).begin(given, run))
        await self.work()
        return name

    async def work(self) -> None:
        around = Surroundings(self.models, Issuer(self.url, self.granting), hears=True)
        # One connection for all: to open one takes longer than what most runs do.
        working = Working(self.workflows, around, lambda: nullcontext(self.client))
        await Worker(self.store, working, idle=0.01).run(until_idle=True)

    async def let_end(self, run: str, wait: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the time of a wait be over, also for whatever is asked later."""
        _, steps = await self.store.find(run)
        until = self.output(steps[f"{wait}.until"])
        monkeypatch.setattr(Run, "now", lambda _: until + 1)
        await self.store.resume(run)
        await self.work()

    async def answer(self, run: str, step: str, choice: str, **more: Any) -> None:
        """Somebody answers what the run itself asks."""
        said = {"choice": choice, "note": "", "by": "ana.ruiz@larkspur.example", **more}
        assert await self.store.tell(f"answer:{run}:{step}", said)
        await self.work()

    async def approve(self, who: Principal = MAYA, *, yes: bool = True) -> list[str]:
        """Somebody answers all that the gateway asks; returns the tools that were asked about."""
        waiting = await self.gateway.approvals.open(self.gateway.now(), T)
        for each in waiting:
            policy = self.gateway.policy.current
            await self.gateway.approvals.answer(each.question.id, who, policy, yes, "as seen", self.gateway.now())
        await self.store.wake([f"approval:{each.question.id}" for each in waiting])
        await self.work()
        return [each.question.tool for each in waiting]

    async def state(self, run: str) -> State:
        return (await self.store.find(run))[0].state

    async def steps(self, run: str) -> list[str]:
        return list((await self.store.find(run))[1])

    @staticmethod
    def output(step: Done) -> Any:
        """What a step gave."""
        return json.loads(step.output)

    async def outcome(self, run: str) -> dict[str, Any]:
        kept, _ = await self.store.find(run)
        assert kept.state is State.DONE, (kept.state, kept.why)
        found: dict[str, Any] = json.loads(kept.result)
        return found


@asynccontextmanager
async def open_company(folder: Path, agent: str = "triage", database: str = "") -> AsyncIterator[Company]:
    """A company with two accounts, an order and the rules; call it with the agent's token."""
    settings = Settings(home=folder / "home", allowed_hosts=["127.0.0.1:*"])
    workflows = shipped_and_own()  # with the tables that they need
    runs = Database(database or f"sqlite:///{folder}/orchestrator.db")
    runs.prepare()
    caller = Principal(T, agent=agent)
    ready_home(settings)
    async with open_gateway(settings) as gateway:
        with settings.open_database() as kept:
            tokens, now, later = Tokens(kept), gateway.now(), gateway.now() + timedelta(days=1)
            token, granting = (tokens.create(caller, now, later, each)[0] for each in (Audience.MCP, Audience.GRANTS))
            verifier = StaticTokenVerifier(tokens, gateway.now)
            app = build_http_app(gateway, build_server(gateway, None), settings, "127.0.0.1", 8900, verifier, kept)
            async with serving(app) as (address, _), connect(url=f"{address}/mcp", token=token) as client:
                company = Company(gateway, Store(runs), f"{address}/mcp", granting, client, workflows)
                await company.load("crm", *customers())
                await company.load("knowledge", document("Refund rules", REFUND_RULES))
                yield company
    runs.close()


def customers() -> Sequence[CrmRecord]:
    return [
        AccountRecord(source_id="vogt", name="Vogt GmbH", domain="vogt.example", owner=TOM.person or "", **TIMES),
        AccountRecord(source_id="hold", name="Held Ltd", domain="held.example", status="on_hold", **TIMES),
        ContactRecord(source_id="lena", name="Lena Vogt", email="lena@vogt.example", account="vogt", **TIMES),
        ContactRecord(source_id="hal", name="Hal Held", email="hal@held.example", account="hold", **TIMES),
        order("LI-20417", "vogt", "lena"),
        order("LI-20900", "hold", "hal"),
    ]


def order(number: str, account: str, contact: str, **changes: Any) -> OrderRecord:
    line = OrderLineRecord(
        sku="BI-620", name="Maple 30", quantity=1, unit_price=Decimal(changes.pop("price", "120.00"))
    )
    fields = {"status": "delivered", "placed_at": DAY - timedelta(days=15), "delivered_at": DAY - timedelta(days=10)}
    named = {"source_id": number, "number": number, "account": account, "contact": contact}
    return OrderRecord(**named, currency="EUR", lines=[line], **{**fields, **changes})


def refunded(amount: str) -> RefundRecord:
    return RefundRecord(amount=Decimal(amount), reason="late", issued_by="maya.okafor@larkspur.example", issued_at=DAY)


def ticket(subject: str, body: str, sender: str = "lena@vogt.example", **changes: Any) -> TicketRecord:
    comment = CommentRecord(author="Lena Vogt", body=body, at=DAY)
    fields = {"requester_name": "Lena Vogt", "status": "new", "created_at": DAY, "updated_at": DAY, **changes}
    return TicketRecord(source_id=subject, subject=subject, requester_email=sender, comments=[comment], **fields)


def mail(
    subject: str, body: str, sender: str = "Lena Vogt <lena@vogt.example>", mailbox: str = SUPPORT, answers: str = ""
) -> MessageRecord:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, mailbox, subject
    message["Date"], message["Message-ID"] = (
        f"Fri, 20 Nov 2026 {9 + bool(answers):02}:00:00 +0000",
        _message_id(subject),
    )
    if answers:
        message["In-Reply-To"] = _message_id(answers)
    message.set_content(body)
    return MessageRecord(source_id=message["Message-ID"], mailbox=mailbox, unread=True, raw=message.as_bytes())


def _message_id(subject: str) -> str:
    return f"<{subject.replace(' ', '-').replace(':', '')}@mail.example>"


def document(title: str, text: str, source: str = "", days_ago: int = 10) -> DocumentRecord:
    source = source or title
    return DocumentRecord(
        source_id=source, source=source, title=title, text=text, origin="official", updated_at=DAY - timedelta(days_ago)
    )


def deal(title: str, account: str = "vogt", **changes: Any) -> DealRecord:
    fields = {"stage": "proposal", "amount": Decimal(900), "currency": "EUR", **TIMES, **changes}
    return DealRecord(source_id=title, account=account, title=title, **fields)
