"""JSON schemas that somebody else wrote: taken only if checking data against them is bounded and stays at home.

Patterns are matched by an engine that takes linear time (Rust's, which pydantic has); references lead nowhere but into
the schema itself; a schema that unfolds into too much is refused.
"""

import json
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend, validator_for
from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator, core_schema
from referencing import Registry
from referencing.exceptions import Unresolvable

Schema = Mapping[str, Any]

_MOST_NODES = 5_000
_DEEPEST = 64
_LONGEST_PROBLEM = 200
_MOST_UNEVALUATED = 1_000
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_UNEVALUATED = ("unevaluatedItems", "unevaluatedProperties")
"""Checked by jsonschema in a time that grows with the square of what there is."""
_REFUSED = ("patternProperties",)
"""Checked by jsonschema with Python's backtracking expressions, also on behalf of `additionalProperties`."""


class Unusable(ValueError):
    """A definition that cannot be used; says why, in one line."""


def checker(schema: Schema) -> Validator:
    """Make what checks data against a schema.

    Raises:
        Unusable: If the schema is not valid, refers outside itself, unfolds into too much or has a pattern that cannot
            be matched in linear time.
    """
    _check_size(schema)
    base = validator_for(schema, default=Draft202012Validator)
    try:
        base.check_schema(dict(schema))
    except SchemaError as error:
        raise Unusable(f"the schema is not valid: {str(error.message)[:_LONGEST_PROBLEM]}") from None
    bounded = {word: _few(word, base.VALIDATORS[word]) for word in _UNEVALUATED if word in base.VALIDATORS}
    own = {"pattern": _pattern, "uniqueItems": _unique, **bounded}
    made: Validator = extend(base, own)(schema, registry=Registry())  # type: ignore[no-untyped-call]
    return made


def problem(check: Validator, data: Any) -> str:  # noqa: ANN401 - JSON data
    """What is wrong with some data, in one line; empty if it fits."""
    try:
        error = best_match(check.iter_errors(data))
    except (Unresolvable, RecursionError) as raised:
        return f"cannot be checked: {type(raised).__name__}"
    if error is None:
        return ""
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    told = " ".join(str(error.message).split())
    return f"{where.removeprefix('.') + ': ' if where else ''}{told[:_LONGEST_PROBLEM]}"


def misfit(check: Validator, data: Any) -> str:  # noqa: ANN401 - JSON data
    """Which part of the schema some data does not fit, without a word of the data; empty if it fits."""
    try:
        error = best_match(check.iter_errors(data))
    except (Unresolvable, RecursionError) as raised:
        return type(raised).__name__
    return "" if error is None else ".".join(map(str, error.absolute_schema_path))


def resolve(schema: Schema, root: Schema) -> Schema:
    """A schema, or what it refers to within the root; as it is where a reference leads to nothing that is known."""
    for _ in range(_DEEPEST):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        found = _target(reference, root)
        if found is None:
            return schema
        schema = {**found, **{name: value for name, value in schema.items() if name != "$ref"}}
    return schema


def _target(reference: str, root: Schema) -> Schema | None:
    if not reference.startswith("#/"):
        return None
    found: Any = root
    for part in reference[2:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found if isinstance(found, Mapping) else None


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern is found in a text, in linear time.

    Raises:
        Unusable: If the pattern needs an engine that backtracks.
    """
    return _engine(pattern).isinstance_python(text)


@lru_cache(2_000)
def _engine(pattern: str) -> SchemaValidator:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern))
    except PatternError:
        raise Unusable(f"the pattern `{pattern[:80]}` cannot be matched in linear time") from None


def _pattern(_check: Validator, pattern: str, data: object, _schema: Schema) -> Iterator[ValidationError]:
    if isinstance(data, str) and not matches(pattern, data):
        yield ValidationError(f"does not match `{pattern[:80]}`")


def _unique(_check: Validator, wanted: object, data: object, _schema: Schema) -> Iterator[ValidationError]:
    """As the standard has it, in a time that grows with the number of items; jsonschema's own compares each two."""
    if wanted is True and isinstance(data, list):
        seen = {_same(item) for item in data}
        if len(seen) < len(data):
            yield ValidationError("has non-unique elements")


def _same(data: object) -> Hashable:
    """What equal values of JSON have in common: 1 is 1.0, and not true (JSON Schema 2020-12 core, section 4.2.2)."""
    if isinstance(data, list):
        return ("list", *map(_same, data))
    if isinstance(data, Mapping):
        return "object", frozenset((name, _same(value)) for name, value in data.items())
    return ("boolean" if isinstance(data, bool) else "plain"), data


def _few(word: str, standard: Callable[..., Iterator[ValidationError]]) -> Callable[..., Iterator[ValidationError]]:
    def checked(check: Validator, wanted: object, data: object, schema: Schema) -> Iterator[ValidationError]:
        if isinstance(data, (list, Mapping)) and len(data) > _MOST_UNEVALUATED:
            yield ValidationError(f"more than {_MOST_UNEVALUATED} entries cannot be checked against `{word}`")
        else:
            yield from standard(check, wanted, data, schema)

    return checked


def _check_size(schema: Schema) -> None:
    """Unfold the schema, references included, as far as checking data would.

    Raises:
        Unusable: If that is too much, or leads out of the schema.
    """
    left = _MOST_NODES
    todo: list[tuple[object, int, frozenset[str]]] = [(schema, 0, frozenset())]
    while todo:
        node, depth, within = todo.pop()
        left -= 1
        if left < 0 or depth > _DEEPEST:
            raise Unusable("the schema is too large once its references are followed")
        if isinstance(node, list):
            todo += ((item, depth + 1, within) for item in node)
        elif isinstance(node, Mapping):
            _check_words(node)
            todo += ((value, depth + 1, within) for value in node.values())
            for reference in _references(node):
                if reference not in within:
                    todo.append((_target(reference, schema), depth + 1, within | {reference}))
    try:
        json.dumps(schema, allow_nan=False)
    except ValueError:
        raise Unusable("the schema holds a number that JSON has not") from None


def _check_words(node: Schema) -> None:
    for name in _REFUSED:
        if isinstance(node.get(name), Mapping):
            raise Unusable(f"`{name}` is not supported")
    for name in ("anyOf", "oneOf", "allOf"):
        if isinstance(choices := node.get(name), list) and not all(isinstance(each, Mapping) for each in choices):
            raise Unusable(f"`{name}` with true or false is not supported")
    if isinstance(pattern := node.get("pattern"), str):
        _engine(pattern)


def _references(node: Schema) -> Iterator[str]:
    for name in _REFERENCES:
        if isinstance(reference := node.get(name), str):
            if not reference.startswith("#"):
                raise Unusable(f"the reference `{reference[:80]}` leads out of the schema")
            yield reference
