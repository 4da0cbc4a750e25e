"""What rules that answer in the place of a model share: they read what they were asked and give a typed answer."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.fence import unfence

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import ModelRequestParameters


def asked(messages: "Sequence[ModelMessage]") -> dict[str, Any]:
    """The data that a model was given, without the marks around outside text."""
    from pydantic_ai.messages import UserPromptPart

    parts = [part.content for message in messages for part in message.parts if isinstance(part, UserPromptPart)]
    texts = [part if isinstance(part, str) else str(part[0]) for part in parts]
    data: dict[str, Any] = unfence(json.loads(texts[0].partition("DATA\n")[2]))
    return data


def answered(parameters: "ModelRequestParameters", found: Mapping[str, Any]) -> "ModelResponse":
    """A model's response that gives a typed answer."""
    from pydantic_ai.messages import ModelResponse, ToolCallPart

    return ModelResponse(parts=[ToolCallPart(parameters.output_tools[0].name, dict(found))])


def said_by_outsiders(item: Mapping[str, Any]) -> str:
    """What customers wrote in a ticket or a conversation, as it was read."""
    if "comments" in item:
        said = [each for each in item["comments"] if not each["by_staff"]] or item["comments"]
    else:
        said = [each for each in item["messages"] if each["folder"] != "sent"] or item["messages"]
    return "\n\n".join(each["body"] for each in said)
