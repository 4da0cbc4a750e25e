"""Writes what a box of calls says into a tool's JSON schema (2020-12), as far as plain keywords can say it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from math import ceil, floor
from typing import Any, Final, NamedTuple, TypeAlias

from pydantic import BaseModel

from gateway.policy.language.kinds import Type, type_of_model
from gateway.policy.narrowing.looks import GIVEN, LEFT_OUT, Look, LookName, absent, fits, look_at
from gateway.policy.narrowing.regions import Seen
from gateway.policy.narrowing.sets import Set, Spans, Words, span
from gateway.policy.narrowing.spelling import pattern_for

Schema: TypeAlias = Mapping[str, Any]
_NULL: Final[Schema] = {"type": "null"}
_NOTHING: Final = object()
"""Stands for a default that there is not, and for a value that JSON cannot hold."""
_OF_ONE: Final[Mapping[str, LookName]] = {"items": "value", "item domains": "domain"}
_NUMBER: Final = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")


class Impossible(Exception):
    """No value of an argument fits."""


class Argument(NamedTuple):
    """One argument as a tool's plain schema has it.

    Args:
        schema: The whole property.
        bare: The part of it that a given value must fit; None when it has a form that is not narrowed.
        nullable: Whether `null` is accepted as well.
        default: What an argument that is not sent is; `_NOTHING` when it must be sent.
        type: Its type.
    """

    schema: Schema
    bare: Schema | None
    nullable: bool
    default: object
    type: Type


@dataclass(frozen=True, slots=True)
class Form:
    """A tool's plain input schema, taken apart once."""

    schema: Schema
    arguments: Mapping[str, Argument]
    type: Type


@cache
def form_of(model: type[BaseModel]) -> Form:
    """Take apart the input schema of a tool."""
    schema = model.model_json_schema()
    record = type_of_model(model)
    arguments = {}
    for name, info in model.model_fields.items():
        default = _NOTHING if info.is_required() else info.get_default(call_default_factory=True)
        if (prop := schema["properties"].get(name)) is not None:  # it is another one that has an alias
            bare, nullable = _bare(prop)
            arguments[name] = Argument(prop, bare, nullable, default, record.fields[name])
    return Form(schema, arguments, record)


def _bare(prop: Schema) -> tuple[Schema | None, bool]:
    choices = prop.get("anyOf")
    if choices is None:
        return (prop if isinstance(prop.get("type"), str) else None), False
    given = [choice for choice in choices if choice != _NULL]
    return (given[0] if len(given) == 1 and isinstance(given[0].get("type"), str) else None), _NULL in choices


def narrowed(form: Form, seen: Seen) -> tuple[Schema, Seen]:
    """Tighten a tool's schema to the calls of a box, never further.

    Args:
        form: The tool's plain schema.
        seen: What the calls show.

    Returns:
        The schema, and what of the box it says.

    Raises:
        Impossible: If no call is in the box.
    """
    by_name: dict[str, dict[Look, Set]] = {}
    for look, values in seen.items():
        if len(look.path) == 1 and look.path[0] in form.arguments:
            by_name.setdefault(look.path[0], {})[look] = values
    if not by_name:
        return form.schema, {}
    properties, required = dict(form.schema["properties"]), set(form.schema.get("required", ()))
    said: dict[Look, Set] = {}
    for name, looks in by_name.items():
        argument = form.arguments[name]
        prop, says = _property(argument, looks, name)
        said.update(says)
        if prop is None:
            del properties[name]
            continue
        properties[name] = prop
        if not _may_be_omitted(argument, looks, absent((name,))):
            properties[name] = {keyword: value for keyword, value in prop.items() if keyword != "default"}
            required.add(name)
    in_order = [name for name in properties if name in required]
    return {**form.schema, "properties": properties, **({"required": in_order} if in_order else {})}, said


