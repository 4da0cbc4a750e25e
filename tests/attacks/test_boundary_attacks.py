"""Nobody reaches another tenant's records, nobody does by another's hand what they may not, and no tool takes a URL."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.contract import Effect, Sink, Tool
from connectors.registry import TOOLS
from gateway.approvals import NotAnswerable
from gateway.approvals.book import UnknownApproval
from gateway.catalog import UnknownTool
from gateway.gateway import Gateway
from gateway.principal import Principal
from gateway.settings import BadSettings, load_settings
from tests.attacks.world import ANA, MAILBOX, ZOE, result, two_tenants, use
from tests.gateway.conftest import OpenGateway

READS = [tool.name for tool in TOOLS if tool.effect is Effect.READ]
TRIAGE = Principal("larkspur", agent="triage")
REX = "rex@larkspur.example"


async def ids_of(gateway: Gateway, who: Principal) -> dict[str, dict[str, Any]]:
    """For every tool that reads, arguments that find something of the caller's own."""
    account = (await result(gateway, who, "crm_search_accounts", query="Nordwind"))["accounts"][0]["id"]
    contact = (await result(gateway, who, "crm_search_contacts", query="secret"))["contacts"][0]["id"]
    deal = (await result(gateway, who, "crm_list_deals", account_id=account))["deals"][0]["id"]
    order = (await result(gateway, who, "crm_get_orders", account_id=account))["orders"][0]["id"]
    ticket = (await result(gateway, who, "ticket_search_tickets", query="secret"))["tickets"][0]["id"]
    thread = (await result(gateway, who, "email_search_messages", mailbox=MAILBOX))["messages"][0]["thread_id"]
    mails = (await result(gateway, who, "email_get_thread", mailbox=MAILBOX, thread_id=thread))["messages"]
    document = (await result(gateway, who, "knowledge_search_documents", query="returns"))["passages"][0]
    return {
        "crm_search_accounts": {"query": "Nordwind"},
        "crm_get_account": {"account_id": account},
        "crm_search_contacts": {"account_id": account},
        "crm_get_contact": {"contact_id": contact},
        "crm_list_deals": {"account_id": account},
        "crm_get_deal": {"deal_id": deal},
        "crm_get_orders": {"order_id": order},
        "ticket_search_tickets": {"query": "secret"},
        "ticket_get_ticket": {"ticket_id": ticket},
        "email_search_messages": {"mailbox": MAILBOX},
        "email_get_thread": {"mailbox": MAILBOX, "thread_id": thread},
        "email_read_attachment": {"mailbox": MAILBOX, "attachment_id": mails[0]["attachments"][0]["id"]},
        "knowledge_search_documents": {"query": "returns"},
        "knowledge_get_document": {"document_id": document["document_id"]},
    }


async def test_every_tool_that_reads_shows_a_tenant_its_own_records_and_no_other_tenants(
    opened: OpenGateway, policies: Path
) -> None:
    async with two_tenants(opened, policies) as gateway:
        arguments = await ids_of(gateway, ANA)
        assert set(arguments) == set(READS), "a new tool that reads needs its line above"
        for tool, given in arguments.items():
            own = json.dumps((await use(gateway, ANA, tool, **given)).to_wire())
            theirs = json.dumps((await use(gateway, ZOE, tool, **given)).to_wire())
            assert "secret of larkspur" in own, tool
            assert "secret of larkspur" not in theirs, tool


async def test_writes_change_nothing_of_another_tenant(opened: OpenGateway, policies: Path) -> None:
    async with two_tenants(opened, policies) as gateway:
        ids = await ids_of(gateway, ANA)
        contact = ids["crm_get_contact"]["contact_id"]
        before = await result(gateway, ANA, "crm_get_contact", contact_id=contact)
        writes: dict[str, dict[str, Any]] = {
            "crm_update_contact": {"contact_id": contact, "version": before["version"], "name": "Mallory"},
            "ticket_add_note": {**ids["ticket_get_ticket"], "body": "was here"},
            "ticket_add_reply": {**ids["ticket_get_ticket"], "body": "was here"},
        }
        for tool, given in writes.items():
            answer = await use(gateway, ZOE, tool, **given)
            assert answer.error, tool
            assert answer.error.kind == "not_found", tool
            # The harmless twin: the same call by whom the record belongs to.
            assert (await use(gateway, ANA, tool, **given)).status == "ok", tool


