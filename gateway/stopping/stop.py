"""A stop: what is stopped, by whom and why, and whether a call is concerned."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from gateway.policy.language.patterns import covers
from gateway.principal import Principal, is_same_name

ANY_TENANT = "*"
LONGEST_WHY = 500
_LONGEST_NAME = 1_000
_TIME = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_LONGEST = timedelta(days=3_650)


class What(StrEnum):
    """What can be stopped."""

    RUN = "run"
    AGENT = "agent"
    PERSON = "person"
    TOOL = "tool"
    TOKEN = "token"  # noqa: S105 - a kind of thing
    TENANT = "tenant"
    EVERYTHING = "everything"


class BadStop(ValueError):
    """There can be no such stop; the message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is stopped.

    Args:
        what: Of which kind it is.
        name: Its name: a run's id, an agent's or a person's name, a tool's or the beginning of tools' names and `*`, a
            token's as the journal has it; empty for a tenant and for everything.
        tenant: In which tenant; `*` is every tenant.

    Raises:
        BadStop: If the name is none, or says in which of the kinds it is and that is another.
    """

    what: What
    name: str
    tenant: str

    def __post_init__(self) -> None:
        if self.what in {What.TENANT, What.EVERYTHING}:
            if self.name or (self.what is What.EVERYTHING) is not (self.tenant == ANY_TENANT):
                raise BadStop(f"`{self.what}` has no other name, and `everything` alone is every tenant's")
        elif not self.name.strip() or len(self.name) > _LONGEST_NAME or not self.name.isprintable():
            raise BadStop(f"`{ascii(self.name)[1:-1][:60]}` names no {self.what}")

    @property
    def label(self) -> str:
        """How people name it, without its tenant: `agent triage`, `tenant larkspur`, `everything`."""
        if self.what is What.EVERYTHING:
            return "everything"
        return f"{self.what} {self.tenant if self.what is What.TENANT else self.name}"

    def covers(self, who: Principal, tool: str, runs: Collection[str], tokens: Collection[str] = ()) -> bool:
        """Whether a call is concerned.

        Args:
            who: Who calls.
            tool: The tool's name.
            runs: The ids of all runs that the call belongs to.
            tokens: The names of the token that it came with and of those that this one was exchanged for.
        """
        if self.tenant not in (ANY_TENANT, who.tenant):
            return False
        match self.what:
            case What.RUN:
                return self.name in runs
            case What.AGENT:
                # One name in two spellings is stopped in both: mistaking two for one is the safe mistake.
                return who.agent is not None and is_same_name(self.name, who.agent)
            case What.PERSON:
                return who.person is not None and is_same_name(self.name, who.person)
            case What.TOOL:
                return covers(self.name, tool)
            case What.TOKEN:
                return self.name in tokens
            case What.TENANT | What.EVERYTHING:
                return True


@dataclass(frozen=True, slots=True)
class Stop:
    """A target that somebody stopped.

    Args:
        id: Names the stop, with the prefix `stop_`.
        target: What is stopped.
        why: In one line.
        by: The person who did it, without prefix.
        since: From when.
        until: When it ends by itself; None means not before somebody resumes it.
    """

    id: str
    target: Target
    why: str
    by: str
    since: datetime
    until: datetime | None = None

    def in_force(self, now: datetime) -> bool:
        """Whether it has not ended by itself."""
        return self.until is None or now < self.until


def named(what: What, name: str, tenant: str) -> Target:
    """A target as people name it: `person:` and `agent:` before the name may be there or not.

    Raises:
        BadStop: If there can be no such target.
    """
    if what is What.EVERYTHING:
        return Target(what, name, ANY_TENANT)
    if what is What.TENANT:
        return Target(what, "", name)
    kind, colon, rest = name.partition(":")
    if what in {What.AGENT, What.PERSON} and colon and kind in {What.AGENT, What.PERSON}:
        if kind != what:
            raise BadStop(f"`{name}` is no {what}: stop the {kind} instead")
        name = rest
    return Target(what, name.strip(), tenant)


def lasting(text: str) -> timedelta:
    """Read how long: `30s`, `15m`, `2h`, `3d`.

    Raises:
        BadStop: If it is none.
    """
    found = _TIME.fullmatch(text.strip())
    time = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
    if time is None or time > _LONGEST:
        raise BadStop(f"`{text[:30]}` must be a number of seconds, minutes, hours or days: `30s`, `15m`, `2h`, `3d`")
    return time


def reason(text: str) -> str:
    """Read why something is stopped or resumed: a line that is not empty.

    Raises:
        BadStop: If it is none.
    """
    why = " ".join(text.split())
    if not why or len(why) > LONGEST_WHY:
        raise BadStop(f"say why, in 1 to {LONGEST_WHY} characters")
    return why