def _may_be_omitted(argument: Argument, looks: Seen, presence: Look) -> bool:
    if argument.default is None:
        return looks.get(presence) != GIVEN
    if argument.default is _NOTHING or looks.get(presence) == LEFT_OUT:
        return False
    return all(fits(look, values, argument.default) for look, values in looks.items() if look != presence)


def _property(argument: Argument, looks: dict[Look, Set], name: str) -> tuple[Schema | None, Seen]:
    """The property, None when it must not be sent; and what it says."""
    presence = absent((name,))
    if looks.get(presence) == LEFT_OUT:
        return _nothing(argument), looks
    if argument.bare is None:
        return argument.schema, {}
    given = looks.get(presence) == GIVEN
    try:
        keywords, says = _value(argument, {look: values for look, values in looks.items() if look != presence})
    except Impossible:
        if given or not argument.nullable:
            raise
        return _nothing(argument), looks
    if given:
        says[presence] = GIVEN
    hint = keywords.pop("description", "")
    prop = {**argument.schema}
    if argument.nullable and not given:
        prop["anyOf"] = [_with(argument.bare, keywords), _NULL]
    else:
        prop.pop("anyOf", None)
        prop = _with({**prop, **argument.bare}, keywords)
    if hint:
        prop["description"] = f"{prop.get('description', '')} {hint}".strip()
    return prop, says


def _nothing(argument: Argument) -> Schema | None:
    if argument.default is None:
        return None
    kept = {keyword: argument.schema[keyword] for keyword in ("title", "description") if keyword in argument.schema}
    return {**kept, **_NULL}


def _with(bare: Schema, keywords: Schema) -> dict[str, Any]:
    """The schema with keywords added; those that are None are taken away."""
    return {keyword: value for keyword, value in {**bare, **keywords}.items() if value is not None}


def _value(argument: Argument, looks: Seen) -> tuple[dict[str, Any], dict[Look, Set]]:
    """Keywords for a value that was given, and what they say."""
    bare = argument.bare or {}
    if bare.get("type") == "array":
        return _list(argument.type, bare, looks)
    if (listed := _listed(bare, looks)) is not None:
        return _choice(bare, listed), dict(looks)
    keywords: dict[str, Any] = {}
    said: dict[Look, Set] = {}
    for look, values in looks.items():
        found: tuple[dict[str, Any], Set] | None = None
        if isinstance(values, Words):
            found = _text(bare, look, values, keywords, is_address=argument.type.folds_case)
        elif look.name == "length" and bare["type"] == "string":
            found = _sized(bare, values, "minLength", "maxLength")
        elif look.name == "value" and bare["type"] in ("number", "integer"):
            found = _bounded(bare, values, _NUMBER)
        if found:
            keywords.update(found[0])
            said[look] = found[1]
    return keywords, said


def _listed(bare: Schema, looks: Seen) -> list[Any] | None:
    """The values that fit, where they can be listed."""
    named: Iterable[Any] | None = None
    if "enum" in bare or "const" in bare:
        named = bare.get("enum", [bare.get("const")])
    elif bare["type"] == "boolean":
        named = (True, False)
    else:
        for look, values in looks.items():
            if look.name == "value" and isinstance(values, Words) and not values.others:
                named = sorted(values.items)
            elif look.name == "value" and isinstance(values, Spans):
                named = values.points()
    if named is None:
        return None
    fitting = [value for value in named if all(fits(look, values, value) for look, values in looks.items())]
    if not fitting:
        raise Impossible
    written = [_json(value) for value in fitting]
    return None if _NOTHING in written else written


def _choice(bare: Schema, values: Sequence[Any]) -> dict[str, Any]:
    if len(values) == len(bare.get("enum", ())) or (bare["type"] == "boolean" and len(values) == 2):
        return {}
    return {"const": values[0], "enum": None} if len(values) == 1 else {"enum": values}


