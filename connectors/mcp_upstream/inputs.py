"""An upstream tool's input model, made of its JSON schema.

What the schema says in common words becomes typed fields, so that policy can judge them; the rest is kept as it is,
which conditions cannot use. Either way the arguments that go out are checked against the server's own schema as well.
"""

import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Self, Union

from jsonschema.protocols import Validator
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, create_model, model_validator

from connectors.contract import Input
from connectors.mcp_upstream.schema import Schema, Unusable, problem, resolve

_MOST_FIELDS = 100
_DEEPEST = 6
_MOST_CHOICES = 500
_NOT_IN_A_NAME = re.compile(r"\W", re.ASCII)
_LARGEST_EXACT = 2**53
_BOUNDS = {
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}

StringType = Callable[[str, Schema], Any]
"""Makes the annotation of a text field from its wire path and its schema."""


class Part(Input):
    """A record of an upstream tool's input, on the way there under the names that the server gave its fields."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, protected_namespaces=())

    left_out: ClassVar[frozenset[str]] = frozenset()
    """The fields that are not sent while they are None."""

    def to_wire(self) -> dict[str, Any]:
        """The record as the server takes it, in JSON data."""
        sent: dict[str, Any] = {}
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if value is not None or name not in self.left_out:
                sent[info.alias or name] = _to_wire(value)
        return sent


class UpstreamInput(Part):
    """The input of an upstream tool."""

    original: ClassVar[Schema] = {}
    checker: ClassVar[Validator]

    @model_validator(mode="after")
    def _fits_the_original(self) -> Self:
        if told := problem(self.checker, self.to_wire()):
            raise ValueError(told)
        return self

    @classmethod
    def model_json_schema(cls, *_args: Any, **_named: Any) -> dict[str, Any]:  # noqa: ANN401 - as pydantic has it
        """The server's own schema, which takes no further arguments."""
        whole = resolve(cls.original, cls.original)
        properties = {
            name: each if isinstance(each, dict) else {} for name, each in whole.get("properties", {}).items()
        }
        return {**cls.original, "type": "object", "properties": properties, "additionalProperties": False}


@dataclass
class Paths:
    """Where the fields of an input are: wire paths and the model's paths, dotted, `[]` for every item of a list."""

    by_wire: dict[str, str] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)
    """The model's paths that hold text, or what nobody knows."""


def input_model(name: str, schema: Schema, checker: Validator, string: StringType) -> tuple[type[UpstreamInput], Paths]:
    """Make the input model of a tool.

    Args:
        name: The tool's.
        schema: The server's schema of the arguments.
        checker: What checks arguments against it.
        string: Makes the annotation of a text field.

    Raises:
        Unusable: If the schema is not one of an object, or has too many fields.
    """
    paths = Paths()
    top = resolve(schema, schema)
    if top.get("type", "object") != "object":
        raise Unusable("the input schema is not of type `object`")
    maker = _Maker(schema, string, paths)
    fields, left_out = maker.fields(top, "", "", 0)
    made = create_model(f"{name}_input", __base__=UpstreamInput, **fields)
    made.left_out, made.original, made.checker = left_out, schema, checker
    return made, paths


