"""Cursors: where the next page starts, as an opaque text that a caller hands back."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from connectors.errors import InvalidInput

R = TypeVar("R")
Position = Sequence[str | float | datetime]


def encode_cursor(position: Position) -> str:
    """Turn the sort key of a page's last row into a cursor."""
    parts = [part.isoformat() if isinstance(part, datetime) else part for part in position]
    return urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, kinds: tuple[type, ...]) -> list[Any]:
    """Turn a cursor back into the sort key it was made of.

    Args:
        cursor: What `encode_cursor` made.
        kinds: The type of each part.

    Raises:
        InvalidInput: If it was not made here; says to start without a cursor.
    """
    try:
        position = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if isinstance(position, list):
            return [_part(part, kind) for part, kind in zip(position, kinds, strict=True)]
    except (ValueError, OverflowError):
        pass
    raise not_a_cursor()


def not_a_cursor() -> InvalidInput:
    """What to raise for a cursor that was not made here."""
    return InvalidInput("not a cursor of this tool; leave `cursor` out to start from the first page", field="cursor")


def _part(part: object, kind: type) -> object:
    if kind is datetime and isinstance(part, str) and (moment := datetime.fromisoformat(part)).tzinfo:
        return moment.astimezone(UTC)
    if type(part) is not kind:
        raise ValueError(kind)
    return part


def page_of(rows: Sequence[R], limit: int, key: Callable[[R], Position]) -> tuple[list[R], str]:
    """One page of rows of which one too many was asked for, and the cursor of the next page, "" after the last.

    Args:
        rows: In their order.
        limit: How many rows a page has.
        key: What they are ordered by.
    """
    return list(rows[:limit]), encode_cursor(key(rows[limit - 1])) if len(rows) > limit else ""
