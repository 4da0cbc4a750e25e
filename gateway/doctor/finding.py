"""What an examination finds, and how a check says it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.settings import Settings


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and something about it will not be liked later."""
    WRONG = "wrong"
    """Calls fail, or something that should be safe is not."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        level: How bad it is.
        about: What was looked at, in a word or two.
        told: What is so, in one line.
        next: What to do about it; empty if nothing has to be done.
    """

    level: Level
    about: str
    told: str
    next: str = ""


Check = Callable[[Settings], Awaitable[Sequence[Finding]]]
"""Looks at one thing and changes nothing."""


def ok(about: str, told: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, about, told)


def warning(about: str, told: str, then: str) -> Finding:
    """Something will not be liked later."""
    return Finding(Level.WARNING, about, told, then)


def wrong(about: str, told: str, then: str) -> Finding:
    """Something does not work, or is not safe."""
    return Finding(Level.WRONG, about, told, then)
