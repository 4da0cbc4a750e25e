"""A tool as the gateway knows it, made of what a server defines and what the operator declares."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from jsonschema.protocols import Validator
from pydantic import Field

from connectors.contract import (
    MAX_TOOL_NAME,
    Author,
    Confidentiality,
    Effect,
    Sink,
    Tool,
    WrittenBy,
)
from connectors.fields import Address, OneLine
from connectors.mcp_upstream.declaration import Argument, DeclaredTool, Result, Server
from connectors.mcp_upstream.definition import MAX_DEFINITION_BYTES, Definition
from connectors.mcp_upstream.inputs import Paths, input_model
from connectors.mcp_upstream.results import UpstreamResult, result_model
from connectors.mcp_upstream.schema import Schema, Unusable, checker, resolve
from connectors.toml_files import near

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_]")
_HASH_DIGITS = 8
_FORMATS = {
    "email": Sink.RECIPIENT,
    "idn-email": Sink.RECIPIENT,
    "uri": Sink.URL,
    "uri-reference": Sink.URL,
    "iri": Sink.URL,
}
_ONE_LINE = frozenset({Sink.RECIPIENT, Sink.URL, Sink.IDENTIFIER})
_STRUCTURED = "structured."


@dataclass(frozen=True)
class UpstreamTool:
    """A tool with the definition that it was made of."""

    tool: Tool
    definition: Definition
    declared: DeclaredTool
    result: type[UpstreamResult]
    result_check: Validator | None


def name_here(server: Server, name: str) -> str:
    """The name that a server's tool has here: with the prefix, and with a hash where a part of it does not fit."""
    prefix = f"{server.prefix}_" if server.prefix else ""
    plain = _NOT_IN_A_NAME.sub("_", name)
    if plain == name and len(prefix + name) <= MAX_TOOL_NAME and name:
        return prefix + name
    mark = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:_HASH_DIGITS]
    return f"{(prefix + plain)[: MAX_TOOL_NAME - _HASH_DIGITS - 1]}_{mark}"


def make_tool(server: Server, definition: Definition) -> UpstreamTool:
    """Make a tool.

    Args:
        server: Its server, whose file declares it.
        definition: What the server says of it, as a person accepted it.

    Raises:
        Unusable: If it is not declared, its schemas cannot be used, or the declaration speaks of what is not there.
    """
    declared = server.tools.get(definition.name)
    if declared is None:
        raise Unusable("not declared in the server's file: nobody has said what it does")
    if len(definition.text()) > MAX_DEFINITION_BYTES:
        raise Unusable(f"the definition has more than {MAX_DEFINITION_BYTES} bytes")
    name = name_here(server, definition.name)
    result_check = None if definition.output_schema is None else checker(definition.output_schema)
    gives = result_model(name, definition.output_schema)
    texts = _Texts(definition.input_schema, declared)
    made, paths = input_model(name, definition.input_schema, checker(definition.input_schema), texts.annotation)
    _refuse_unknown("arguments", declared.arguments, paths.by_wire)
    _refuse_unknown("output", declared.output, _output_paths(definition.output_schema))
    results = {f"{_STRUCTURED}{path}": result for path, result in declared.output.items()}
    results |= {"content[].text": declared.text, "content[].uri": Result(), "content[].media_type": Result()}
    tool = Tool(
        name=name,
        area=server.name,
        title=definition.title or str(definition.annotations.get("title") or "") or definition.name,
        description=definition.description,
        effect=declared.effect,
        idempotency=declared.kept_from_doubling,
        input=made,
        output=gives,
        sinks=dict(_sinks(declared, texts.schemas, paths)),
        authors={path: result.author for path, result in results.items()} | {"notes[]": Author.SYSTEM},
        written_by={path: _written_by(result) for path, result in results.items() if result.written_by},
        confidentiality={path: result.confidentiality for path, result in results.items()},
        kept=frozenset(path for path, result in results.items() if result.kept),
        owners=frozenset(path for path, result in results.items() if result.owner),
        namespaces={path: result.namespace for path, result in results.items() if result.namespace}
        | {paths.by_wire[path]: given.namespace for path, given in declared.arguments.items() if given.namespace},
        personal_input=frozenset(paths.by_wire[path] for path, given in declared.arguments.items() if given.personal),
        personal_output=frozenset(path for path, result in results.items() if result.personal),
        passes=frozenset(declared.passes),
        clearance=server.clearance or Confidentiality.PUBLIC,
    )
    return UpstreamTool(tool, definition, declared, gives, result_check)


