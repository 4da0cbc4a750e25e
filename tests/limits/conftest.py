"""Gateways with limits: several on one database, with a back end that does what it is told."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
from pydantic import SecretStr

from connectors.contract import CallContext
from connectors.crm.tools import Contact, GetContact, IssueRefund, Refund
from connectors.errors import NotFound
from gateway.answer import Answer
from gateway.app import open_gateway
from gateway.call import call_tool
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.principal import Principal
from gateway.settings import Settings
from tests.policies import policy_folder
from tests.sqlite import ready_home

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
ANA = Principal("larkspur", person="ana@larkspur.example")
BEN = Principal("larkspur", person="ben@larkspur.example")
ZOE = Principal("other", person="zoe@other.example")
TRIAGE = Principal("larkspur", agent="triage")
TRIAGE_FOR_ANA = Principal("larkspur", person=ANA.person, agent="triage")
ROLES = """\
g, person:ana@larkspur.example, role:agent, *
g, person:ben@larkspur.example, role:agent, *
g, person:zoe@other.example, role:agent, *
g, agent:triage, role:triage, *
"""
RULES = """\
p, A1, role:agent, crm_*, , allow, ""
p, A2, role:agent, crm_issue_refund, "args.amount > 50", ask, "a second look"
p, A3, role:triage, crm_*, , allow, ""
"""


@dataclass
class Till:
    """A back end that pays what it is asked, unless it is told to do something else first."""

    paid: list[Any] = field(default_factory=list)
    before: Callable[[], Any] = anyio.lowlevel.checkpoint
    after: Callable[[], Any] = anyio.lowlevel.checkpoint

    async def crm_issue_refund(self, call: CallContext, args: IssueRefund) -> Refund:
        await self.before()
        self.paid.append(args.amount)
        await self.after()
        given = args.model_dump(include={"order_id", "amount", "currency", "reason"})
        return Refund(id="ref_paid", issued_by=call.actor, issued_at=call.now, **given)

    async def crm_get_contact(self, call: CallContext, args: GetContact) -> Contact:
        raise NotFound("no such contact")


@dataclass
class Clock:
    """The time as a test wants it."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **length: float) -> None:
        self.now += timedelta(**length)


def write_policy(folder: Path, *limits: str) -> Path:
    lines = "".join(f"{line}\n" for line in limits)
    return policy_folder(folder, roles=ROLES, rules=RULES, approvers="approver, role:agent, *, *\n", limits=lines)


@asynccontextmanager
async def gateways(
    folder: Path,
    database_url: str,
    *limits: str,
    count: int = 1,
    till: Any = None,
    now: Callable[[], datetime] = NOW.astimezone,
) -> AsyncIterator[list[Gateway]]:
    """So many gateways on one database, as if each were a process of its own."""
    policies = write_policy(folder / "policies", *limits)
    made = Settings(home=folder / "home", policies=policies, database_url=SecretStr(database_url), call_tries=1)
    ready_home(made)
    async with AsyncExitStack() as stack:
        plain = [await stack.enter_async_context(open_gateway(made)) for _ in range(count)]
        crm: Any = till or Till()
        yield [replace(each, back_ends=replace(each.back_ends, crm=crm), now=now) for each in plain]


async def refund(
    gateway: Gateway, amount: object, who: Principal = ANA, key: str | None = None, currency: str = "EUR"
) -> Answer[Any]:
    order = {"order_id": "ord_abcd2345", "currency": currency, "reason": "late", "amount": amount}
    declared = Declared.model_validate({"remit/key": key} if key else {})
    return await call_tool(gateway, ToolCall(who, "crm_issue_refund", order, declared))


async def look_up(gateway: Gateway, who: Principal = ANA) -> Answer[Any]:
    return await call_tool(gateway, ToolCall(who, "crm_get_contact", {"contact_id": "con_abcd2345"}))
