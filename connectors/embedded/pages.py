"""Cursors: where the next page starts, as an opaque text that a caller hands back."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

from connectors.errors import InvalidInput

Position = list[str | int | float]


def encode_cursor(position: Position) -> str:
    """Turn the sort key of a page's last row into a cursor."""
    return urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, kinds: tuple[type, ...]) -> Position:
    """Turn a cursor back into the sort key it was made of.

    Args:
        cursor: What `encode_cursor` made.
        kinds: The type of each part.

    Raises:
        InvalidInput: If it was not made here; says to start without a cursor.
    """
    try:
        position = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        position = None
    if not (
        isinstance(position, list)
        and len(position) == len(kinds)
        and all(type(part) is kind for part, kind in zip(position, kinds, strict=True))
    ):
        raise InvalidInput("not a cursor of this tool; leave `cursor` out to start from the first page", field="cursor")
    return position