class _Texts:
    """Makes the types of text arguments; remembers their schemas."""

    def __init__(self, root: Schema, declared: DeclaredTool) -> None:
        self._root = root
        self._declared = declared
        self.schemas: dict[str, Schema] = {}

    def annotation(self, path: str, schema: Schema) -> Any:  # noqa: ANN401 - an annotation
        self.schemas[path] = schema
        given = self._declared.arguments.get(path, Argument())
        length = Field(min_length=_length(schema, "minLength"), max_length=_length(schema, "maxLength"))
        if given.format == "email" or schema.get("format") == "email":
            return Annotated[Address, length]
        if given.sink in _ONE_LINE or _FORMATS.get(str(schema.get("format"))) is Sink.URL:
            # A line break in an address or a URL would be another header, or another request.
            return Annotated[str, length, OneLine]
        return Annotated[str, length]


def _length(schema: Schema, word: str) -> int | None:
    value = schema.get(word)
    return value if isinstance(value, int) and value >= 0 else None


def _sinks(declared: DeclaredTool, schemas: Mapping[str, Schema], paths: Paths) -> Iterator[tuple[str, Sink]]:
    """What each argument lets out: as declared, or the most that its schema allows."""
    own_texts = paths.texts
    for wire, own in paths.by_wire.items():
        given = declared.arguments.get(wire, Argument()).sink
        if isinstance(given, Sink):
            yield own, given
        elif given is None and own in own_texts:
            by_format = _FORMATS.get(str(schemas.get(wire, {}).get("format")))
            if by_format is Sink.URL or declared.effect is not Effect.READ:
                yield own, by_format or Sink.CONTENT


def _written_by(result: Result) -> WrittenBy:
    words: dict[str, object] = {"true": True, "false": False}
    return WrittenBy(tuple((words.get(value, value), author) for value, author in result.written_by.items()))


def _refuse_unknown(table: str, declared: Mapping[str, object], known: Mapping[str, Any] | None) -> None:
    for path in declared:
        if known is not None and path not in known:
            raise Unusable(f"`{table}.{path}` is declared, and the tool has no such path{near(path, known)}")


def _output_paths(schema: Schema | None) -> dict[str, None] | None:
    """The paths that a result has by its schema, or None where that is not known."""
    if schema is None:
        return None
    found: dict[str, None] = {}
    return found if _walk(schema, schema, "", found, 0) else None


_DEEPEST = 8


def _walk(schema: Schema, root: Schema, path: str, found: dict[str, None], depth: int) -> bool:
    """Note every path below a schema; False if there may be others."""
    schema = resolve(schema, root)
    if depth > _DEEPEST:
        return False
    if path:
        found[path] = None
    for word in ("anyOf", "oneOf", "allOf"):
        if not all(
            _walk(each, root, path, found, depth + 1) for each in schema.get(word, ()) if isinstance(each, Mapping)
        ):
            return False
    properties = schema.get("properties", {})
    inner = [(each, f"{path}.{name}" if path else name) for name, each in properties.items()]
    if isinstance(schema.get("items"), Mapping):
        inner.append((schema["items"], f"{path}[]"))
    known = all(_walk(each, root, where, found, depth + 1) for each, where in inner if isinstance(each, Mapping))
    is_open = schema.get("type") == "object" and not properties
    return known and not is_open
