"""Two tenants with records of their own on one gateway, where policy allows nearly everything: the rest must hold."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from connectors.email.mime import parse
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
from gateway.answer import Answer
from gateway.call import call_tool
from gateway.gateway import Gateway, ToolCall
from gateway.principal import Principal
from tests.gateway.conftest import OpenGateway

ANA = Principal("larkspur", person="ana@larkspur.example")
ZOE = Principal("other", person="zoe@other.example")
MAILBOX = "support@larkspur.example"
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROLES = """\
g, person:ana@larkspur.example, role:staff, larkspur
g, person:zoe@other.example, role:staff, other
g, person:rex@larkspur.example, role:reader, larkspur
g, agent:triage, role:staff, larkspur
g, agent:narrow, role:reader, larkspur
"""
RULES = """\
p, A1, role:staff, *, , allow, staff do everything
p, A2, role:staff, crm_issue_refund, , ask, but money
p, B1, role:reader, crm_get_contact, , allow, readers read
"""
APPROVERS = "approver, role:staff, *, larkspur\n"


def write_policies(folder: Path) -> None:
    (folder / "roles.csv").write_text(ROLES)
    (folder / "rules.csv").write_text(RULES)
    (folder / "approvers.csv").write_text(APPROVERS)


@asynccontextmanager
async def two_tenants(opened: OpenGateway, policies: Path, **settings: Any) -> AsyncIterator[Gateway]:
    """Each tenant's records have the words `secret of TENANT` in them."""
    write_policies(policies)
    async with opened(**settings) as gateway:
        for tenant in ("larkspur", "other"):
            await _fill(gateway, tenant)
        yield gateway


async def _fill(gateway: Gateway, tenant: str) -> None:
    secret = f"secret of {tenant}"
    times = {"created_at": AT, "updated_at": AT}
    line = OrderLineRecord(sku="S1", name=secret, quantity=1, unit_price=Decimal(90))
    deal = {"source_id": "d1", "account": "a1", "title": secret, "stage": "proposal", "amount": 9, "currency": "EUR"}
    order = {"source_id": "o1", "number": "N1", "account": "a1", "contact": "c1", "status": "delivered"}
    records = [
        AccountRecord(source_id="a1", name=f"Nordwind {secret}", notes=secret, **times),
        ContactRecord(source_id="c1", name=secret, email=f"kim@{tenant}.example", account="a1", **times),
        DealRecord.model_validate({**deal, **times}),
        OrderRecord.model_validate({**order, "currency": "EUR", "lines": [line], "placed_at": AT}),
    ]
    await gateway.back_ends.crm.load(tenant, records)  # type: ignore[attr-defined]
    comment = CommentRecord(author="Kim", body=secret, at=AT)
    asked = {"source_id": "t1", "subject": secret, "requester_email": f"kim@{tenant}.example"}
    ticket = TicketRecord(**asked, comments=[comment], **times)
    await gateway.back_ends.ticket.load(tenant, [ticket])  # type: ignore[attr-defined]
    document = DocumentRecord(source_id="k1", title=secret, text=f"Returns: {secret}", source="k1.md", updated_at=AT)
    await gateway.back_ends.knowledge.load(tenant, [document])  # type: ignore[attr-defined]
    await receive(gateway, tenant, secret, attachment="../../etc/passwd")


async def receive(gateway: Gateway, tenant: str, subject: str, attachment: str) -> None:
    """A mail from outside arrives with a file."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = f"Kim <kim@{tenant}.example>", MAILBOX, subject
    mail["Message-ID"], mail["Date"] = f"<{subject.replace(' ', '.')}@x.example>", "Mon, 02 Mar 2026 12:00:00 +0000"
    mail.set_content(subject)
    mail.add_attachment(subject.encode(), "text", "plain", filename=attachment)
    await deliver(gateway, tenant, mail.as_bytes())


async def deliver(gateway: Gateway, tenant: str, raw: bytes) -> None:
    """A mail arrives, byte by byte as its sender wrote it."""
    record = MessageRecord(source_id=parse(raw).message_id, mailbox=MAILBOX, raw=raw)
    await gateway.back_ends.email.load(tenant, [record])  # type: ignore[attr-defined]


async def use(gateway: Gateway, who: Principal, tool: str, **arguments: Any) -> Answer[Any]:
    return await call_tool(gateway, ToolCall(who, tool, arguments))


async def result(gateway: Gateway, who: Principal, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await use(gateway, who, tool, **arguments)
    assert answer.status == "ok", answer
    found: dict[str, Any] = answer.to_wire()["result"]
    return found
