"""Rules that answer in the place of a model."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.workflows.stand_ins import answered, asked

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import ModelRequestParameters

_MOST = 12


def respond(
    prompt: str,  # noqa: ARG001 - there is one
    messages: "Sequence[ModelMessage]",
    parameters: "ModelRequestParameters",
) -> "ModelResponse":
    """Answer one request of the workflow's prompt."""
    return answered(parameters, {"statements": list(_statements(asked(messages)))[:_MOST]})


def _statements(data: dict[str, Any]) -> Iterator[dict[str, Any]]:
    account = data["account"]
    yield _said(f"{account['name']} is {account['status']}.", account["id"], account["name"], account["status"])
    for line in data["changes"]["lines"][:3]:
        yield _said("The document says something else now than before; see the change below.", "changes", line[:400])
    for each in [one for one in data["tickets"] if one["status"] not in ("solved", "closed")][:3]:
        yield _said(
            f"A ticket is {each['status']}: {_plain(each['subject'])}", each["id"], each["subject"], each["status"]
        )
    for each in [one for one in data["orders"] if one["status"] in ("placed", "shipped")][:3]:
        yield _said(f"Order {each['number']} is {each['status']}.", each["id"], each["number"], each["status"])
    for each in [one for one in data["deals"] if one["stage"] not in ("won", "lost")][:3]:
        yield _said(f"A deal is in stage {each['stage']}: {_plain(each['title'])}", each["id"], each["title"])


def _said(text: str, record: str, *quotes: str) -> dict[str, Any]:
    return {"text": text[:400], "evidence": [{"record_id": record, "quote": each[:400]} for each in quotes if each]}


def _plain(text: str) -> str:
    return " ".join(text.split())[:200]
