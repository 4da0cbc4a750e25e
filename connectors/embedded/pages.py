"""Cursors: where the next page starts, as an opaque text that a caller hands back."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any

from connectors.errors import InvalidInput

Position = list[str | int | float | datetime]


def encode_cursor(position: Position) -> str:
    """Turn the sort key of a page's last row into a cursor."""
    text = json.dumps(position, separators=(",", ":"), default=datetime.isoformat)
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, kinds: tuple[type, ...]) -> list[Any]:
    """Turn a cursor back into the sort key it was made of.

    Args:
        cursor: What `encode_cursor` made.
        kinds: The type of each part; of a time, UTC comes out.

    Raises:
        InvalidInput: If it was not made here; says to start without a cursor.
    """
    try:
        parts = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return [_part(part, kind) for part, kind in zip(parts, kinds, strict=True)]
    except (ValueError, TypeError, OverflowError):
        told = "not a cursor of this tool; leave `cursor` out to start from the first page"
        raise InvalidInput(told, field="cursor") from None


def _part(part: object, kind: type) -> object:
    if kind is datetime:
        moment = datetime.fromisoformat(str(part))
        if moment.tzinfo is None:
            raise ValueError("a time of no zone")
        return moment.astimezone(UTC)
    if type(part) is not kind:
        raise TypeError("a part of another kind")
    return part
