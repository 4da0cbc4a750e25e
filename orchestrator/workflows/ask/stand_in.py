"""Rules that answer in the place of a model: they quote the sentence with the most words of the question."""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.fence import unfence

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import ModelRequestParameters

_LEAST, _MOST = 8, 500
_WORD = re.compile(r"\w{4,}")


def respond(_prompt: str, messages: "Sequence[ModelMessage]", parameters: "ModelRequestParameters") -> "ModelResponse":
    """Answer one request of the workflow's prompt."""
    from pydantic_ai.messages import ModelResponse, ToolCallPart, UserPromptPart

    parts = [part.content for message in messages for part in message.parts if isinstance(part, UserPromptPart)]
    text = parts[0] if isinstance(parts[0], str) else str(parts[0][0])
    data: dict[str, Any] = unfence(json.loads(text.partition("DATA\n")[2]))
    return ModelResponse(parts=[ToolCallPart(parameters.output_tools[0].name, {"claims": _claims(data)})])


def _claims(data: dict[str, Any]) -> list[dict[str, str]]:
    asked = set(_WORD.findall(data["question"].lower()))
    sentences = [
        (sentence, passage["document_id"])
        for passage in data["passages"]
        for sentence in re.split(r"(?<=[.!?])\s+|\n+", passage["text"])
        if _LEAST <= len(sentence) <= _MOST
    ]
    told = {each: len(asked & set(_WORD.findall(each[0].lower()))) for each in sentences}
    best = max(told, key=lambda each: told[each], default=None)
    if best is None or not told[best]:
        return []
    return [{"text": best[0], "document_id": best[1], "quote": best[0]}]