async def test_an_agent_for_a_person_does_no_more_than_either_may(opened: OpenGateway, policies: Path) -> None:
    async with two_tenants(opened, policies) as gateway:
        contact = (await ids_of(gateway, ANA))["crm_get_contact"]
        note = {"subject": "x", "body": "y", "requester_name": "Kim", "requester_email": "kim@customer.example"}
        deputies = (Principal("larkspur", person=REX, agent="triage"), Principal("larkspur", ANA.person, "narrow"))
        for deputy in deputies:
            assert (await use(gateway, deputy, "crm_get_contact", **contact)).status == "ok"
            with pytest.raises(UnknownTool):
                await use(gateway, deputy, "ticket_create_ticket", **note)
        both_may = Principal("larkspur", ANA.person, "triage")
        assert (await use(gateway, both_may, "ticket_create_ticket", **note)).status == "ok"


async def test_a_persons_approval_is_given_by_no_agent_and_by_no_other_tenant(
    opened: OpenGateway, policies: Path
) -> None:
    async with two_tenants(opened, policies) as gateway:
        order = (await ids_of(gateway, ANA))["crm_get_orders"]["order_id"]
        refund = {"order_id": order, "amount": 10, "currency": "EUR", "reason": "late"}
        asked = await use(gateway, TRIAGE, "crm_issue_refund", **refund)
        assert asked.approval, asked

        async def answer(who: Principal) -> None:
            assert asked.approval
            policy, now = gateway.policy.current, gateway.now()
            await gateway.approvals.answer(asked.approval.id, who, policy, approve=True, note="", now=now)

        for who in (TRIAGE, Principal("larkspur", ANA.person, "triage"), Principal("larkspur", agent="other")):
            with pytest.raises(NotAnswerable):
                await answer(who)
        with pytest.raises(UnknownApproval):
            await answer(ZOE)
        await answer(ANA)
        assert (await use(gateway, TRIAGE, "crm_issue_refund", **refund)).status == "ok"


def _url_fields(tool: Tool) -> Iterator[str]:
    for path in _paths(tool.input.model_json_schema()):
        name = path.rpartition(".")[2].lower().removesuffix("[]")
        if any(word in name.split("_") for word in ("url", "uri", "href", "link", "webhook", "endpoint", "callback")):
            yield path


def _paths(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, before: str = "") -> Iterator[str]:
    root = root or schema
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    for each in (*schema.get("anyOf", ()), *schema.get("allOf", ())):
        yield from _paths(each, root, before)
    for name, part in schema.get("properties", {}).items():
        path = f"{before}.{name}" if before else name
        yield path
        yield from _paths(part, root, path)
    if isinstance(schema.get("items"), Mapping):
        yield from _paths(schema["items"], root, f"{before}[]")


def test_no_tool_takes_a_url_that_is_not_declared_to_be_a_sink() -> None:
    """What a URL reaches is up to whoever wrote it (CWE-918): a tool that takes one says so and is tested apart."""
    undeclared = [
        (tool.name, path) for tool in TOOLS for path in _url_fields(tool) if tool.sinks.get(path) is not Sink.URL
    ]
    declared = [(tool.name, path) for tool in TOOLS for path, sink in tool.sinks.items() if sink is Sink.URL]
    assert undeclared == []
    assert declared == [], "the first tool with a URL needs a guard against addresses of the inner network"


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.5/hook",
        "http://localhost.evil.example/hook",
        "http://127.0.0.1.evil.example/hook",
        "http://127.0.0.1@evil.example/hook",
        "file:///etc/passwd",
        "gopher://127.0.0.1:25/",
        "https://",
        "https://x y",
        "HTTP://127.0.0.1/",
    ],
)
def test_notices_are_posted_to_https_or_this_machine_and_nowhere_else(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="notify_webhook"):
        load_settings(home=tmp_path, notify_webhook=url, notify_secret="x" * 24)


@pytest.mark.parametrize("url", ["https://hooks.example/remit", "http://127.0.0.1:9000/hook", "http://[::1]:9000/hook"])
def test_an_honest_address_for_notices_is_taken(url: str, tmp_path: Path) -> None:
    assert load_settings(home=tmp_path, notify_webhook=url, notify_secret="x" * 24).notify_webhook == url
