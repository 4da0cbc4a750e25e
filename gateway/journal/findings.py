"""What can be wrong with a journal, and telling from the place where it shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from gateway.journal.chain import Stored, entry_hash
from gateway.journal.lines import Unreadable

_FARTHEST_SHIFT = 64


class Problem(StrEnum):
    """What is wrong with a journal."""

    UNREADABLE = "unreadable"
    ALTERED = "altered"
    MISSING = "missing"
    INSERTED = "inserted"
    REORDERED = "reordered"
    TRUNCATED = "truncated"
    REWRITTEN = "rewritten"
    FORKED = "forked"
    UNSIGNED = "unsigned"


@dataclass(frozen=True)
class Finding:
    """The first thing that is wrong.

    Args:
        position: The first position that cannot be relied upon.
        problem: What is wrong there.
        detail: The same in words.
    """

    position: int
    problem: Problem
    detail: str


def rewritten(agreed: int, size: int) -> Finding:
    """Say that a signed checkpoint is of other entries than these.

    Args:
        agreed: How many entries are those that were signed.
        size: How many entries the checkpoint is of.
    """
    what = f"a signed checkpoint of {size} entries is of other entries; up to {agreed} they are those that were signed"
    return Finding(agreed + 1, Problem.REWRITTEN, what)


def readable(items: Iterator[Stored | str]) -> Iterator[Stored | str]:
    """Yield items up to the first that cannot be read."""
    try:
        yield from items
    except Unreadable:
        return


def diagnose(expected: int, head: bytes, bad: Stored, rest: Iterator[Stored | str]) -> Finding:
    """Say why an entry does not follow the one before.

    Args:
        expected: The position that it should have.
        head: The hash of the entry before.
        bad: The entry.
        rest: What comes after it; may be read.
    """
    rest = readable(rest)
    if bad.position > expected:
        if any(isinstance(item, Stored) and item.position == expected for item in rest):
            what = f"entry {bad.position} stands before entry {expected}"
            return Finding(expected, Problem.REORDERED, what)
        return Finding(expected, Problem.MISSING, f"entries {expected} to {bad.position - 1} are missing")
    if bad.position < expected:
        what = f"after entry {expected - 1} stands one that says it is entry {bad.position}"
        return Finding(expected, Problem.INSERTED, what)
    if bad.previous == head:
        return Finding(expected, Problem.ALTERED, f"entry {expected} is not what its hash was taken over")
    if bad.own_hash == bad.hash:
        what = f"entry {expected} was not written after this entry {expected - 1}: that one was altered or exchanged"
        return Finding(max(expected - 1, 1), Problem.ALTERED, what)
    return _renumbered(expected, head, bad, rest)


def _renumbered(expected: int, head: bytes, bad: Stored, rest: Iterator[Stored | str]) -> Finding:
    following = next((item for item in rest if isinstance(item, Stored)), None)
    if following and following.previous == head and _was_at(following, expected):
        return Finding(expected, Problem.REORDERED, f"entries from {expected} on changed places and numbers")
    for shift in range(1, _FARTHEST_SHIFT):
        if _was_at(bad, expected + shift):
            what = f"{shift} entries were removed before this one and it was renumbered"
            return Finding(expected, Problem.MISSING, what)
        if _was_at(bad, expected - shift):
            what = f"{shift} entries were inserted from here on and later ones renumbered"
            return Finding(expected - shift, Problem.INSERTED, what)
    return Finding(expected, Problem.ALTERED, f"entry {expected} is not what its hash was taken over")


def _was_at(stored: Stored, position: int) -> bool:
    return position > 0 and entry_hash(position, stored.previous, stored.row) == stored.hash
