"""Ids: a vendor's numbers as the tools spell them, with the kind in front, and back."""

from connectors.errors import NotFound

_SHORTEST = 4


def shown(prefix: str, number: int | str) -> str:
    """A number as an id: `tic_0042` for 42."""
    return f"{prefix}_{int(number):0{_SHORTEST}d}"


def number_of(id_: str, what: str, field: str) -> int:
    """The number of an id.

    Args:
        id_: Such as `tic_0042`.
        what: What it is an id of, such as `ticket`.
        field: The input field.

    Raises:
        NotFound: If it is none of this vendor's: then there is no such record.
    """
    digits = id_.partition("_")[2]
    if not digits.isascii() or not digits.isdigit() or shown(id_.partition("_")[0], digits) != id_:
        raise NotFound(f"there is no {what} `{id_}`; search for it first", field=field)
    return int(digits)
