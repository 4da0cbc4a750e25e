"""Makes small policies for tests, from lines without their boilerplate."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from connectors.contract import Tool, tools_of
from connectors.crm.tools import Crm
from connectors.email.tools import Email
from connectors.knowledge.tools import Knowledge
from connectors.ticketing.tools import Ticketing
from gateway.policy.decision import Decision
from gateway.policy.judge import Policy
from gateway.policy.load import policy_from_texts
from gateway.policy.problem import PolicyError
from gateway.principal import Principal

SHIPPED = Path(__file__).parents[2] / "policies"
MODEL = (SHIPPED / "model.conf").read_text(encoding="utf-8")
TOOLS: tuple[Tool, ...] = (*tools_of(Crm), *tools_of(Ticketing), *tools_of(Email), *tools_of(Knowledge))
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

TEAM = "g, person:ana, role:team, acme\ng, agent:bot, role:bot, acme\n"
ANA = Principal("acme", person="ana")
BOT = Principal("acme", agent="bot")
BOT_FOR_ANA = Principal("acme", person="ana", agent="bot")

REFUND: Mapping[str, object] = {
    "order_id": "ord_0001",
    "amount": Decimal("60.00"),
    "currency": "EUR",
    "reason": "late",
    "note": "",
}
BOT_REFUNDS = "p, B1, role:bot, crm_issue_refund, , allow, "
"""A rule that keeps `role:bot` spoken of and leaves the answer to the rules about `role:team`."""


def policy(rules: str, roles: str = TEAM, model: str = MODEL, lists: str = "") -> Policy:
    """The policy of these texts. A role that the texts do not speak of is a mistake, as in files."""
    texts = {"model.conf": model, "roles.csv": roles, "lists.csv": lists, "rules.csv": rules}
    return policy_from_texts(texts, TOOLS)


def problems(rules: str = "", roles: str = "", model: str = MODEL, lists: str = "") -> list[str]:
    """What is printed about these texts; empty when nothing is wrong."""
    try:
        policy(rules, roles, model, lists)
    except PolicyError as error:
        return [str(problem) for problem in error.problems]
    return []


def team_rules(*lines: str) -> str:
    """Rules R1, R2, … about `role:team` from lines `tool | condition | effect | note`, and one about `role:bot`."""
    found = []
    for number, line in enumerate(lines, start=1):
        tool, condition, effect, note = (*(part.strip() for part in line.split(" | ")), "")[:4]
        found.append(f'p, R{number}, role:team, {tool}, "{condition}", {effect}, "{note}"')
    return "\n".join([*found, BOT_REFUNDS])


def ask_ana(rules: str, tool: str = "crm_issue_refund", **changed: object) -> Decision:
    """Decide a refund (or another tool's call) of ana in acme."""
    args = {**REFUND, **changed} if tool == "crm_issue_refund" else changed
    return policy(rules).decide(ANA, tool, args, NOW)
