"""Issues grants and calls under them."""

import json
from datetime import datetime, timedelta
from typing import Any

from gateway.answer import Answer
from gateway.call import call_tool
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.grants.book import Issued
from gateway.grants.grant import Terms
from gateway.principal import Principal

ANA = Principal("larkspur", person="ana@larkspur.example")
INES = Principal("larkspur", person="ines@larkspur.example")
TRIAGE = Principal("larkspur", agent="triage")
ELSEWHERE = Principal("other", person="ana@larkspur.example")
KIM = {"name": "Kim Doe", "email": "kim@customer.example"}


def terms(**given: Any) -> Terms:
    """Terms as they arrive as JSON."""
    return Terms.model_validate_json(json.dumps(given))


async def granted(
    gateway: Gateway,
    who: Principal = ANA,
    *,
    now: datetime | None = None,
    lasting: timedelta | None = None,
    **given: Any,
) -> Issued:
    return await gateway.grants.issue(who, terms(**given), now or gateway.now(), "test", lasting)


def declared(token: str = "", key: str = "") -> Declared:
    said = {"remit/grant": token, "remit/key": key}
    return Declared.model_validate({name: text for name, text in said.items() if text})


async def call(
    gateway: Gateway, token: str, tool: str, arguments: dict[str, Any], who: Principal = ANA, key: str = ""
) -> Answer[Any]:
    return await call_tool(gateway, ToolCall(who, tool, arguments, declared(token, key)))


async def create(gateway: Gateway, token: str = "", number: int = 0, who: Principal = ANA) -> Answer[Any]:
    """Create a contact of its own."""
    return await call(gateway, token, "crm_create_contact", {**KIM, "email": f"kim{number}@customer.example"}, who)
