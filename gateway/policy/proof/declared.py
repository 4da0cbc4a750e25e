"""What a field's declaration promises about every value that it accepts."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, PlainValidator, WithJsonSchema, WrapValidator
from pydantic.fields import FieldInfo

from gateway.policy.language.kinds import Type
from gateway.policy.proof.texts import ADDRESS, ANY, NOT_EMPTY, Form, form_of_pattern

_REPLACING = (BeforeValidator, PlainValidator, WrapValidator)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The range of a number, or of the number of items of a list; `decimals` counts digits after the point."""

    at_least: Decimal | None = None
    above: Decimal | None = None
    at_most: Decimal | None = None
    below: Decimal | None = None
    decimals: int | None = None


def bounds_of_number(declared: Type) -> Bounds:
    """The range of a number field.

    A validator behind the declared range may refuse a number or write it otherwise (10 as 10.00), no more: so `Amount`
    does it. Where a validator before it could put any other number in its place, nothing is promised.
    """
    marks = list(_marks(declared.annotation))
    if any(isinstance(mark, _REPLACING) for mark in marks):
        return Bounds()
    return Bounds(
        at_least=_number(marks, "ge"),
        above=_number(marks, "gt"),
        at_most=_number(marks, "le"),
        below=_number(marks, "lt"),
        decimals=0 if _bare(declared.annotation) is int else _first(marks, "decimal_places"),
    )


def bounds_of_length(declared: Type) -> Bounds:
    """How many items a list field may have."""
    marks = list(_marks(declared.annotation))
    if any(isinstance(mark, (*_REPLACING, AfterValidator)) for mark in marks):
        return Bounds(at_least=Decimal(0))
    return Bounds(at_least=_number(marks, "min_length") or Decimal(0), at_most=_number(marks, "max_length"))


def form_of_text(declared: Type) -> Form:
    """A language that holds every text the field accepts.

    A validator behind the declared length may refuse texts and change them, but does not make one empty: so `Line` and
    `Body` do it. An address is what `connectors.fields.Address` makes of it.
    """
    marks = list(_marks(declared.annotation))
    formats = [(mark.json_schema or {}).get("format") for mark in marks if isinstance(mark, WithJsonSchema)]
    if "email" in formats and declared.folds_case:
        return ADDRESS
    if any(isinstance(mark, _REPLACING) for mark in marks):
        return ANY
    pattern = _first(marks, "pattern")
    if isinstance(pattern, str) and not any(isinstance(mark, AfterValidator) for mark in marks):
        return form_of_pattern(pattern)
    return NOT_EMPTY if (_number(marks, "min_length") or 0) >= 1 else ANY


def _marks(annotation: Any) -> Iterator[object]:  # noqa: ANN401 - any annotation
    """What stands beside the type, going into `Annotated` and `| None` but not into a list's items."""
    if get_origin(annotation) is Annotated:
        inside, *marks = get_args(annotation)
        for mark in marks:
            yield from mark.metadata if isinstance(mark, FieldInfo) else [mark]
        yield from _marks(inside)
    elif get_origin(annotation) in (Union, UnionType):
        for inside in get_args(annotation):
            yield from _marks(inside)


def _bare(annotation: Any) -> Any:  # noqa: ANN401 - any annotation
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return next((_bare(inside) for inside in get_args(annotation) if inside is not NoneType), annotation)
    return annotation


def _first(marks: list[object], name: str) -> Any:  # noqa: ANN401 - whatever was declared
    return next((value for mark in marks if (value := getattr(mark, name, None)) is not None), None)


def _number(marks: list[object], name: str) -> Decimal | None:
    value = _first(marks, name)
    return None if value is None else Decimal(str(value))
