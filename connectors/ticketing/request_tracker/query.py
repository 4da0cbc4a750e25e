"""Conditions of a search for tickets, as Request Tracker reads them (TicketSQL).

It has no placeholders, so values are quoted here; and it takes some quoted values for something else, which are
avoided.
"""

import re
from collections.abc import Iterable
from functools import partial

from connectors.errors import InvalidInput
from connectors.ticketing.request_tracker.declared import DeclaredRequestTracker
from connectors.ticketing.tools import SearchTickets
from connectors.vendor.quoting import in_quotes

# LIKE takes `%` and `_` for wildcards, and nothing escapes them on every database.
_BETWEEN_WORDS = re.compile(r"[\s%_]+")
# A quoted value that begins so is taken for the name of a field all the same.
_LIKE_A_FIELD = re.compile(r"^(?:CF\.)+", re.IGNORECASE)
_quoted = partial(in_quotes, mark="'")


def here(declared: DeclaredRequestTracker) -> list[str]:
    """Conditions that a ticket is in the queue, and is one."""
    return [equal("Queue", declared.queue, "queue"), "Type = 'ticket'", "Status != 'deleted'"]


def wanted(declared: DeclaredRequestTracker, args: SearchTickets) -> list[str]:
    """Conditions that a ticket is one of those that somebody looks for.

    Raises:
        InvalidInput: If Request Tracker cannot look for them.
    """
    conditions = _mentioning(args.query)
    if args.status:
        conditions.append(any_of("Status", declared.statuses.of(args.status)))
    if args.priority:
        least, above = declared.priorities.between(args.priority)
        conditions += [f"Priority >= {least}"] if least is not None else []
        conditions += [f"Priority < {above}"] if above is not None else []
    if args.assignee:
        conditions.append(equal("Owner.EmailAddress", args.assignee, "assignee"))
    if args.requester_email:
        conditions.append(equal("Requestor.EmailAddress", args.requester_email, "requester_email"))
    if args.tag and not declared.fields.tags:
        raise InvalidInput("this help desk keeps no tags; search without one", field="tag")
    if args.tag:
        conditions.append(equal(f"CF.{{{declared.fields.tags}}}", args.tag, "tag"))
    return conditions


def equal(what: str, value: str, field: str) -> str:
    """The condition that something has a value.

    Raises:
        InvalidInput: If it is one that Request Tracker does not take for a value; names the input field.
    """
    if _LIKE_A_FIELD.match(value):
        raise InvalidInput("request tracker cannot look for what begins with `cf.`; leave that out", field=field)
    return f"{what} = {_quoted(value)}"


def any_of(what: str, values: Iterable[str | int]) -> str:
    """The condition that something has one of some values, which are no outsider's."""
    return "(" + " OR ".join(f"{what} = {_quoted(str(value))}" for value in values) + ")"


def _mentioning(query: str) -> list[str]:
    """Conditions that each word is in the subject or in a message; what is left of a word may find more than it."""
    words = dict.fromkeys(_LIKE_A_FIELD.sub("", word) for word in _BETWEEN_WORDS.split(query))
    return [f"(Subject LIKE {_quoted(word)} OR Content LIKE {_quoted(word)})" for word in words if word]
