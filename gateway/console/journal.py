"""The journal: searched, filtered, a page at a time."""

from dataclasses import asdict, fields
from datetime import UTC, datetime
from functools import partial
from urllib.parse import urlencode

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.console.seeing import may_view
from gateway.console.visit import Visit
from gateway.journal import Kind
from gateway.journal.searching import Search, search_journal
from gateway.journal.telling import told_entry
from gateway.policy.files.approvers import View

_LONGEST = 200
_STATUSES = ("ok", "failed", "timeout", "cancelled", "in_doubt")


async def show(visit: Visit) -> Response:
    """Show a page of what the person looks for."""
    if not may_view(visit.policy, visit.person, View.JOURNAL):
        raise HTTPException(404)
    given = {each.name: _typed(visit, each.name) for each in fields(Search)}
    problems = [name for name in ("since", "until") if given[name] and not _moment(given[name])]
    times = {name: _moment(given.pop(name)) for name in ("since", "until")}
    search = Search(**{**given, **times})  # type: ignore[arg-type]
    before = visit.request.query_params.get("before", "")
    found = await anyio.to_thread.run_sync(
        partial(search_journal, visit.console.database, visit.person.tenant, search, _position(before))
    )
    return visit.page(
        "journal.html",
        lines=[(entry, told_entry(entry)) for entry in found.entries],
        search=search,
        problems=problems,
        kinds=[kind.value for kind in Kind],
        statuses=_STATUSES,
        tools=sorted(visit.console.gateway.catalog.tools),
        older=_link(search, found.older) if found.older else "",
        newest=_link(search, None) if before else "",
    )


def _typed(visit: Visit, name: str) -> str:
    # No entry has a NUL, and PostgreSQL takes none.
    return visit.request.query_params.get(name, "").replace("\0", "").strip()[:_LONGEST]


def _position(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
        # The journal's times are compared as text, so in one zone.
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _link(search: Search, before: int | None) -> str:
    given = {name: str(value) for name, value in asdict(search).items() if value}
    return "?" + urlencode({**given, "before": before} if before else given)