def _json(value: object) -> object:
    """A value as JSON has it; `_NOTHING` when JSON's numbers cannot hold it."""
    if isinstance(value, Decimal):
        if value == value.to_integral_value():
            return int(value)
        return float(value) if Decimal(repr(float(value))) == value else _NOTHING
    return value.isoformat() if isinstance(value, date) else value


def _text(
    bare: Schema, look: Look, values: Words, before: Mapping[str, Any], *, is_address: bool
) -> tuple[dict[str, Any], Words] | None:
    """A pattern, if the schema has none yet."""
    if look.name == "value" or bare["type"] != "string" or "pattern" in bare or "pattern" in before:
        return None
    found = pattern_for(look, values, is_address=is_address)
    return found and ({"pattern": found.pattern, "description": f"Policy: {found.words}."}, values)


def _bounded(bare: Schema, values: Spans, names: tuple[str, str, str, str]) -> tuple[dict[str, Any], Spans] | None:
    """Bounds that are tighter than those of the schema, and what they say; None when JSON's numbers cannot hold them.

    Args:
        bare: The schema.
        values: Where the numbers must lie.
        names: The keywords for at least, above, at most and below; empty where there is none.
    """
    declared = Spans((), inside=True)
    for name, operator in zip(names, (">=", ">", "<=", "<"), strict=True):
        if name in bare:
            declared = declared.meet(span(operator, bare[name]))
    both = declared.meet(values).hull()
    if both.is_empty:
        raise Impossible
    if both == declared:
        return {}, both
    low = None if both.inside else both.cuts[0]
    high = both.cuts[-1] if both.cuts and both.cuts[-1] != low else None
    found: dict[str, Any] = dict.fromkeys(filter(None, names))
    if low:
        found[names[low[1]]] = _json(low[0])
    if high:
        found[names[3 - high[1]]] = _json(high[0])
    return None if _NOTHING in found.values() else (found, both)


def _sized(bare: Schema, values: Spans, least: str, most: str) -> tuple[dict[str, Any], Spans] | None:
    """Bounds of a length, which is a whole number."""
    low = None if values.inside or not values.cuts else values.cuts[0]
    hull = values.hull()
    high = hull.cuts[-1] if hull.cuts and hull.cuts[-1] != low else None
    whole = span(">=", 0)
    if low:
        whole = whole.meet(span(">=", floor(low[0]) + 1 if low[1] else ceil(low[0])))
    if high:
        whole = whole.meet(span("<=", floor(high[0]) if high[1] else ceil(high[0]) - 1))
    found = _bounded({least: 0, **bare}, whole, (least, "", most, ""))
    if not found:
        return None
    return {name: limit for name, limit in found[0].items() if (name, limit) != (least, 0)}, hull


def _list(kind: Type, bare: Schema, looks: Seen) -> tuple[dict[str, Any], dict[Look, Set]]:
    """Keywords for a list: what its items must fit, and how many there may be."""
    keywords: dict[str, Any] = {}
    said: dict[Look, Set] = {}
    length = Spans((), inside=True)
    of_items = {look_at(look.path, _OF_ONE[look.name]): look for look in looks if look.name in _OF_ONE}
    item = bare.get("items", {})
    if of_items and kind.item and isinstance(item.get("type"), str):
        one = Argument(item, item, nullable=False, default=_NOTHING, type=kind.item)
        try:
            found, says = _value(one, {look: looks[of_list] for look, of_list in of_items.items()})
        except Impossible:
            length = span("<=", 0)
            said.update((look, looks[look]) for look in of_items.values())
        else:
            if hint := found.pop("description", ""):
                keywords["description"] = hint.replace(" must ", " each must ")
            if found:
                keywords["items"] = _with(item, found)
            said.update((of_items[look], values) for look, values in says.items())
    for look, values in looks.items():
        if look.name == "length" and isinstance(values, Spans):
            length = length.meet(values)
            said[look] = values.hull()
    sized = None if length.is_full else _sized(bare, length, "minItems", "maxItems")
    return {**keywords, **(sized[0] if sized else {})}, said
