"""Conditions of a search in Jira (JQL)."""

import re

from connectors.ticketing.jira.declared import DeclaredJira
from connectors.ticketing.tools import SearchTickets

# Every other character means something to a search for text, in or out of quotes.
_WORD = re.compile(r"[^\W_]+")


def within(declared: DeclaredJira) -> str:
    """The condition that an issue is in the project."""
    return f"project = {_quoted(declared.project)}"


def wanted(declared: DeclaredJira, args: SearchTickets, reporter: str, assignee: str) -> str:
    """The query for tickets that somebody looks for, latest change first.

    Args:
        declared: The project, and how it calls things.
        args: What is looked for.
        reporter: The account of the requester, if one is given.
        assignee: The account of the assignee, if one is given.
    """
    words = dict.fromkeys(_WORD.findall(args.query))
    conditions = [within(declared), *(f'text ~ "\\"{word}\\""' for word in words)]
    if args.status:
        conditions.append(f"status IN ({', '.join(map(_quoted, declared.statuses.of(args.status)))})")
    if args.priority:
        conditions.append(f"priority IN ({', '.join(map(_quoted, declared.priorities.of(args.priority)))})")
    if reporter:
        conditions.append(f"reporter = {_quoted(reporter)}")
    if assignee:
        conditions.append(f"assignee = {_quoted(assignee)}")
    if args.tag:
        conditions.append(f"labels = {_quoted(args.tag)}")
    return f"{' AND '.join(conditions)} ORDER BY updated DESC"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
