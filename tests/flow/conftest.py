"""Gateways whose policy speaks of data flow, on real embedded back ends."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from secrets import token_hex
from shutil import copytree
from typing import Any

import pytest

from connectors.contract import CallContext
from connectors.crm.tools import GetOrders, SearchAccounts, SearchContacts
from connectors.email.loading import message_row_id
from connectors.records import (
    AccountRecord,
    CommentRecord,
    ContactRecord,
    DealRecord,
    DocumentRecord,
    MessageRecord,
    OrderLineRecord,
    OrderRecord,
    TicketRecord,
)
from connectors.registry import EmbeddedBackEnds
from connectors.ticketing.tools import SearchTickets
from gateway.answer import Answer
from gateway.app import open_gateway
from gateway.call import call_tool
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.grants.grant import Terms
from gateway.principal import Principal, parse_principal
from gateway.settings import SHIPPED_POLICIES, Settings
from tests.policies import policy_folder
from tests.sqlite import ready_home

VOUCHED = "['request', 'organisation']"
RULES = f"""\
p, A1, role:worker, *, , allow, anything
p, F1, role:worker, email_send_message, "origin(args.to) not in {VOUCHED}", ask, nobody vouches for the recipient
p, F2, role:worker, email_send_message, "origin(args.body) == 'outsider'", ask, outsiders wrote it
p, F3, role:worker, email_send_message, "confidentiality(args.body) > audience(args.to)", ask, not for their eyes
p, F4, role:worker, crm_issue_refund, "origin(args.order_id) == 'outsider'", deny, an outsider named the order
"""
ROLES = """\
g, agent:one, role:worker, *
g, agent:two, role:worker, *
g, person:ana@larkspur.example, role:lead, *
"""
APPROVERS = "approver, role:lead, *, *\n"
SUPPORT = "support@larkspur.example"
LISTS = "list, company, larkspur.example\n"

OpenFlow = Callable[..., AbstractAsyncContextManager["Calls"]]


class Calls:
    """Makes calls to a gateway, as one agent unless told otherwise."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def __call__(
        self, tool: str, *, who: str = "agent:one", tenant: str = "larkspur", grant: str = "", **arguments: Any
    ) -> Answer[Any]:
        declared = Declared.model_validate({"remit/grant": grant} if grant else {})
        return await call_tool(self.gateway, ToolCall(parse_principal(who, tenant), tool, arguments, declared))

    async def ok(self, tool: str, **arguments: Any) -> Any:
        answer = await self(tool, **arguments)
        assert answer.status == "ok", answer
        return answer.result

    async def grant(self, request: str, who: str = "agent:one") -> str:
        """A grant for a task that a person asked for in these words."""
        principal = parse_principal(who, "larkspur")
        issued = await self.gateway.grants.issue(principal, Terms(request=request), self.gateway.now(), "test", None)
        return issued.token

    async def contact(self, email: str, name: str = "Lena") -> str:
        """A contact that the organisation has on record."""
        now = self.gateway.now()
        record = ContactRecord(source_id=email, name=name, email=email, created_at=now, updated_at=now)
        await self._back_ends.crm.load("larkspur", [record])
        found = await self._back_ends.crm.crm_search_contacts(self._staff(), SearchContacts(email=email))
        return found.contacts[0].id

    async def ticket(self, body: str, requester: str = "mallory@evil.example") -> str:
        """A ticket that an outsider wrote."""
        now, name = self.gateway.now(), token_hex(8)
        comments = [CommentRecord(author="M", body=body, at=now)]
        times = {"created_at": now, "updated_at": now}
        record = TicketRecord(source_id=name, subject="Help", requester_email=requester, comments=comments, **times)
        await self._back_ends.ticket.load("larkspur", [record])
        found = await self._back_ends.ticket.ticket_search_tickets(self._staff(), SearchTickets(query=body))
        return found.tickets[0].id

    async def company(self, domain: str) -> str:
        """A customer with an account, a contact `lena@…`, a deal and an order, whose id this gives."""
        now, crm, address = self.gateway.now(), self._back_ends.crm, f"lena@{domain}"
        times = {"created_at": now, "updated_at": now}
        await crm.load("larkspur", [AccountRecord(source_id=domain, name=domain, domain=domain, **times)])
        await crm.load(
            "larkspur", [ContactRecord(source_id=address, name="Lena", email=address, account=domain, **times)]
        )
        deal = {"title": "Scales", "stage": "lead", "amount": Decimal(90), "currency": "EUR", **times}
        await crm.load("larkspur", [DealRecord(source_id=domain, account=domain, **deal)])
        lines = [OrderLineRecord(sku="S1", name="Scale", quantity=2, unit_price=Decimal(45))]
        order = {"number": "LI-20417", "status": "placed", "currency": "EUR", "lines": lines, "placed_at": now}
        await crm.load("larkspur", [OrderRecord(source_id=domain, account=domain, contact=address, **order)])
        account = await crm.crm_search_accounts(self._staff(), SearchAccounts(query=domain))
        orders = await crm.crm_get_orders(self._staff(), GetOrders(account_id=account.accounts[0].id))
        return orders.orders[0].id

    async def mail_from(self, sender: str, body: str, mailbox: str = SUPPORT) -> str:
        """A message that came in, by its id."""
        name = f"{token_hex(8)}@{sender.rpartition('@')[2]}"
        head = f"From: {sender}\r\nTo: {mailbox}\r\nMessage-ID: <{name}>\r\nMIME-Version: 1.0\r\n"
        file = 'Content-Type: text/plain\r\nContent-Disposition: attachment; filename="a.txt"\r\n\r\nA file'
        part = f"Content-Type: text/plain\r\n\r\n{body}"
        parts = f"--x\r\n{part}\r\n--x\r\n{file}\r\n--x--\r\n"
        raw = f"{head}Content-Type: multipart/mixed; boundary=x\r\n\r\n{parts}".encode()
        record = MessageRecord(source_id=name, mailbox=mailbox, raw=raw)
        await self._back_ends.email.load("larkspur", [record])
        return message_row_id(record, "larkspur")

    async def document(self, text: str, origin: str) -> str:
        """A document that everybody may read, by its title."""
        title = f"Manual {token_hex(4)}"
        facts = {"title": title, "text": text, "source": title, "origin": origin, "updated_at": self.gateway.now()}
        await self._back_ends.knowledge.load("larkspur", [DocumentRecord.model_validate({"source_id": title, **facts})])
        return title

    async def reads(self, body: str, **arguments: Any) -> None:
        """Let the agent read what an outsider wrote."""
        await self.ok("ticket_get_ticket", ticket_id=await self.ticket(body, **arguments))

    async def open_mailbox(self) -> None:
        raw = b"From: a@larkspur.example\r\nTo: b@larkspur.example\r\nMessage-ID: <1@larkspur.example>\r\n\r\nHello"
        await self._back_ends.email.load("larkspur", [MessageRecord(source_id="1", mailbox=SUPPORT, raw=raw)])

    @property
    def _back_ends(self) -> EmbeddedBackEnds:
        back_ends = self.gateway.back_ends
        assert isinstance(back_ends, EmbeddedBackEnds)
        return back_ends

    def _staff(self) -> CallContext:
        return CallContext("larkspur", "system", token_hex(8), self.gateway.now())

    async def mail(self, to: str, body: str = "We will call you.", **arguments: Any) -> Answer[Any]:
        return await self("email_send_message", mailbox=SUPPORT, to=[to], subject="Re", body=body, **arguments)

    async def approve(self, answer: Answer[Any]) -> None:
        assert answer.approval
        ana = Principal("larkspur", person="ana@larkspur.example")
        gateway = self.gateway
        await gateway.approvals.answer(answer.approval.id, ana, gateway.policy.current, True, "", gateway.now())


