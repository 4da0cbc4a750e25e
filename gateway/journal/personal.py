"""Which parts of an entry may be personal data: kept apart under a key of their own, so that they can be erased.

Who decided and did what by which rules stays readable for ever; what callers and customers said, or what was said of
them, does not have to. A part that no list names counts as personal.
"""

import re
from collections.abc import Mapping
from typing import Any

CLEAR = frozenset(
    {"person", "agent", "client", "approver", "authority", "to", "edited_by", "settled_by", "by"}
    | {"verdict", "rules", "policy_version", "quorum", "effect", "status", "approved", "happened", "recovered", "late"}
    | {"approval", "standing", "call", "repeats", "use", "times", "until", "expires_at", "schema_hash", "via", "cost"}
    | {"saw", "untrusted", "positions", "flow", "written", "places", "obligations", "redacted", "altered"}
    | {"grant", "tools", "limits", "stops", "subject", "together", "token", "issuer", "claimed"}
    | {"trace"}
    | {"inquiry", "round", "held", "kinds", "given"}
    | {"back_end", "credential", "scopes"}
)
"""What stays readable: staff, agents, rules, outcomes, times, and ids of records."""

CLEAR_AS_A_NAME = frozenset({"tool", "run", "model", "prompt"})
"""What callers name freely: it stays readable where it looks like the name of a thing and of nobody."""

CLEAR_IN_WORDS_OF_POLICY = frozenset({"reason"})
"""What policy says; in a withdrawn question it may quote the call."""

PERSONAL = frozenset(
    {"arguments", "edited", "fixed", "error", "note", "text", "said", "case", "reply", "context", "people", "key"}
    | {"arguments_hash", "binding", "effect_key", "hashes", "used"}
    | {"request", "targets", "values", "delegates", "actors"}
)
"""What is erased on request: words, values, and hashes by which a guess at them could be confirmed."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+#-]{0,99}")
_QUOTING = "withdrawn"


def split(kind: str, body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part a body into what stays readable and what is personal.

    Args:
        kind: The entry's kind.
        body: JSON data.
    """
    clear: dict[str, Any] = {}
    personal: dict[str, Any] = {}
    for name, value in body.items():
        (clear if _is_clear(kind, name, value) else personal)[name] = value
    return clear, personal


def unlisted(body: Mapping[str, Any]) -> set[str]:
    """The names of a body's parts that no list has."""
    return body.keys() - CLEAR - CLEAR_AS_A_NAME - CLEAR_IN_WORDS_OF_POLICY - PERSONAL


def _is_clear(kind: str, name: str, value: object) -> bool:
    # What is not there is nobody's; but a list of the personal parts that an entry has not would be of no use.
    if name in CLEAR:
        return True
    if name in CLEAR_AS_A_NAME:
        return value is None or (isinstance(value, str) and _NAME.fullmatch(value) is not None)
    return name in CLEAR_IN_WORDS_OF_POLICY and kind != _QUOTING
