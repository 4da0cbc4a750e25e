"""Conditions of a search in Jira (JQL)."""

import re

from connectors.ticketing.jira.declared import DeclaredJira
from connectors.ticketing.tools import SearchTickets
from connectors.vendor.quoting import in_quotes

# Every other character means something to a search for text, in or out of quotes.
_WORD = re.compile(r"[^\W_]+")


def within(declared: DeclaredJira) -> str:
    """The condition that an issue is in the project."""
    return f"project = {in_quotes(declared.project)}"


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
        conditions.append(f"status IN ({', '.join(map(in_quotes, declared.statuses.of(args.status)))})")
    if args.priority:
        conditions.append(f"priority IN ({', '.join(map(in_quotes, declared.priorities.of(args.priority)))})")
    if reporter:
        conditions.append(f"reporter = {in_quotes(reporter)}")
    if assignee:
        conditions.append(f"assignee = {in_quotes(assignee)}")
    if args.tag:
        conditions.append(f"labels = {in_quotes(args.tag)}")
    return f"{' AND '.join(conditions)} ORDER BY updated DESC"
