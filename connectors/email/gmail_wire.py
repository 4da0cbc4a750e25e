"""What the Gmail API says and takes, as far as it is used here (discovery document `gmail:v1`)."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Header(_Wire):
    name: str
    value: str


class Part(_Wire):
    """A part of a message; only a container has parts."""

    mime_type: str = "text/plain"
    filename: str = ""
    headers: list[Header] = []
    parts: list["Part"] = []


class Named(_Wire):
    """A message as a list names it."""

    id: str = Field(pattern=r"^[0-9a-f]{4,32}$")
    thread_id: str = Field(pattern=r"^[0-9a-f]{4,32}$")


class Message(Named):
    label_ids: list[str] = []
    snippet: str = ""
    internal_date: int = 0
    size_estimate: int = 0
    raw: str = ""
    payload: Part = Part()

    @property
    def arrived(self) -> datetime:
        return datetime.fromtimestamp(self.internal_date / 1000, UTC)


class MessageList(_Wire):
    messages: list[Named] = []
    next_page_token: str = ""


class Thread(_Wire):
    id: str
    messages: list[Message] = []


class Draft(_Wire):
    id: str
    message: Message


class NamedDraft(_Wire):
    id: str
    message: Named


class DraftList(_Wire):
    drafts: list[NamedDraft] = []


class Profile(_Wire):
    email_address: str


def explain(body: object) -> str:
    """What an error says."""
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("message", "")) if isinstance(error, dict) else ""
