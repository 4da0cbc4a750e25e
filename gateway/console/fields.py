"""A form for a tool's arguments, made from its input model, and arguments made from such a form."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from connectors.contract import Sink, Tool
from gateway.console.forms import Form
from gateway.effect_words import label

_PREFIX = "arg."
_LONG = 200
_INTEGER = re.compile(r"-?\d{1,18}")
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,6})?")


class Widget(StrEnum):
    """How a field is edited."""

    LINE = "line"
    TEXT = "text"
    NUMBER = "number"
    CHOICE = "choice"
    LIST = "list"
    DATA = "data"


@dataclass(frozen=True)
class Field:
    """One field of a form.

    Args:
        name: The argument's name.
        form_name: Its name in the form.
        label: Its name for people.
        hint: What it is.
        widget: How it is edited.
        value: Its text.
        choices: What a choice offers: value and words.
        required: Whether it must be filled.
        sink: Where its value goes out; empty if nowhere.
        problem: What is wrong with it; empty if nothing.
    """

    name: str
    form_name: str
    label: str
    hint: str
    widget: Widget
    value: str
    choices: tuple[tuple[str, str], ...]
    required: bool
    sink: str
    problem: str = ""


def fields_of(tool: Tool, texts: Mapping[str, str], problems: Mapping[str, str] | None = None) -> tuple[Field, ...]:
    """The fields for a tool's arguments.

    Args:
        tool: The tool.
        texts: Each field's text by the argument's name.
        problems: What is wrong with them, by the argument's name.
    """
    return tuple(_field(tool, name, schema, texts, problems or {}) for name, schema in _properties(tool))


def texts_of(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, str]:
    """The fields' texts for given arguments."""
    return {name: _to_text(_widget(schema), arguments.get(name)) for name, schema in _properties(tool)}


def texts_in(tool: Tool, form: Form) -> dict[str, str]:
    """The fields' texts as a person sent them."""
    return {name: form.get(_PREFIX + name, "") for name, _ in _properties(tool)}


def arguments_in(tool: Tool, texts: Mapping[str, str]) -> dict[str, Any]:
    """Arguments as JSON data from fields' texts; what does not fit stays a text, for the input model to refuse."""
    found: dict[str, Any] = {}
    for name, schema in _properties(tool):
        text = texts.get(name, "")
        if text == "" and _may_be_left_out(tool, name, schema):
            continue
        found[name] = _from_text(schema, text)
    return found


def _properties(tool: Tool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each field with its schema, by the name that arguments are kept under; callers may know it by another one."""
    names = {info.alias or name: name for name, info in tool.input.model_fields.items()}
    for wire, schema in tool.input.model_json_schema().get("properties", {}).items():
        yield names[wire], schema


def _field(
    tool: Tool, name: str, schema: Mapping[str, Any], texts: Mapping[str, str], problems: Mapping[str, str]
) -> Field:
    required = tool.input.model_fields[name].is_required()
    widget = _widget(schema)
    sink = next((mark.value for path, mark in tool.sinks.items() if path.removesuffix("[]") == name), "")
    return Field(
        name=name,
        form_name=_PREFIX + name,
        label=label(name),
        hint=str(schema.get("description", "")),
        widget=widget,
        value=texts.get(name, ""),
        choices=tuple(_choices(schema, required)) if widget is Widget.CHOICE else (),
        required=required,
        sink="" if sink == Sink.CONTENT else sink,
        problem=problems.get(name, ""),
    )


def _bare(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a property that a value other than null fits."""
    return next((choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"), schema)


def _may_be_left_out(tool: Tool, name: str, schema: Mapping[str, Any]) -> bool:
    field = tool.input.model_fields[name]
    return not field.is_required() and (field.default is None or _widget(schema) is not Widget.LINE)


def _widget(schema: Mapping[str, Any]) -> Widget:
    bare = _bare(schema)
    if "enum" in bare or "const" in bare or bare.get("type") == "boolean":
        return Widget.CHOICE
    if bare.get("type") in {"integer", "number"}:
        return Widget.NUMBER
    items = bare.get("items")
    if bare.get("type") == "array" and isinstance(items, Mapping) and items.get("type") == "string":
        return Widget.LIST
    if bare.get("type") == "string":
        return Widget.TEXT if bare.get("maxLength", _LONG + 1) > _LONG and "format" not in bare else Widget.LINE
    return Widget.DATA


def _choices(schema: Mapping[str, Any], required: bool) -> Iterator[tuple[str, str]]:
    bare = _bare(schema)
    if not required and schema is not bare:
        yield "", "leave as it is"
    if bare.get("type") == "boolean":
        yield from (("true", "yes"), ("false", "no"))
    yield from (
        (str(value), label(str(value))) for value in bare.get("enum", [bare["const"]] if "const" in bare else [])
    )


def _to_text(widget: Widget, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if widget is Widget.LIST and isinstance(value, list):
        return "\n".join(map(str, value))
    if widget is Widget.DATA:
        return json.dumps(value, ensure_ascii=False, indent=2)
    return str(value)


def _from_text(schema: Mapping[str, Any], text: str) -> Any:  # noqa: ANN401 - JSON data
    bare = _bare(schema)
    match _widget(schema):
        case Widget.LIST:
            return [line.strip() for line in text.splitlines() if line.strip()]
        case Widget.NUMBER:
            number = _INTEGER if bare["type"] == "integer" else _NUMBER
            return json.loads(text.strip()) if number.fullmatch(text.strip()) else text
        case Widget.CHOICE if bare.get("type") == "boolean":
            return {"true": True, "false": False}.get(text, text)
        case Widget.DATA:
            return _data(text)
        case _:
            return text


def _data(text: str) -> Any:  # noqa: ANN401 - JSON data
    try:
        return json.loads(text)
    except ValueError:
        return text
