"""What a request is, told apart from any other, and how big: for keys of kept answers and for what it can cost."""

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any

from pydantic_ai.messages import ModelMessagesTypeAdapter
from pydantic_core import to_jsonable_python

from orchestrator.models.asking import Ask

_VARYING = ("timestamp", "run_id", "conversation_id", "usage", "provider_response_id")
_IMAGE_TOKENS = 10_000
_FRAME_TOKENS = 1_000
"""What providers put around the tools and the form of the output."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """A request.

    Args:
        text: The same for the same request, whenever it is made and whatever the run's marks are.
        most: Tokens that it cannot be more than: none has less than a byte.
        likely: Tokens that it may be.
        files: How many images and documents are in it.
    """

    text: str
    most: int
    likely: int
    files: int

    def key(self, *names: str) -> str:
        """A key for it and some names."""
        return hashlib.sha256(json.dumps([*names, self.text]).encode()).hexdigest()


def weigh(ask: Ask) -> Weighed:
    """Weigh a request."""
    messages: list[dict[str, Any]] = ModelMessagesTypeAdapter.dump_python(ask.messages, mode="json")
    files: list[dict[str, Any]] = []
    for message in messages:
        for part in (message, *message["parts"]):
            for name in _VARYING:
                part.pop(name, None)
            if isinstance(content := part.get("content"), list) and part["part_kind"] == "user-prompt":
                files += [
                    item for item in content if isinstance(item, dict) and item["kind"] not in ("text", "cache-point")
                ]
    images = [item for item in files if "image" in f"{item['kind']} {item.get('media_type', '')}"]
    for image in images:
        image["data"] = hashlib.sha256(str(image.get("data")).encode()).hexdigest()
    parameters = {
        each.name: getattr(ask.parameters, each.name) for each in fields(ask.parameters) if each.name[0] != "_"
    }
    parameters = {name: sorted(value) if isinstance(value, set) else value for name, value in parameters.items()}
    whole = [messages, parameters, {**(ask.settings or {})}]
    text = json.dumps(to_jsonable_python(whole, fallback=repr), sort_keys=True, ensure_ascii=False)
    most = len(text.encode()) + len(images) * _IMAGE_TOKENS + _FRAME_TOKENS
    # What differs by run alone gives way to what no JSON text has in it.
    same = text.replace(ask.mark, "\0") if ask.mark else text
    return Weighed(same, most, most // 3 if not images else most // 2, len(files))