@dataclass(frozen=True)
class _Maker:
    root: Schema
    string: StringType
    paths: Paths

    def fields(self, schema: Schema, wire: str, own: str, depth: int) -> tuple[dict[str, Any], frozenset[str]]:
        properties, required = schema.get("properties", {}), set(schema.get("required", ()))
        if len(properties) > _MOST_FIELDS:
            raise Unusable(f"an object with {len(properties)} fields: at most {_MOST_FIELDS}")
        fields: dict[str, Any] = {}
        left_out = set()
        for wire_name, given in properties.items():
            name = _field_name(wire_name, fields)
            prop = resolve(given, self.root) if isinstance(given, Mapping) else {}
            annotation, nullable = self.annotation(prop, f"{wire}{wire_name}", f"{own}{name}", depth)
            default: Any = ...
            if wire_name not in required and (default := _default(prop, annotation)) is None:
                annotation = annotation if nullable else annotation | None
                left_out.add(name)
            alias: dict[str, Any] = {} if name == wire_name else {"alias": wire_name}
            fields[name] = (annotation, Field(default, **alias))
        return fields, frozenset(left_out)

    def annotation(self, schema: Schema, wire: str, own: str, depth: int) -> tuple[Any, bool]:
        """The annotation of a value, and whether it may be None."""
        schema = resolve(schema, self.root)
        self.paths.by_wire[wire] = own
        choices, nullable = _without_null(schema)
        if depth > _DEEPEST or choices is None or not choices:
            made: Any = self._unknown(own)
        else:
            made = _union([self._one(resolve(choice, self.root), wire, own, depth) for choice in choices])
        return (made | None if nullable and made is not Any else made), nullable or made is Any

    def _one(self, schema: Schema, wire: str, own: str, depth: int) -> Any:  # noqa: ANN401 - an annotation
        if "const" in schema or "enum" in schema:
            return self._choice(schema, own)
        if "anyOf" in schema or "oneOf" in schema or "not" in schema or "if" in schema:
            return self._unknown(own)
        match schema.get("type"):
            case "string":
                self.paths.texts.add(own)
                return self.string(wire, schema)
            case "integer":
                return Annotated[int, Field(**_bounds(schema, int))]
            case "number":
                return Annotated[
                    Decimal, Field(allow_inf_nan=False, **_bounds(schema, lambda each: Decimal(str(each))))
                ]
            case "boolean":
                return bool
            case "array":
                return self._list(schema, wire, own, depth)
            case "object":
                return self._record(schema, wire, own, depth)
            case _:
                return self._unknown(own)

    def _choice(self, schema: Schema, own: str) -> Any:  # noqa: ANN401 - an annotation
        choices = schema["enum"] if "enum" in schema else [schema["const"]]
        if 0 < len(choices) <= _MOST_CHOICES and all(isinstance(choice, str) for choice in choices):
            return Literal[tuple(choices)]
        return self._unknown(own)

    def _list(self, schema: Schema, wire: str, own: str, depth: int) -> Any:  # noqa: ANN401 - an annotation
        if not isinstance(schema.get("items"), Mapping) or "prefixItems" in schema:
            return self._unknown(own)
        item: Any = self.annotation(schema["items"], f"{wire}[]", f"{own}[]", depth + 1)[0]
        return Annotated[list[item], Field(min_length=schema.get("minItems"), max_length=schema.get("maxItems"))]

    def _record(self, schema: Schema, wire: str, own: str, depth: int) -> Any:  # noqa: ANN401 - an annotation
        is_open = schema.get("additionalProperties", False) is not False
        if not schema.get("properties") or is_open or "allOf" in schema:
            return self._unknown(own)
        fields, left_out = self.fields(schema, f"{wire}.", f"{own}.", depth + 1)
        made = create_model(own.replace("[]", "").replace(".", "_") or "part", __base__=Part, **fields)
        made.left_out = left_out
        return made

    def _unknown(self, own: str) -> Any:  # noqa: ANN401 - an annotation
        self.paths.texts.add(own)
        return Any


def _without_null(schema: Schema) -> tuple[list[Schema] | None, bool]:
    """The forms that a value other than null may have, and whether null is one; None where that is not known."""
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return [{**schema, "type": kind} for kind in kinds if kind != "null"], "null" in kinds
    several = schema.get("anyOf", schema.get("oneOf"))
    if several is None and isinstance(schema.get("allOf"), list):
        return ([schema["allOf"][0]] if len(schema["allOf"]) == 1 and "type" not in schema else None), False
    if several is None:
        return [schema], False
    if not isinstance(several, list) or "properties" in schema:
        return None, False
    given = [choice for choice in several if isinstance(choice, Mapping) and choice.get("type") != "null"]
    return given, len(given) < len(several)


def _union(made: list[Any]) -> Any:  # noqa: ANN401 - an annotation
    if Any in made:
        return Any
    return made[0] if len(made) == 1 else Union[tuple(made)]  # noqa: UP007 - the forms are known at run time only


def _bounds(schema: Schema, number: Callable[[Any], Any]) -> dict[str, Any]:
    found = {name: schema[word] for word, name in _BOUNDS.items() if word in schema}
    # Draft 4 has true and false here; the server's own schema still judges those.
    return {name: number(value) for name, value in found.items() if not isinstance(value, bool)}


def _default(schema: Schema, annotation: Any) -> Any:  # noqa: ANN401 - JSON data
    """The value that a field has which is not sent, as policy judges it and as it is sent then; None for none."""
    value = schema.get("default")
    if isinstance(value, int | float) and not isinstance(value, bool) and schema.get("type") == "number":
        value = Decimal(str(value))
    if isinstance(value, dict):
        return None
    try:
        return TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError:
        return None


def _field_name(wire: str, taken: Mapping[str, Any]) -> str:
    """A name that policy can write after `args.`, and that means nothing to the model's own class."""
    name = _NOT_IN_A_NAME.sub("_", wire).strip("_")[:64] or "field"
    name = f"f_{name}" if name[0].isdigit() else name
    if keyword.iskeyword(name) or hasattr(UpstreamInput, name) or name == "checker":
        name += "_"
    while name in taken:
        name += "_"
    return name


def _to_wire(value: object) -> object:
    if isinstance(value, Part):
        return value.to_wire()
    if isinstance(value, list):
        return [_to_wire(item) for item in value]
    if isinstance(value, Decimal):
        is_whole = value == value.to_integral_value() and abs(value) < _LARGEST_EXACT
        return int(value) if is_whole else float(value)
    return value
