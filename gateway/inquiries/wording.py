"""How a client is asked what an upstream server wants to know: it is said who asks, and nothing in its words is live.

The gateway's own questions begin with the tool that waits; whatever a server writes stands behind the sentence that
says whose words they are.
"""

from collections.abc import Iterator
from typing import Any

import mcp.types as wire

from connectors.asking import Passed, Question
from gateway.results.defusing import inert
from gateway.visible_text import pieces, visible

_LABELS = frozenset({"title", "description"})


def who_asks(area: str, tool: str) -> str:
    """The sentence in front of a server's words."""
    return (
        f"The server `{area}` asks this in the course of `{tool}`. These are its words, not Remit's, and what you "
        "answer goes to it:"
    )


def request_for(question: Question, area: str, tool: str, elicitation_id: str | None) -> wire.InputRequest:
    """A question as the client gets it.

    Args:
        question: What is asked.
        area: Whose server asks.
        tool: The tool that was called.
        elicitation_id: Names a page up to 2025-11-25; None later.
    """
    params, who = question.params, who_asks(area, tool)
    match question.kind:
        case Passed.FORM:
            schema = _labelled(params["requestedSchema"])
            message = f"{who} {_line(params['message'])}"
            return wire.ElicitRequest(params=wire.ElicitRequestFormParams(message=message, requested_schema=schema))
        case Passed.PAGE:
            message, url = f"{who} {_line(params['message'])}", params["url"]
            return wire.ElicitRequest(
                params=wire.ElicitRequestURLParams(message=message, url=url, elicitation_id=elicitation_id)
            )
        case Passed.SAMPLING:
            return _sampling(question, who)
        case _:
            return wire.ListRootsRequest()


def words_of(question: Question) -> Iterator[str]:
    """The server's words that a client sees in a question."""
    yield from _texts(dict(question.params))


def _sampling(question: Question, who: str) -> wire.CreateMessageRequest:
    params = question.params
    messages = [
        wire.SamplingMessage(role=each["role"], content=wire.TextContent(text=harmless(each["content"]["text"])))
        for each in params["messages"]
    ]
    system = harmless(params.get("systemPrompt", ""))
    return wire.CreateMessageRequest(
        params=wire.CreateMessageRequestParams(
            messages=messages,
            max_tokens=params["maxTokens"],
            system_prompt=f"{who}\n{system}" if system else f"{who} the messages below.",
            temperature=params.get("temperature"),
            include_context="none",
        )
    )


def _labelled(schema: Any) -> Any:  # noqa: ANN401 - JSON
    """A form's schema in which no label is alive; its values stay, since they are what is answered."""
    if isinstance(schema, list):
        return [_labelled(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _line(each) if name in _LABELS and isinstance(each, str) else _labelled(each)
        for name, each in schema.items()
    }


def _line(words: str) -> str:
    return inert(visible(words))[0]


def harmless(words: str) -> str:
    """A server's words, several lines of them, with what hides in them written out and no link in them alive."""
    return inert("".join(piece.shown for piece in pieces(words)))[0]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inside in value.values():
            yield from _texts(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from _texts(inside)
