"""What a client can be asked, and what its answers are: of the kind that was asked for, and fitting, or none."""

from collections.abc import Mapping
from typing import Any

import mcp.types as wire
from mcp_types.version import is_version_at_least

from connectors.asking import Given, Passed, Question
from connectors.mcp_upstream.schema import Unusable, checker, misfit

_FORMS_SINCE = "2025-06-18"
_PAGES_SINCE = "2025-11-25"
_LONGEST_TEXT = 50_000
_MOST_ROOTS = 100
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""Of a log, from the least to the most important (RFC 5424)."""


def kinds_of(capabilities: wire.ClientCapabilities | None, version: str) -> frozenset[Passed]:
    """What a client says that it can be asked, as far as its protocol version has it."""
    if capabilities is None:
        return frozenset()
    kinds = set[Passed]()
    asked = capabilities.elicitation
    if (
        asked is not None
        and is_version_at_least(version, _FORMS_SINCE)
        and (asked.form is not None or asked.url is None)
    ):
        kinds.add(Passed.FORM)
    if asked is not None and is_version_at_least(version, _PAGES_SINCE) and asked.url is not None:
        kinds.add(Passed.PAGE)
    if capabilities.sampling is not None:
        kinds.add(Passed.SAMPLING)
    if capabilities.roots is not None:
        kinds.add(Passed.ROOTS)
    return frozenset(kinds)


def wants(level: str, least: str) -> bool:
    """Whether a client that wants a log from one level on wants a line of another."""
    return bool(least) and level in LEVELS and LEVELS.index(level) >= LEVELS.index(least)


def given(questions: Mapping[str, Question], responses: wire.InputResponses) -> dict[str, Given] | None:
    """What a client answered, of what was asked and nothing else; None if an answer is missing or does not fit."""
    answers: dict[str, Given] = {}
    for name, question in questions.items():
        response = responses.get(name)
        if response is None or (result := result_for(question, response)) is None:
            return None
        answers[name] = Given(question.kind, result)
    return answers


def result_for(question: Question, response: object) -> dict[str, Any] | None:
    """An answer in JSON, as it goes to the server: without what nobody asked for. None if it is no answer to this."""
    match question.kind, response:
        case Passed.FORM, wire.ElicitResult():
            return _form(question, response)
        case Passed.PAGE, wire.ElicitResult():
            return {"action": response.action}
        case Passed.SAMPLING, wire.CreateMessageResult() | wire.CreateMessageResultWithTools():
            return _sampled(response)
        case Passed.ROOTS, wire.ListRootsResult() if len(response.roots) <= _MOST_ROOTS:
            return {"roots": [each.model_dump(mode="json", include={"uri", "name"}) for each in response.roots]}
    return None


def _form(question: Question, response: wire.ElicitResult) -> dict[str, Any] | None:
    if response.action != "accept":
        return {"action": response.action}
    content, schema = response.content or {}, question.params["requestedSchema"]
    if content.keys() - schema["properties"].keys() or sum(len(str(each)) for each in content.values()) > _LONGEST_TEXT:
        return None
    try:
        fits = not misfit(checker(schema), content)
    except Unusable:
        return None
    return {"action": "accept", "content": dict(content)} if fits else None


def _sampled(response: wire.CreateMessageResult | wire.CreateMessageResultWithTools) -> dict[str, Any] | None:
    content = response.content
    if not isinstance(content, wire.TextContent) or len(content.text) > _LONGEST_TEXT:
        return None
    said = {"role": "assistant", "content": {"type": "text", "text": content.text}, "model": response.model[:100]}
    return said | ({"stopReason": str(response.stop_reason)[:100]} if response.stop_reason else {})
