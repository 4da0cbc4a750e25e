"""Arguments are what the tool's input declares, in its types, once each: nothing is smuggled in beside them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.call import call_tool
from gateway.gateway import ToolCall
from gateway.http import build_http_app
from gateway.journal import Entry, Kind
from gateway.server import build_server
from gateway.settings import Settings
from tests.attacks.world import ANA, MAILBOX, two_tenants, use, write_policies
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_http import META

CONTACT: dict[str, Any] = {"name": "Kim Doe", "email": "kim@customer.example"}
UPDATE: dict[str, Any] = {"contact_id": "con_abcd2345", "version": 1, "name": "Kim"}
REFUND: dict[str, Any] = {"order_id": "ord_abcd2345", "amount": 10, "currency": "EUR", "reason": "late"}
MAIL: dict[str, Any] = {"mailbox": MAILBOX, "to": ["kim@customer.example"], "subject": "Hi", "body": "Hello"}

SMUGGLED = [
    ("email_send_message", {**MAIL, "bcc": ["eve@evil.example"]}),
    ("email_send_message", {**MAIL, "To": ["eve@evil.example"]}),
    ("email_send_message", {**MAIL, "t\u043e": ["eve@evil.example"]}),
    ("email_send_message", {**MAIL, "to\u200b": ["eve@evil.example"]}),
    ("email_send_message", {**MAIL, "\uff54\uff4f": ["eve@evil.example"]}),
    ("email_send_message", {**MAIL, "": "x"}),
    ("email_send_message", {**MAIL, "__proto__": {"to": ["eve@evil.example"]}}),
    ("email_send_message", {**MAIL, "_meta": {"remit/grant": "x"}}),
    ("crm_create_contact", {**CONTACT, "id": "con_chosen1"}),
    ("crm_create_contact", {**CONTACT, "tenant": "other"}),
]
TRICKED = [
    ("crm_update_contact", {**UPDATE, "version": "1"}),
    ("crm_update_contact", {**UPDATE, "version": True}),
    ("crm_update_contact", {**UPDATE, "version": 1.5}),
    ("crm_update_contact", {**UPDATE, "version": [1]}),
    ("crm_update_contact", {**UPDATE, "version": None}),
    ("crm_update_contact", {**UPDATE, "version": 10**400}),
    ("crm_update_contact", {**UPDATE, "version": float("nan")}),
    ("crm_issue_refund", {**REFUND, "amount": float("nan")}),
    ("crm_issue_refund", {**REFUND, "amount": "NaN"}),
    ("crm_issue_refund", {**REFUND, "amount": float("inf")}),
    ("crm_issue_refund", {**REFUND, "amount": 1e400}),
    ("crm_issue_refund", {**REFUND, "amount": -10}),
    ("crm_issue_refund", {**REFUND, "amount": 0}),
    ("crm_issue_refund", {**REFUND, "amount": 10.001}),
    ("crm_issue_refund", {**REFUND, "amount": True}),
    ("crm_issue_refund", {**REFUND, "amount": [10]}),
    ("crm_issue_refund", {**REFUND, "amount": {"$gt": 0}}),
    ("crm_issue_refund", {**REFUND, "order_id": ["ord_abcd2345"]}),
    ("crm_issue_refund", {**REFUND, "order_id": {"$ne": ""}}),
    ("crm_issue_refund", {**REFUND, "order_id": "ord_abcd2345\n"}),
    ("crm_issue_refund", {**REFUND, "currency": "eur"}),
    ("email_send_message", {**MAIL, "to": "kim@customer.example"}),
    ("email_send_message", {**MAIL, "to": [["kim@customer.example"]]}),
    ("email_send_message", {**MAIL, "to": [None]}),
    ("email_send_message", {**MAIL, "to": [{"email": "kim@customer.example"}]}),
    ("email_send_message", {**MAIL, "to": []}),
    ("email_send_message", {**MAIL, "to": ["kim@customer.example"] * 21}),
    ("email_send_message", {**MAIL, "body": None}),
    ("email_send_message", {**MAIL, "body": "\ud800"}),
    ("email_send_message", {**MAIL, "body": 5}),
]


@pytest.mark.parametrize("attempts", [SMUGGLED, TRICKED], ids=["a field", "a type"])
async def test_what_the_input_does_not_declare_is_refused_and_nothing_begins(
    opened: OpenGateway,
    policies: Path,
    entries: Callable[[], list[Entry]],
    attempts: list[tuple[str, dict[str, Any]]],
) -> None:
    write_policies(policies)
    async with opened() as gateway:
        for tool, arguments in attempts:
            answer = await call_tool(gateway, ToolCall(ANA, tool, arguments))
            assert answer.error, (tool, arguments)
            assert answer.error.kind == "invalid_input", (tool, arguments)
    assert [entry.kind for entry in entries()] == [Kind.INVALID] * len(attempts)


async def test_the_same_calls_as_they_are_meant_go_through(opened: OpenGateway, policies: Path) -> None:
    async with two_tenants(opened, policies) as gateway:
        assert (await use(gateway, ANA, "email_send_message", **MAIL)).status == "ok"
        made = await use(gateway, ANA, "crm_create_contact", **CONTACT)
        assert made.result
        assert (
            await use(gateway, ANA, "crm_update_contact", **{**UPDATE, "contact_id": made.result.id})
        ).status == "ok"


def nested(depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [50, 5_000])
async def test_deep_nesting_breaks_nothing(opened: OpenGateway, policies: Path, depth: int) -> None:
    write_policies(policies)
    async with opened() as gateway:
        answer = await call_tool(gateway, ToolCall(ANA, "email_send_message", {**MAIL, "to": nested(depth)}))
        assert answer.error
        assert answer.error.kind == "invalid_input"


async def test_of_a_name_that_is_sent_twice_what_is_decided_is_what_is_done(
    opened: OpenGateway, policies: Path, home: Path, entries: Callable[[], list[Entry]]
) -> None:
    """JSON leaves open which of two equal names counts (RFC 8259, section 4): decider and back end must agree."""
    (policies / "roles.csv").write_text("g, person:ana@larkspur.example, role:staff, larkspur\n")
    (policies / "rules.csv").write_text(
        "p, A1, role:staff, crm_create_contact, , allow, staff\n"
        "p, A2, role:staff, crm_create_contact, args.email == 'eve@evil.example', deny, not her\n"
    )
    (policies / "approvers.csv").unlink()
    async with opened() as gateway:
        settings = Settings(home=home, policies=policies)
        app = build_http_app(gateway, build_server(gateway, ANA), settings, "127.0.0.1", 8900, None)
        async with app.router.lifespan_context(app), _client(app) as http:
            first = await _post(http, '"email": "eve@evil.example", "email": "kim@customer.example"')
            second = await _post(http, '"email": "kim@customer.example", "email": "eve@evil.example"')
    done = [entry.body["arguments"]["email"] for entry in entries() if entry.kind is Kind.INTENT]
    assert "eve@evil.example" not in done
    assert [first["status"], second["status"]].count("ok") == len(done)


def _client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8900")


async def _post(http: httpx.AsyncClient, emails: str) -> dict[str, Any]:
    params = f'{{"name": "crm_create_contact", "arguments": {{"name": "Kim", {emails}}}, "_meta": {json.dumps(META)}}}'
    answer = await http.post(
        "/mcp",
        content=f'{{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {params}}}',
        headers={
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": "crm_create_contact",
        },
    )
    content: dict[str, Any] = answer.json()["result"]["structuredContent"]
    return content
