"""What kind of value a condition's part is, read from the tools' input models."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache, cached_property
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter

from connectors.contract import Sink, Tool

_CAPITALS = "A@EXAMPLE.COM"


class Kind(StrEnum):
    """The kinds, worded for messages."""

    TEXT = "text"
    NUMBER = "a number"
    BOOL = "true or false"
    DATE = "a date"
    LEVEL = "a level of confidentiality"
    LIST = "a list"
    RECORD = "a record"
    NONE = "None"
    OTHER = "a value that conditions cannot use"
    ANY = "anything"
    """The kind of a part that already has a mistake, so that no second one follows from it."""


@dataclass(frozen=True)
class Type:
    """The type of one part.

    Args:
        kind: Its kind.
        optional: Whether it may be None.
        item: The type of a list's items.
        fields: The fields of a record.
        annotation: The declared type of a field, to judge whether it can ever hold a given value.
        lowered: Whether it is always in lower case.
        is_domain: Whether it is the domain of an address.
        sinks: What reaches the world through an argument of the tool.
    """

    kind: Kind
    optional: bool = False
    item: "Type | None" = None
    fields: Mapping[str, "Type"] = field(default_factory=dict)
    annotation: Any = None
    lowered: bool = False
    is_domain: bool = False
    sinks: frozenset[Sink] = frozenset()

    @cached_property
    def choices(self) -> tuple[str, ...]:
        """The only values that the field accepts, when it lists them."""
        bare = _unwrap(self.annotation)[0]
        return tuple(map(str, get_args(bare))) if get_origin(bare) is Literal else ()

    def could_be(self, value: object) -> bool:
        """Whether a field of this type can ever hold the value, by the field's own validation."""
        if isinstance(value, str) and ((self.lowered and value != value.lower()) or (self.is_domain and "@" in value)):
            return False
        return self.annotation is None or self._held(value) == value

    @cached_property
    def folds_case(self) -> bool:
        """Whether it is always in lower case, as addresses are once they are validated."""
        return self.lowered or (self.annotation is not None and self._held(_CAPITALS) == _CAPITALS.lower())

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema of the field's values, None left aside; empty when there is no annotation."""
        if self.annotation is None:
            return {}
        found = self._adapter.json_schema()
        branches = (found, *found.get("anyOf", ()))
        return next((branch for branch in branches if branch.get("type", "null") != "null"), {})

    def _held(self, value: object) -> object:
        """What the field holds when it is given the value; None when it refuses the value."""
        try:
            return self._adapter.validate_python(value)
        except ValueError:
            return None

    @cached_property
    def _adapter(self) -> TypeAdapter[object]:
        return TypeAdapter(self.annotation)


@cache
def type_of_model(model: type[BaseModel]) -> Type:
    """The record type of a tool's input."""
    fields = {name: _type_of(info.rebuild_annotation()) for name, info in model.model_fields.items()}
    return Type(Kind.RECORD, fields=fields)


def type_of_tool(tool: Tool) -> Type:
    """The record type of a tool's input, with what each argument lets out."""
    return _with_sinks(tool.input, tuple(tool.sinks.items()))


@cache
def _with_sinks(model: type[BaseModel], declared: tuple[tuple[str, Sink], ...]) -> Type:
    arguments, sinks = type_of_model(model), dict[str, frozenset[Sink]]()
    for path, sink in declared:
        name = path.partition(".")[0].removesuffix("[]")
        sinks[name] = sinks.get(name, frozenset()) | {sink}
    marked = {name: replace(arguments.fields[name], sinks=found) for name, found in sinks.items()}
    return replace(arguments, fields={**arguments.fields, **marked})


_PLAIN: dict[object, Kind] = {
    str: Kind.TEXT,
    bool: Kind.BOOL,
    int: Kind.NUMBER,
    Decimal: Kind.NUMBER,
    date: Kind.DATE,
    datetime: Kind.OTHER,
    float: Kind.OTHER,  # a float may be NaN, which no comparison can judge
}


def _type_of(annotation: Any) -> Type:  # noqa: ANN401 - any annotation
    bare, optional = _unwrap(annotation)
    origin, inside = get_origin(bare), get_args(bare)
    if origin is Literal:
        is_text = all(isinstance(choice, str) for choice in inside)
        found = Type(Kind.TEXT if is_text else Kind.OTHER)
    elif origin in (list, tuple, set, frozenset):
        found = Type(Kind.LIST, item=_type_of(inside[0]))
    elif inspect.isclass(bare) and issubclass(bare, BaseModel):
        found = type_of_model(bare)
    else:
        found = Type(_PLAIN.get(bare, Kind.OTHER))
    return replace(found, optional=optional, annotation=annotation)


def _unwrap(annotation: Any) -> tuple[Any, bool]:  # noqa: ANN401 - any annotation
    """The type without `Annotated` and without `None`, and whether it may be None."""
    if get_origin(annotation) is Annotated:
        return _unwrap(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        rest = [inside for inside in get_args(annotation) if inside is not NoneType]
        if len(rest) == 1:
            return _unwrap(rest[0])[0], True
    return annotation, False
