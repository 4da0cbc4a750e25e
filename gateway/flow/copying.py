"""Which words of a text that is to be written were copied, and from whom."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from gateway.flow.copied import RUN, SHORT, Words, run_hashes, short_lines, whole_hash
from gateway.flow.evidence import POSITIVE, Standing
from gateway.flow.labels import CLEAN, Label
from gateway.flow.seen import Seen
from gateway.policy.language.flow import Integrity, Origin

_TELLING = 2
_TELLING_ANYWAY = 12


@dataclass(frozen=True, slots=True)
class Copy:
    """What of a text was copied.

    Args:
        origin: The worst of its words.
        share: How many of its words were copied, 0 to 1.
        standings: What is known of the runs that were copied.
        dropped: The label of what the run saw and did not keep, if some words may come from there.
    """

    origin: Origin
    share: float
    standings: tuple[Standing, ...]
    dropped: Label = CLEAN


@dataclass(frozen=True, slots=True)
class _Hit:
    start: int
    end: int
    standing: Standing


def trace_words(seen: Seen, text: str, words: Sequence[int]) -> Copy:
    """Find the copied runs of a text.

    Args:
        seen: What the run has seen.
        text: The text, for its lines.
        words: Its words.
    """
    hits = list(_hits(seen, words))
    lines = [hit for line in short_lines(text) for hit in _whole_line(seen, seen.words.read(line).words)]
    if not hits and not lines:
        return _of_nowhere(seen, words)
    best = _best(hits, len(words))
    known = [each is not None for each in best]
    telling = _telling(seen.words, words, known)
    told = [hit for hit in hits if hit.start in telling or hit.standing.origin is Origin.REQUEST]
    unsure = not all(known) and seen.runs.has_dropped
    return Copy(
        _origin(seen, best, words, lines, unsure=unsure),
        sum(known) / len(words) if words else 0.0,
        tuple(dict.fromkeys(hit.standing for hit in (*told, *lines))),
        seen.runs.dropped if unsure else CLEAN,
    )


def _of_nowhere(seen: Seen, words: Sequence[int]) -> Copy:
    """What of a text was copied if nothing of it is known."""
    if not words:
        return Copy(Origin.REQUEST, 0.0, ())
    if not seen.runs.has_dropped:
        return Copy(Origin.NOWHERE, 0.0, ())
    theirs = seen.runs.dropped.integrity is Integrity.ANYONE
    return Copy(Origin.OUTSIDER if theirs else Origin.NOWHERE, 0.0, (), seen.runs.dropped)


def worst(origins: Iterable[Origin]) -> Origin:
    """The worst of some origins; the best there is if there are none."""
    return max(origins, key=lambda origin: origin.rank, default=Origin.REQUEST)


def _hits(seen: Seen, words: Sequence[int]) -> Iterator[_Hit]:
    if len(words) < RUN:
        yield from _whole_line(seen, words, least=1)
    for start, standing in seen.runs.hits(run_hashes(words, RUN)):
        yield _Hit(start, start + RUN, standing)
    if len(seen.requested):
        for start, standing in seen.requested.hits(run_hashes(words, SHORT)):
            yield _Hit(start, start + SHORT, standing)


def _whole_line(seen: Seen, words: Sequence[int], least: int = 2) -> Iterator[_Hit]:
    """A short line that was seen as a line of its own; by an outsider only if it tells something."""
    if not least <= len(words) < RUN:
        return
    (standing,) = seen.runs.get([whole_hash(words)])
    if standing is None:
        return
    if standing.origin in POSITIVE or _is_telling(seen.words, words, short=True):
        yield _Hit(0, len(words), standing)


def _best(hits: Iterable[_Hit], count: int) -> list[Origin | None]:
    """For each word the best origin of the runs that it stands in."""
    best: list[Origin | None] = [None] * count
    for hit in hits:
        origin = hit.standing.origin
        for at in range(hit.start, hit.end):
            known = best[at]
            if known is None or origin.rank < known.rank:
                best[at] = origin
    return best


def _origin(
    seen: Seen, best: Sequence[Origin | None], words: Sequence[int], lines: Iterable[_Hit], *, unsure: bool
) -> Origin:
    theirs = [origin is Origin.OUTSIDER for origin in best]
    if _telling(seen.words, words, theirs) or any(hit.standing.origin is Origin.OUTSIDER for hit in lines):
        return Origin.OUTSIDER
    if unsure and seen.runs.dropped.integrity is Integrity.ANYONE:
        return Origin.OUTSIDER
    return worst(Origin.NOWHERE if origin in (None, Origin.OUTSIDER) else origin for origin in set(best))


def _telling(known: Words, words: Sequence[int], marks: Sequence[bool]) -> set[int]:
    """The positions of the marked stretches that tell something."""
    telling: set[int] = set()
    start = 0
    for is_marked, marked in groupby(marks):
        end = start + sum(1 for _ in marked)
        if is_marked and _is_telling(known, words[start:end], short=len(words) < RUN):
            telling.update(range(start, end))
        start = end
    return telling


def _is_telling(known: Words, stretch: Sequence[int], *, short: bool) -> bool:
    """Whether words are more than courtesies, so that whoever has the same has copied them."""
    if short:
        return len(stretch) > 1 and any(word not in known.common for word in stretch)
    if len(stretch) >= _TELLING_ANYWAY:
        return True
    return len(stretch) - sum(map(known.common.__contains__, stretch)) >= _TELLING
