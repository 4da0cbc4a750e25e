"""Finding every entry that mentions somebody or something, with all that belongs to the same calls."""

import json
import re
import unicodedata
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr

from sqlalchemy import func, select

from gateway.database import Database
from gateway.erasing.erasure import Ranges, ranges
from gateway.erasing.open_calls import entries_of_calls, open_calls
from gateway.journal import Entry
from gateway.journal.personal import split
from gateway.journal.reading import ENTRIES, entries_of, readable
from gateway.journal.schema import journal

SHORTEST = 3
_RECORD_ID = re.compile(r"[a-z]+_\w+")
_STEP = 1_000


@dataclass(frozen=True)
class Mentions:
    """What would be erased.

    Args:
        mentioning: How many entries of calls that can be erased mention one of the texts.
        positions: All that would be erased, those of the same calls included.
        calls: How many calls they belong to.
        since: The time of the first of them.
        until: The time of the last.
        open: The calls among them that are not over, each with what is missing.
    """

    mentioning: int
    positions: Ranges
    calls: int
    since: datetime | None
    until: datetime | None
    open: Mapping[str, str]

    @property
    def entries(self) -> int:
        """How many entries would be erased."""
        return sum(last - first + 1 for first, last in self.positions)


def find_mentions(
    database: Database,
    tenant: str,
    texts: Iterable[str],
    now: datetime,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Mentions:
    """Look through everything of a tenant that is not erased yet.

    Args:
        database: Where the journal is.
        tenant: Whose entries.
        texts: Names, addresses, words, ids of records; in any case, of `SHORTEST` characters at least.
        now: The time.
        progress: Told now and then how many positions of how many are done.

    Raises:
        JournalUnavailable: If there is no journal to read.
        ValueError: If a text is too short to mean anybody.
    """
    is_mentioned = _matcher(texts)
    found: Counter[str] = Counter()
    links: dict[str, set[str]] = defaultdict(set)
    with readable(database), database.at_one_moment(tenant) as connection:
        last = connection.execute(select(func.max(journal.c.position))).scalar() or 0
        everything = ENTRIES.where(journal.c.tenant == tenant).order_by(journal.c.position)
        for entry in entries_of(connection, everything):
            _link(entry, links)
            # What an entry showed stays readable; that somebody was shown there makes the rest of it theirs.
            if not entry.erased and is_mentioned(_said(entry)):
                found[entry.call_id] += 1
            if entry.position % _STEP == 0:
                progress(entry.position, last)
        progress(last, last)
        calls = _with_linked(set(found), links)
        entries = sorted(entries_of_calls(connection, tenant, calls), key=lambda entry: entry.position)
        keyed = _keyed(entries)
        still_open = open_calls(connection, tenant, calls, now)
    erasable = {entry.call_id for entry in keyed}
    return Mentions(
        sum(count for call_id, count in found.items() if call_id in erasable),
        ranges(entry.position for entry in keyed),
        len(erasable),
        keyed[0].at if keyed else None,
        keyed[-1].at if keyed else None,
        still_open,
    )


def normalised(text: str) -> str:
    """A text as texts are compared: whatever its case and however its characters are composed."""
    return unicodedata.normalize("NFKC", text).casefold()


def _matcher(texts: Iterable[str]) -> Callable[[str], bool]:
    wanted = [spelling for text in texts for spelling in _spellings(text)]
    search = re.compile("|".join(map(_pattern, wanted))).search
    return lambda text: search(text) is not None


def _spellings(text: str) -> set[str]:
    """A text as it may be written; of an address the address alone, its domain in letters and in ASCII (RFC 5891)."""
    address = parseaddr(text)[1]
    plain = normalised((address if "@" in address else text).strip().removeprefix("mailto:"))
    if len(plain) < SHORTEST:
        raise ValueError(f"`{text}` is too short to look for: give {SHORTEST} characters or more")
    local, at, domain = plain.rpartition("@")
    spellings = {plain}
    if at:
        with suppress(UnicodeError):
            spellings.add(f"{local}@{domain.encode('idna').decode()}")
        with suppress(UnicodeError):
            spellings.add(f"{local}@{domain.encode('ascii').decode('idna')}")
    return spellings


def _pattern(text: str) -> str:
    # As it stands within JSON. An id is not the beginning of a longer one; a name may be, as in `Kims`.
    escaped = re.escape(json.dumps(text, ensure_ascii=False)[1:-1])
    return rf"(?<!\w){escaped}(?!\w)" if _RECORD_ID.fullmatch(text) else escaped


def _said(entry: Entry) -> str:
    personal = split(entry.kind, entry.body)[1]
    return normalised(json.dumps([personal, entry.body.get("saw")], ensure_ascii=False))


def _link(entry: Entry, links: dict[str, set[str]]) -> None:
    """Note which question a call raised, which call it repeats, which standing approval came with a question."""
    for other in filter(None, (entry.body.get("approval"), entry.body.get("repeats"))):
        links[entry.call_id].add(other)
        links[other].add(entry.call_id)


def _with_linked(calls: set[str], links: Mapping[str, set[str]]) -> set[str]:
    found, queue = set(calls), deque(calls)
    while queue:
        fresh = links.get(queue.popleft(), set()) - found
        found |= fresh
        queue.extend(fresh)
    return found


def _keyed(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that have personal parts which can still be read."""
    return [entry for entry in entries if not entry.erased and split(entry.kind, entry.body)[1]]
