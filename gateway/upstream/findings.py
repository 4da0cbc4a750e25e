"""What is suspicious about a definition: for whoever has to accept it. Nothing here lets one through by itself."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from connectors.contract import Effect, Tool
from connectors.mcp_upstream.declaration import Server
from connectors.mcp_upstream.definition import Definition
from connectors.mcp_upstream.schema import Unusable
from connectors.mcp_upstream.tools import make_tool, name_here
from gateway.visible_text import deceits

_LONGEST_DESCRIPTION = 1_500
_SHORTEST_NAME = 6
_TOLD = 60
# What a description has no business saying: it tells a model what to do beyond this tool, or to keep it from its user.
_TAG = r"<\s*/?\s*(important|system|instructions?|secret|hidden|admin|critical|assistant|user)\b[^>]*>"
_REVOKED = r"(previous|prior|above|earlier|other|all|any|instructions?|rules?|polic\w+)"
_TELLING = r"(tell|telling|inform|informing|mention|mentioning|show|reveal|notify|ask|asking)"
_CALLING = r"(using|calling|invoking|running|call|use|invoke)\b.{0,40}\b(tools?|functions?|any)"
_WHEN = r"(before|after|when|whenever|instead of|prior to)"
_SECRETS = r"(api[_ ]?keys?|passwords?|credentials?|private keys?|\.ssh|id_rsa|\.env\b|mcp\.json)"
_TALK = r"(system prompt|conversation history|chat history|previous messages)"
_INSTRUCTIONS = tuple(
    re.compile(pattern)
    for pattern in (
        _TAG,
        rf"\b(ignore|disregard|forget|override|bypass)\b.{{0,40}}\b{_REVOKED}\b",
        rf"\b(do not|don't|never|without)\b.{{0,30}}\b{_TELLING}\b",
        rf"\b{_WHEN}\b.{{0,40}}\b{_CALLING}\b",
        r"\b(you must|must always|always (call|use|send|include|add|pass)|from now on|your (task|instructions?))\b",
        rf"{_TALK}|{_SECRETS}",
        r"\b(bcc|blind copy|forward (it|this|all|every)|also send|send (a )?cop(y|ies))\b",
    )
)
_CARRIED = re.compile(r"https?://\S+|data:\S+|[A-Za-z0-9+/]{80,}={0,2}")


@dataclass(frozen=True)
class Finding:
    """Something suspicious.

    Args:
        where: Which part of the definition, such as `description`.
        what: What is suspicious about it, with the words in question as they are: show it with `visible_text.py`.
        forbids: Whether nobody can accept it.
    """

    where: str
    what: str
    forbids: bool = False


def findings(server: Server, definition: Definition, others: Mapping[str, Iterable[Tool]]) -> tuple[Finding, ...]:
    """Everything suspicious about a definition.

    Args:
        server: Who defines it.
        definition: The definition.
        others: The tools that there are already, by whose they are; without those of this server.
    """
    return (
        *_unusable(server, definition),
        *_shadows(server, definition, others),
        *_words(definition, others),
        *_hints(server, definition),
    )


def _unusable(server: Server, definition: Definition) -> Iterator[Finding]:
    if definition.name not in server.tools:
        yield Finding(
            "name", "not declared in the server's file, so it stays out: say there what it does", forbids=True
        )
        return
    try:
        make_tool(server, definition)
    except Unusable as error:
        yield Finding("input_schema", str(error), forbids=True)


def _shadows(server: Server, definition: Definition, others: Mapping[str, Iterable[Tool]]) -> Iterator[Finding]:
    here, title = name_here(server, definition.name), _folded(definition.title)
    for whose, tools in others.items():
        for tool in tools:
            if tool.name == here:
                yield Finding("name", f"is the name of a tool of {whose}", forbids=True)
            elif _folded(tool.name) == _folded(here):
                yield Finding("name", f"reads like `{tool.name}` of {whose}")
            if title and title == _folded(tool.title):
                yield Finding("title", f"is the title of `{tool.name}` of {whose}")


def _words(definition: Definition, others: Mapping[str, Iterable[Tool]]) -> Iterator[Finding]:
    names = {tool.name for tools in others.values() for tool in tools if len(tool.name) >= _SHORTEST_NAME}
    for where, text in texts_of(definition):
        for deceit in deceits(text):
            yield Finding(where, deceit)
        # What hides a word from a reader must not hide it from this list.
        plain = _folded(text)
        for pattern in _INSTRUCTIONS:
            if found := pattern.search(plain):
                yield Finding(where, f"reads like an instruction: `{found.group()[:_TOLD]}`")
        for name in sorted(names):
            if re.search(rf"\b{re.escape(name)}\b", plain) and name != definition.name.lower():
                yield Finding(where, f"speaks of another tool: `{name}`")
        if found := _CARRIED.search(text):
            yield Finding(where, f"carries a link or encoded text: `{found.group()[:_TOLD]}`")
        if len(text) > _LONGEST_DESCRIPTION:
            yield Finding(where, f"has {len(text)} characters")


def _hints(server: Server, definition: Definition) -> Iterator[Finding]:
    declared = server.tools.get(definition.name)
    if declared is None:
        return
    says_read_only = definition.annotations.get("readOnlyHint")
    if says_read_only is False and declared.effect is Effect.READ:
        yield Finding("annotations", "the server says that it changes something, and your file says `read`")
    if definition.annotations.get("destructiveHint") is True and declared.effect is not Effect.DELETE:
        yield Finding(
            "annotations", f"the server says that it destroys something, and your file says `{declared.effect}`"
        )


def texts_of(definition: Definition) -> Iterator[tuple[str, str]]:
    """Every text of a definition that a model could read, keys included, and where it stands."""
    yield "name", definition.name
    yield "title", definition.title
    yield "description", definition.description
    yield from _texts("input_schema", definition.input_schema)
    yield from _texts("output_schema", definition.output_schema)
    yield from _texts("annotations", definition.annotations)


def _texts(where: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        # A schema's own address is no link that anybody is led to.
        if not where.endswith((".$schema", ".$ref", ".$id")):
            yield where, value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(f"{where}[]", item)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield where, str(name)
            yield from _texts(f"{where}.{name}", part)


def _folded(text: str) -> str:
    """A text without what nobody sees, in lower case, with letters in their plain form."""
    kept = (
        each
        for each in unicodedata.normalize("NFKC", text)
        if unicodedata.category(each) not in {"Cf", "Mn", "Cc"} or each in "\n\t "
    )
    return " ".join("".join(kept).lower().split())
