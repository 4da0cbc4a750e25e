"""Is this data fit to work on? What was read, counted as it passed: digests are kept, texts are not.

Stale is a contact or a document that did not change for two years, and an open ticket that did not for ninety days.
"""

import hashlib
from collections import Counter
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from connectors.importing.source import Accepted, Likeness, Place

SAME_SOURCE_ID = "same id as an earlier one, left out"
_A_MINUTE = 60.0
_EXAMPLES = 3
_TOO_MANY_REJECTED = 0.10
_WORTH_NAMING = 0.5


class Finding(BaseModel):
    """Something that was counted: how many of how many records, and where the first ones stand."""

    model_config = ConfigDict(frozen=True)

    what: str
    count: int
    share: float
    examples: list[str] = []


class Readiness(BaseModel):
    """What to know before working on imported data.

    `records` counts what was read and valid, doubles included; every share is of that.
    """

    model_config = ConfigDict(frozen=True)

    verdict: str
    records: int
    rejected: int
    duplicates: list[Finding]
    missing: list[Finding]
    stale: Finding
    signs: list[Finding]


class Tally:
    """Counts records as they pass.

    Args:
        now: The moment against which staleness is measured, with zone.
    """

    def __init__(self, now: datetime) -> None:
        self.read = 0
        self.records = 0
        self.doubles = 0
        self.rejected = 0
        self._now = now
        self._ids: set[bytes] = set()
        self._seen: dict[bytes, float | bytes] = {}
        self._counts: dict[str, Counter[str]] = {"duplicates": Counter(), "missing": Counter(), "signs": Counter()}
        self._stale = 0
        self._examples: dict[str, list[str]] = {}

    def observe(self, item: Accepted) -> bool:
        """Count one record. Returns whether it is new: False if an earlier one had the same source id."""
        facts, where = item.facts, item.place
        self.read += 1
        self.records += 1
        name = _digest(item.record.source_id)
        is_new = name not in self._ids
        self._ids.add(name)
        if not is_new:
            self.doubles += 1
            self._count("duplicates", SAME_SOURCE_ID, where)
        for likeness in facts.likenesses:
            # A double by its id is one finding, not two, unless it contradicts the first.
            if self._is_alike(likeness) and (is_new or likeness.unless):
                self._count("duplicates", likeness.finding, where)
        for field in facts.missing:
            self._count("missing", field)
        for sign in facts.signs:
            self._count("signs", sign, where)
        if facts.stale_after and facts.changed_at and self._now - facts.changed_at > facts.stale_after:
            self._stale += 1
            self._example("stale", where)
        return is_new

    def refuse(self, *, was_observed: bool = False) -> None:
        """Count one reject; `was_observed` if it was valid, but the back end refused it."""
        self.read += not was_observed
        self.rejected += 1

    def report(self) -> Readiness:
        """What was counted so far, most frequent first."""
        stale = Finding(
            what="stale", count=self._stale, share=self._share(self._stale), examples=self._examples.get("stale", [])
        )
        missing = self._findings("missing")
        duplicates = self._findings("duplicates")
        return Readiness(
            verdict=self._verdict(duplicates, missing, stale),
            records=self.records,
            rejected=self.rejected,
            duplicates=duplicates,
            missing=missing,
            stale=stale,
            signs=self._findings("signs"),
        )

    def _is_alike(self, likeness: Likeness) -> bool:
        key = _digest(f"{likeness.finding}\n{likeness.key}")
        earlier = self._seen.get(key)
        if likeness.at is not None:
            at = self._seen[key] = likeness.at.timestamp()
            return isinstance(earlier, float) and abs(at - earlier) <= _A_MINUTE
        mark = _digest(likeness.unless)
        self._seen.setdefault(key, mark)
        return earlier is not None and (not likeness.unless or earlier != mark)

    def _count(self, group: str, what: str, where: Place | None = None) -> None:
        self._counts[group][what] += 1
        if where is not None:
            self._example(what, where)

    def _example(self, what: str, where: Place) -> None:
        examples = self._examples.setdefault(what, [])
        if len(examples) < _EXAMPLES:
            examples.append(str(where))

    def _findings(self, group: str) -> list[Finding]:
        ranked = sorted(self._counts[group].items(), key=lambda pair: (-pair[1], pair[0]))
        return [
            Finding(what=what, count=count, share=self._share(count), examples=self._examples.get(what, []))
            for what, count in ranked
        ]

    def _share(self, count: int) -> float:
        return round(count / self.records, 4) if self.records else 0.0

    def _verdict(self, duplicates: list[Finding], missing: list[Finding], stale: Finding) -> str:
        if not self.records:
            return "not ready: no record could be read"
        if self.rejected / self.read > _TOO_MANY_REJECTED:
            return f"not ready: {self.rejected:,} of {self.read:,} rejected; mend the source and import it again"
        gaps = [
            *([f"{self.rejected:,} rejected"] if self.rejected else []),
            *(f"{each.count:,} × {each.what}" for each in duplicates),
            *([f"{stale.share:.0%} stale"] if stale.share > _WORTH_NAMING else []),
            *(f"{each.what} missing in {each.share:.0%}" for each in missing if each.share > _WORTH_NAMING),
        ]
        return f"usable, with gaps: {'; '.join(gaps)}" if gaps else "ready"


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()
