"""How single values that other systems keep look in the tools."""

import json
from decimal import Decimal
from hashlib import sha256
from typing import Any, get_args
from urllib.parse import urlsplit


def known(value: str, kind: Any, otherwise: str) -> Any:  # noqa: ANN401 - a `Literal` and one of its values
    """A value if it is one of those that the tools know, or else another.

    Args:
        value: What is kept.
        kind: The `Literal` of those that the tools know.
        otherwise: What goes without saying.
    """
    return value if value in get_args(kind) else otherwise


def cents(amount: Decimal) -> Decimal:
    """An amount with at least two decimals, and all that it has."""
    exact = amount.normalize()
    return exact if -int(exact.as_tuple().exponent) > 2 else amount.quantize(Decimal("0.01"))


def domain_of(website: str) -> str:
    """The domain of a web site's address."""
    host = urlsplit(website if "//" in website else f"//{website}").hostname or ""
    return host.removeprefix("www.")


def version_of(told: Any) -> int:  # noqa: ANN401 - JSON data
    """A number that changes when what is told of a record does."""
    text = json.dumps(told, sort_keys=True)
    return max(1, int.from_bytes(sha256(text.encode()).digest()[:4]) >> 1)
