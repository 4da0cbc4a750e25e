"""A server's JSON schema becomes a typed input that says the same, or less."""

import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from connectors.mcp_upstream.inputs import UpstreamInput, input_model
from connectors.mcp_upstream.schema import checker, problem

LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "maxLength": 3},
        {"type": "integer", "minimum": 0, "maximum": 9},
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "boolean"},
        {"enum": ["a", "b"]},
        {"const": "a"},
        {"enum": [1, None, "x"]},
        {"type": ["string", "null"]},
        {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]},
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        {"not": {"type": "string"}},
        {"$ref": "#/$defs/short"},
        {"type": "string", "default": "b"},
        {"type": "number", "default": 1.5},
        {},
    ]
)
NAMES = st.sampled_from(["a", "b", "class", "copy", "x-y", "__proto__", "model_config", "1st", "original", "to_wire"])


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    made = st.dictionaries(NAMES, inner, max_size=4)
    return made.flatmap(
        lambda properties: st.sets(st.sampled_from(sorted(properties) or ["a"])).map(
            lambda required: {
                "type": "object",
                "properties": properties,
                "required": sorted(required & properties.keys()),
            }
        )
    )


SCHEMAS = objects(
    st.recursive(
        LEAVES,
        lambda inner: st.one_of(
            objects(inner), inner.map(lambda item: {"type": "array", "items": item, "maxItems": 2})
        ),
        max_leaves=6,
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 12) | st.floats(-1, 12) | st.sampled_from(["", "a", "b", "long text"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


def made(schema: dict[str, Any]) -> type[UpstreamInput]:
    whole = {**schema, "$defs": {"short": {"type": "string", "maxLength": 2}}}
    return input_model("tool", whole, checker(whole), lambda _path, _schema: str)[0]


@settings(max_examples=int(os.environ.get("REMIT_UPSTREAM_EXAMPLES", "40")))
@given(SCHEMAS, st.dictionaries(NAMES, VALUES, max_size=4))
def test_what_goes_out_always_fits_the_servers_own_schema(schema: dict[str, Any], arguments: dict[str, Any]) -> None:
    model = made(schema)
    try:
        checked = model.model_validate_json(json.dumps(arguments))
    except ValidationError:
        return
    sent = checked.to_wire()
    assert problem(checker(model.original), sent) == ""
    assert sent.keys() <= schema["properties"].keys()
    # What was approved and is read back from the record is the same call.
    again = model.model_validate_json(checked.model_dump_json())
    assert again == checked
    assert again.to_wire() == sent


@given(st.lists(VALUES, max_size=5))
def test_what_must_differ_is_told_apart_as_the_standard_has_it(values: list[Any]) -> None:
    schema = {"type": "array", "uniqueItems": True}
    assert (problem(checker(schema), values) == "") is Draft202012Validator(schema).is_valid(values)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("schema", "fits"),
    [
        ({"uniqueItems": True}, True),
        ({"uniqueItems": True, "items": {"maxProperties": 0}}, False),
        ({"unevaluatedItems": False, "items": {}}, False),
        ({"$schema": "https://json-schema.org/draft/2019-09/schema", "unevaluatedItems": False, "items": {}}, False),
    ],
)
def test_many_items_do_not_take_the_square_of_their_number(schema: dict[str, Any], fits: bool) -> None:
    many = [{"number": number} for number in range(20_000)]
    assert (problem(checker(schema), many) == "") is fits


@pytest.mark.timeout(60)
def test_many_names_do_not_take_the_square_of_their_number() -> None:
    few, many = ({str(number): number for number in range(count)} for count in (100, 20_000))
    check = checker({"additionalProperties": {"type": "integer"}, "unevaluatedProperties": False})
    assert problem(check, few) == ""
    assert problem(check, many) == "more than 1000 entries cannot be checked against `unevaluatedProperties`"


@pytest.mark.parametrize(
    ("properties", "name", "wire"),
    [
        ({"from": {"type": "string"}}, "from_", "from"),
        ({"x-y": {"type": "string"}}, "x_y", "x-y"),
        ({"__proto__": {"type": "string"}}, "proto", "__proto__"),
        ({"model_dump": {"type": "string"}}, "model_dump_", "model_dump"),
        ({"to_wire": {"type": "string"}}, "to_wire_", "to_wire"),
    ],
)
def test_a_field_has_a_name_that_policy_can_write(properties: dict[str, Any], name: str, wire: str) -> None:
    model = made({"type": "object", "properties": properties})
    checked = model.model_validate({wire: "v"})
    assert checked.model_dump() == {name: "v"}
    assert checked.to_wire() == {wire: "v"}


def test_a_default_is_judged_and_sent() -> None:
    schema = {"type": "object", "properties": {"notify": {"type": "boolean", "default": True}}}
    checked = made(schema).model_validate({})
    assert checked.model_dump() == {"notify": True}
    assert checked.to_wire() == {"notify": True}