@pytest.fixture
def database_url() -> str:
    """A file: what is asked of a database here is the same on either, and `test_ledger.py` holds it on both."""
    return ""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return policy_folder(tmp_path / "policies", roles=ROLES, rules=RULES, approvers=APPROVERS, lists=LISTS)


@pytest.fixture
def opened(tmp_path: Path, policies: Path, database_url: str) -> OpenFlow:
    @asynccontextmanager
    async def open_(**given: Any) -> AsyncIterator[Calls]:
        settings = Settings(home=tmp_path / "home", policies=policies, database_url=database_url, **given)
        ready_home(settings)
        async with open_gateway(settings) as gateway:
            calls = Calls(gateway)
            await calls.open_mailbox()
            yield calls

    return open_


@pytest.fixture
def shipped(tmp_path: Path) -> OpenFlow:
    """Gateways under the policy that is shipped, on a file."""
    policies = tmp_path / "shipped"
    copytree(SHIPPED_POLICIES, policies)
    with (policies / "roles.csv").open("a") as roles:
        roles.write("\ng, person:sam@larkspur.example, role:sales, larkspur\n")

    @asynccontextmanager
    async def open_(**given: Any) -> AsyncIterator[Calls]:
        settings = Settings(home=tmp_path / "home", policies=policies, **given)
        ready_home(settings)
        async with open_gateway(settings) as gateway:
            yield Calls(gateway)

    return open_
