"""What a grant says: in whose words, which calls, until when. It can only narrow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from connectors.contract import MAX_TOOL_NAME
from gateway.policy.decision import GRANT, Decision, Verdict
from gateway.principal import Principal

MAX_REQUEST = 8_000
ID = re.compile(r"gra_[0-9a-f]{24}")
_SURROGATES = range(0xD800, 0xE000)


def _unicode(text: str) -> str:
    if any(ord(character) in _SURROGATES for character in text):
        raise ValueError("not valid Unicode: half of a surrogate pair")
    return text


Words = Annotated[str, Field(max_length=MAX_REQUEST), AfterValidator(_unicode)]
Line = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_unicode)]
Pattern = Annotated[str, Field(pattern=r"^([A-Za-z0-9_]+\*?|\*)$", max_length=MAX_TOOL_NAME + 1)]
"""A tool's name, or a beginning followed by `*`."""
Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Value: TypeAlias = Annotated[str, Field(max_length=1_000), AfterValidator(_unicode)] | Whole | float | bool
Allowed = Annotated[tuple[Value, ...], Field(max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ByRecord(_Part):
    """A record whose text may say what is to be done, such as a ticket."""

    record: Line


class BySearch(_Part):
    """Words that find the record whose text may say what is to be done."""

    search: Line


class Terms(_Part):
    """What a grant is about.

    Args:
        request: The person's own words.
        tools: The tools that may be called; None leaves all that policy allows.
        limits: How often at most the tools that a pattern covers may be called, together.
        targets: For a tool's argument the only values that it may have; of a list argument, each of its items.
        values: Further values that count as the person's own, as if they stood in the request.
        delegates: Whose text the person wants followed: for whoever approves, and never believed by itself.
    """

    request: Words = ""
    tools: Annotated[tuple[Pattern, ...], Field(max_length=200)] | None = None
    limits: Annotated[dict[Pattern, Annotated[int, Field(ge=0, le=1_000_000)]], Field(max_length=200)] = {}
    targets: Annotated[dict[Line, Annotated[dict[Line, Allowed], Field(max_length=50)]], Field(max_length=100)] = {}
    values: Allowed = ()
    delegates: Annotated[tuple[ByRecord | BySearch, ...], Field(max_length=20)] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant that is in force.

    Args:
        id: Its name in the journal, `gra_` and 24 hexadecimal digits.
        run: The run that everything read under it belongs to; random, and no other grant's.
        principal: Whom it is good for, and nobody else.
        terms: What it is about.
        issued_at: Since when, in whole seconds.
        expires_at: Until when.
    """

    id: str
    run: str
    principal: Principal
    terms: Terms
    issued_at: datetime
    expires_at: datetime

    @property
    def request(self) -> str:
        """The person's own words."""
        return self.terms.request

    @property
    def values(self) -> tuple[Value, ...]:
        """Further values that count as the person's own."""
        return self.terms.values

    def told(self) -> dict[str, object]:
        """What whoever approves is told of it, as JSON data."""
        terms = self.terms.model_dump(mode="json", include={"request", "delegates"}, exclude_defaults=True)
        return {"id": self.id, **terms}


class BadGrant(Exception):
    """What a caller presents is no grant that is good for it now; its call must not go on without it.

    Args:
        reason: Says why, and what to do.
        grant_id: The grant's id where the gateway is known to have signed it; else empty.
    """

    def __init__(self, reason: str, grant_id: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.grant_id = grant_id


NOTHING_MADE: Mapping[str, int] = {}


def narrow(decision: Decision, outside: str) -> Decision:
    """A decision of policy under a grant: denied if the call lies outside it, else as it was.

    Args:
        decision: What policy says without the grant.
        outside: Why the call lies outside the grant; empty if it does not.
    """
    if not outside or decision.verdict is Verdict.DENY:
        return decision
    return Decision(Verdict.DENY, (GRANT,), f"the grant does not cover this call: {outside}", decision.policy_version)
