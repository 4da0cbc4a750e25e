"""How much there is to look through: told without looking through all of it."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import BaseModel

_SMALL = (bool, int, float, date)
VALUE_SIZE = 20
"""What a value costs beside its text, in characters."""


def is_larger(value: Any, most: int) -> bool:  # noqa: ANN401 - JSON data
    """Whether JSON data or a model has more than so many characters; a value counts for twenty beside its text."""
    left, size = [value], 0
    while left and size <= most:
        each = left.pop()
        size += VALUE_SIZE
        if isinstance(each, str):
            size += len(each)
        elif each is None or isinstance(each, _SMALL):
            continue
        elif isinstance(each, Mapping):
            size += sum(map(len, each))
            left += each.values()
        elif isinstance(each, BaseModel):
            left += vars(each).values()
        elif isinstance(each, (list, tuple)):
            size += len(each)
            left += each
    return size > most
