"""How many calls were made under a grant: read from the journal, so every process sees the same."""

from collections import Counter
from datetime import datetime

from gateway.database import Database
from gateway.grants.grant import Grant
from gateway.journal.entry import Kind
from gateway.journal.reading import done_since


def calls_made(database: Database, grant: Grant, since: datetime, own: frozenset[str]) -> Counter[str]:
    """Count a grant's begun calls by tool. What failed for sure did not happen; what is in doubt counts.

    Args:
        database: Where the journal is.
        grant: The grant.
        since: Earlier entries are left out.
        own: The names of calls that do not count.

    Raises:
        JournalUnavailable: If there is no journal to read.
    """
    who = grant.principal
    done = done_since(database, who.tenant, who.name, since)
    ends = [entry for entry in done if entry.kind is not Kind.INTENT]
    failed, happened = (
        {entry.call_id for entry in ends if entry.body.get("status") == how} for how in ("failed", "ok")
    )
    left_out = (failed - happened) | own
    return Counter(
        entry.body["tool"]
        for entry in done
        if entry.kind is Kind.INTENT and entry.body.get("grant") == grant.id and entry.call_id not in left_out
    )
