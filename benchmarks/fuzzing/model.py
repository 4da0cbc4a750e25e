"""The policy of the fuzzed gateway, twice: as its files, and as a few lines of Python that share no code with it.

The model is what a bypass is measured against: nothing may happen in a back end that it does not allow.
"""

from collections.abc import Mapping
from decimal import Decimal
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Any

from gateway.principal import Principal

RULES = """\
p, X01, role:reader, crm_search_*, "", allow, ""
p, X02, role:reader, crm_get_*, "", allow, ""
p, X03, role:reader, ticket_search_*, "", allow, ""
p, X04, role:reader, ticket_get_ticket, "", allow, ""
p, X05, role:reader, knowledge_*, "", allow, ""
p, X11, role:clerk, ticket_add_note, "len(args.body) <= 500", allow, ""
p, X12, role:clerk, ticket_update_ticket, "", allow, ""
p, X13, role:clerk, ticket_update_ticket, "args.status in ['solved', 'closed']", ask, ""
p, X14, role:clerk, crm_log_activity, "args.kind != 'email'", allow, ""
p, X21, role:till, crm_issue_refund, "args.amount <= 50", allow, ""
p, X22, role:till, crm_issue_refund, "50 < args.amount <= 500", ask, ""
p, X31, role:mail, email_search_messages, "starts_with(args.mailbox, 'support@')", allow, ""
p, X32, role:mail, email_get_thread, "starts_with(args.mailbox, 'support@')", allow, ""
p, X33, role:mail, email_create_draft, "starts_with(args.mailbox, 'support@')", allow, ""
p, X34, role:mail, email_send_message, "all_in(domain(args.to), lists.us) and all_in(domain(args.cc), lists.us)", allow, ""
p, X35, role:mail, email_reply_message, "", ask, ""
p, X41, role:everyone, email_*, "not starts_with(args.mailbox, 'support@')", deny, ""
"""  # noqa: E501 - a rule is a line
LISTS = "list, us, larkspur.example\nlist, us, borealis.example\n"
ROLES: dict[tuple[str, str], tuple[str, ...]] = {
    ("person:ana@larkspur.example", "larkspur"): ("reader", "clerk", "till", "mail"),
    ("person:ines@larkspur.example", "larkspur"): ("reader",),
    ("agent:bot", "larkspur"): ("reader", "clerk"),
    ("person:eva@borealis.example", "borealis"): ("reader", "clerk", "mail"),
    ("person:max@borealis.example", "borealis"): ("till",),
}
CALLERS = (
    Principal("larkspur", "ana@larkspur.example"),
    Principal("larkspur", "ines@larkspur.example"),
    Principal("larkspur", "ana@larkspur.example", "bot"),
    Principal("larkspur", None, "bot"),
    Principal("larkspur", "stranger@larkspur.example"),
    Principal("borealis", "eva@borealis.example"),
    Principal("borealis", "max@borealis.example"),
    # Known in one tenant, nobody in the other.
    Principal("borealis", "ana@larkspur.example"),
)
READING = ("crm_search_*", "crm_get_*", "ticket_search_*", "ticket_get_ticket", "knowledge_*")


class Verdict(IntEnum):
    """What may become of a call, strictest first."""

    DENY = 0
    ASK = 1
    ALLOW = 2


def files(model_conf: str) -> dict[str, str]:
    """The policy folder."""
    roles = "".join(f"g, {who}, role:{role}, {tenant}\n" for (who, tenant), given in ROLES.items() for role in given)
    return {"rules.csv": RULES, "roles.csv": roles, "lists.csv": LISTS, "model.conf": model_conf}


def verdict(caller: Principal, tool: str, args: Mapping[str, Any]) -> Verdict:
    """What the policy says of a call: the stricter of what each party may.

    Args:
        caller: Who calls.
        tool: The tool's name.
        args: Its arguments; they may be of any shape.
    """
    return min(_for_party(ROLES.get((party, caller.tenant), ()), tool, args) for party in caller.parties)


def _for_party(roles: tuple[str, ...], tool: str, args: Mapping[str, Any]) -> Verdict:
    # Capital letters make no other mailbox: a call may write it as it likes.
    if tool.startswith("email_") and not str(args.get("mailbox")).lower().startswith("support@"):
        return Verdict.DENY
    said = [found for role in roles if (found := _of_role(role, tool, args)) is not None]
    return Verdict.DENY if not said else Verdict.ASK if Verdict.ASK in said else Verdict.ALLOW


def _of_role(role: str, tool: str, args: Mapping[str, Any]) -> Verdict | None:
    match role, tool:
        case "reader", _ if any(fnmatchcase(tool, pattern) for pattern in READING):
            return Verdict.ALLOW
        case "clerk", "ticket_add_note" if len(args["body"]) <= 500:
            return Verdict.ALLOW
        case "clerk", "ticket_update_ticket":
            return Verdict.ASK if args.get("status") in {"solved", "closed"} else Verdict.ALLOW
        case "clerk", "crm_log_activity" if args.get("kind") != "email":
            return Verdict.ALLOW
        case "till", "crm_issue_refund":
            amount = Decimal(str(args["amount"]))  # JSON has no exact number: an amount may come as text
            return Verdict.ALLOW if amount <= 50 else Verdict.ASK if amount <= 500 else None
        case "mail", "email_search_messages" | "email_get_thread" | "email_create_draft":
            return Verdict.ALLOW
        case "mail", "email_send_message" if all(_is_ours(each) for each in [*args["to"], *(args.get("cc") or ())]):
            return Verdict.ALLOW
        case "mail", "email_reply_message":
            return Verdict.ASK
    return None


def _is_ours(address: str) -> bool:
    return address.rpartition("@")[2].lower() in {"larkspur.example", "borealis.example"}
