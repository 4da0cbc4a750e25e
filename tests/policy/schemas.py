"""Whether a JSON schema accepts a call."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend


def _like(_: Any, pattern: str, value: Any, __: Any) -> Iterator[ValidationError]:
    # Patterns are those of ECMA-262, where `$` is the very end; in Python it also stands before a last line break.
    ends = pattern.endswith("$") and not pattern.endswith("\\$")
    if isinstance(value, str) and not re.search(pattern[:-1] + r"\Z" if ends else pattern, value):
        yield ValidationError(f"{value!r} is not like {pattern!r}")


_Validator = extend(Draft202012Validator, {"pattern": _like})  # type: ignore[no-untyped-call]


def accepts(schema: Mapping[str, Any], sent: Mapping[str, Any]) -> bool:
    """Whether a call's arguments fit a schema."""
    return bool(_Validator(schema).is_valid(sent))


def check(schema: Mapping[str, Any]) -> None:
    """Fail if it is no JSON schema (2020-12)."""
    Draft202012Validator.check_schema(schema)
