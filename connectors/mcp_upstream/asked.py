"""What a server asks of the client that made a call: checked and bounded, and what it is given for an answer."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import mcp.types as wire
from pydantic import ValidationError

from connectors.asking import Given, LacksCapability, Passed, Question
from connectors.mcp_upstream.declaration import Server
from connectors.mcp_upstream.results import NotData, plain, text
from connectors.mcp_upstream.schema import Unusable, checker

_MOST_QUESTIONS = 8
_MOST_FIELDS = 30
_MOST_MESSAGES = 50
_MOST_TOKENS = 4_096
_LONGEST = 20_000
_LONGEST_NAME = 100
_LONGEST_MESSAGE = 2_000
_FIELD_TYPES = frozenset({"string", "number", "integer", "boolean", "array"})
_CAPABILITIES = {
    "sampling": frozenset({Passed.SAMPLING}),
    "roots": frozenset({Passed.ROOTS}),
    "elicitation": frozenset({Passed.FORM, Passed.PAGE}),
}


class NotPassed(Exception):
    """A question goes to nobody; says why, in words of the gateway."""


def questions(
    requests: Mapping[str, wire.InputRequest], server: Server, kinds: frozenset[Passed]
) -> dict[str, Question]:
    """Read what a server wants to know before it goes on.

    Args:
        requests: What it asks, by its names for it.
        server: The server, whose file names the hosts of pages.
        kinds: What may be asked in this call.

    Raises:
        NotPassed: If any of it goes to nobody: a call cannot go on with half of the answers.
    """
    if not requests or len(requests) > _MOST_QUESTIONS:
        raise NotPassed(
            f"it asks {len(requests)} things at once: at least 1 and at most {_MOST_QUESTIONS} are passed on"
        )
    if any(len(name) > _LONGEST_NAME or not name.isprintable() for name in requests):
        raise NotPassed("the name of a question is too long or holds what cannot be seen")
    return {name: question(request, server, kinds) for name, request in requests.items()}


def question(request: wire.InputRequest, server: Server, kinds: frozenset[Passed]) -> Question:
    """Read one question.

    Raises:
        NotPassed: If it goes to nobody.
    """
    kind = _kind(request)
    if kind not in kinds:
        raise NotPassed(f"it asks for `{kind}`, which its file does not pass on or the calling client cannot do")
    try:
        params = plain(_params(request, server))
    except NotData as error:
        raise NotPassed(f"it asks for `{kind}`, and {error}") from None
    if len(json.dumps(params)) > _LONGEST:
        raise NotPassed(f"it asks for `{kind}` with more than {_LONGEST} characters")
    return Question(kind, params)


def _kind(request: wire.InputRequest) -> Passed:
    if isinstance(request, wire.ElicitRequest):
        return Passed.PAGE if isinstance(request.params, wire.ElicitRequestURLParams) else Passed.FORM
    return Passed.SAMPLING if isinstance(request, wire.CreateMessageRequest) else Passed.ROOTS


def _params(request: wire.InputRequest, server: Server) -> dict[str, Any]:
    if isinstance(request, wire.CreateMessageRequest):
        return _sampling(request.params)
    if isinstance(request, wire.ListRootsRequest):
        return {}
    if isinstance(request.params, wire.ElicitRequestURLParams):
        return {"message": request.params.message[:_LONGEST_MESSAGE], "url": _page(request.params.url, server)}
    schema = request.params.requested_schema
    _check_form(schema)
    return {"message": request.params.message[:_LONGEST_MESSAGE], "requestedSchema": schema}


def _page(url: str, server: Server) -> str:
    """A page of a host that the file names: what a user opens must not be the server's free choice."""
    try:
        parts = urlsplit(url)
        is_plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
        is_named = parts.scheme == "https" and parts.netloc in server.pages
    except ValueError:
        is_plain = is_named = False
    if not (is_plain and is_named):
        raise NotPassed("it asks to open a page that is not `https` of a host in its file's `pages`")
    return url


def _check_form(schema: Mapping[str, Any]) -> None:
    """A flat form (MCP 2025-11-25, "Elicitation", requested schema) in which nothing hides."""
    fields = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(fields, dict) or len(fields) > _MOST_FIELDS:
        raise NotPassed(f"its form is no flat object of at most {_MOST_FIELDS} fields")
    if not all(isinstance(field, dict) and field.get("type") in _FIELD_TYPES for field in fields.values()):
        raise NotPassed("its form has a field that is neither text, number, yes or no, nor a choice")
    if not all(each.isprintable() for each in _texts(schema)):
        raise NotPassed("its form holds characters that nobody would see")
    try:
        checker(schema)
    except Unusable as error:
        raise NotPassed(f"its form cannot be checked: {error}") from None


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inside in value.items():
            yield str(name)
            yield from _texts(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _texts(inside)


def _sampling(asked: wire.CreateMessageRequestParams) -> dict[str, Any]:
    """Texts only: no tools, and no context of other servers, whatever is asked for."""
    if asked.tools or asked.tool_choice or len(asked.messages) > _MOST_MESSAGES:
        raise NotPassed(f"it asks the client's model with tools, or with more than {_MOST_MESSAGES} messages")
    messages = [
        {"role": each.role, "content": {"type": "text", "text": block.text}}
        for each in asked.messages
        for block in each.content_as_list
        if isinstance(block, wire.TextContent)
    ]
    if len(messages) != sum(len(each.content_as_list) for each in asked.messages):
        raise NotPassed("it asks the client's model with something that is no text")
    given = {"systemPrompt": asked.system_prompt, "temperature": asked.temperature}
    return {
        "messages": messages,
        "maxTokens": max(1, min(asked.max_tokens, _MOST_TOKENS)),
        **{name: value for name, value in given.items() if value is not None},
    }


def answer(given: Given) -> wire.ElicitResult | wire.CreateMessageResult | wire.ListRootsResult | None:
    """What the server is told for a question; None if the client refused and the protocol has no word for that."""
    if given.result is None:
        return wire.ElicitResult(action="cancel") if given.kind in {Passed.FORM, Passed.PAGE} else None
    if given.kind is Passed.SAMPLING:
        return wire.CreateMessageResult.model_validate(given.result, by_name=False)
    if given.kind is Passed.ROOTS:
        return wire.ListRootsResult.model_validate(given.result, by_name=False)
    return wire.ElicitResult.model_validate(given.result, by_name=False)


def lacking(error: wire.ErrorData, declared: frozenset[Passed], kinds: frozenset[Passed]) -> LacksCapability | None:
    """That the server needs what the client cannot do, if its file would pass that on."""
    if error.code != wire.MISSING_REQUIRED_CLIENT_CAPABILITY:
        return None
    try:
        needed = wire.MissingRequiredClientCapabilityErrorData.model_validate(error.data).required_capabilities
    except ValidationError:
        return None
    names = {name for name in _CAPABILITIES if getattr(needed, name) is not None}
    missing = frozenset(kind for name in names for kind in _CAPABILITIES[name]) & declared - kinds
    if not missing:
        return None
    return LacksCapability(f"the server needs a client that can do {', '.join(map(text, sorted(names)))}", missing)
