"""Results of a real gateway: presented to each caller, kept as they were, told in the journal without a value."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from connectors.contract import CallContext, Output, Tool
from connectors.crm.tools import Contact, CreateContact
from connectors.errors import InDoubt
from gateway.call import call_tool
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.journal import Entry, Kind
from gateway.principal import Principal
from tests.gateway.conftest import OpenGateway, database, entries, home, kept, opened, policies

__all__ = ["database", "entries", "home", "kept", "opened", "policies"]

ANA = Principal("larkspur", person="ana@larkspur.example")
BOT_FOR_ANA = Principal("larkspur", person="ana@larkspur.example", agent="triage")
CARD = "4111 1111 1111 1111"
NAME = f"Kim ![x](https://evil.example/?q) {CARD}"
KIM = {"name": NAME, "email": "kim@customer.example"}
INERT = f"Kim ![x] (hxxps://evil[.]example/?q) {CARD}"
REDACTED = "Kim ![x] (hxxps://evil[.]example/?q) ⟦redacted: payment card, rule {}⟧"


@pytest.fixture
def database_url() -> str:
    """A file in the home: nothing here depends on the database."""
    return ""


@pytest.fixture
def obliging(policies: Path) -> Callable[[str], None]:
    def write(lines: str) -> None:
        (policies / "obligations.csv").write_text(lines)

    return write


async def ask(gateway: Gateway, who: Principal, tool: str, arguments: dict[str, Any], key: str = "") -> Any:
    declared = Declared.model_validate({"remit/key": key} if key else {})
    return await call_tool(gateway, ToolCall(who, tool, arguments, declared))


async def test_the_obligations_of_person_and_agent_add_up(
    opened: OpenGateway, obliging: Callable[[str], None], entries: Callable[[], list[Entry]]
) -> None:
    obliging(
        'redact, O01, role:triage, crm_*, *, payment_cards, ""\nredact, O02, role:agent, crm_get_*, email, field, ""\n'
    )
    async with opened() as gateway:
        made = await ask(gateway, ANA, "crm_create_contact", KIM)
        mine = await ask(gateway, ANA, "crm_get_contact", {"contact_id": made.result.id})
        both = await ask(gateway, BOT_FOR_ANA, "crm_get_contact", {"contact_id": made.result.id})
    assert (mine.result.name, mine.result.email) == (INERT, "⟦redacted: field, rule O02⟧")
    assert (both.result.name, both.result.email) == (REDACTED.format("O01"), "⟦redacted: field, rule O02⟧")
    outcome = [entry.body for entry in entries() if entry.kind is Kind.OUTCOME][-1]
    assert outcome["obligations"] == ["O01", "O02"]
    assert outcome["redacted"] == [
        {"path": "name", "rule": "O01", "what": "payment_cards", "count": 1},
        {"path": "email", "rule": "O02", "what": "field", "count": 1},
    ]
    assert [each["path"] for each in outcome["altered"]] == ["name"]
    assert "4111" not in str(outcome)


async def test_an_answer_given_again_obeys_the_policy_of_that_moment(
    opened: OpenGateway, obliging: Callable[[str], None], entries: Callable[[], list[Entry]]
) -> None:
    async with opened() as gateway:
        first = await ask(gateway, ANA, "crm_create_contact", KIM, "key-1")
        assert "4111" in (await gateway.settled.find("larkspur", first.call_id) or ""), "what is kept is the original"
    obliging('redact, O07, role:agent, *, *, payment_cards, ""\n')
    async with opened() as gateway:
        again = await ask(gateway, ANA, "crm_create_contact", KIM, "key-1")
    assert first.result.name == INERT
    assert again.result["name"] == REDACTED.format("O07")
    repeated = [entry.body for entry in entries() if entry.kind is Kind.REPEATED]
    assert [part["rule"] for part in repeated[-1]["redacted"]] == ["O07"]


class ForgetfulCrm:
    """A CRM that does what it is asked, and then cannot say so."""

    def __init__(self, crm: Any) -> None:
        self.crm = crm

    async def crm_create_contact(self, call: CallContext, args: CreateContact) -> Contact:
        await self.crm.crm_create_contact(call, args)
        raise InDoubt("the line broke")

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:
        found: Output | None = await self.crm.find_effect(call, tool)
        return found


async def test_a_result_that_was_found_out_is_presented_too(
    opened: OpenGateway, obliging: Callable[[str], None]
) -> None:
    obliging('redact, O01, role:agent, *, *, payment_cards, ""\n')
    async with opened() as gateway:
        crm: Any = ForgetfulCrm(gateway.back_ends.crm)
        made = await ask(
            replace(gateway, back_ends=replace(gateway.back_ends, crm=crm)), ANA, "crm_create_contact", KIM
        )
    assert made.status == "ok"
    assert made.result.name == REDACTED.format("O01")


async def test_a_denied_call_tells_of_no_obligations(opened: OpenGateway, obliging: Callable[[str], None]) -> None:
    obliging('cap, O01, role:agent, *, 2000, ""\n')
    async with opened() as gateway:
        refund = {"order_id": "ord_abcd2345", "currency": "EUR", "reason": "late", "amount": 900}
        denied = await ask(gateway, ANA, "crm_issue_refund", refund)
        assert denied.status == "denied"
        decided = gateway.policy.current.decide(ANA, "crm_get_contact", {}, gateway.now())
    assert decided.obligations == ("O01",)
