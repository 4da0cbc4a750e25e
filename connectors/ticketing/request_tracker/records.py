"""What Request Tracker's REST 2.0 sends, and which fields to ask it for. What is not there comes as an empty text."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

_BY_MAIL = re.compile(r"^X-RT-Interface: *Email *$", re.IGNORECASE | re.MULTILINE)
_MESSAGES = frozenset({"Create", "Correspond", "Comment"})

_NothingIsEmpty = BeforeValidator(lambda value: value or [])
_Text = Annotated[str, BeforeValidator(lambda value: value or "")]
_Number = Annotated[int, BeforeValidator(lambda value: value or 0)]


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True)


class User(_Sent):
    id: str
    address: _Text = Field(default="", alias="EmailAddress")
    real_name: _Text = Field(default="", alias="RealName")


class FieldValues(_Sent):
    name: str
    values: list[Any]


class Row(_Sent):
    """A ticket as a list of tickets has it."""

    FIELDS: ClassVar[Mapping[str, str]] = {
        "fields": "EffectiveId,Subject,Status,Priority,Requestor,Owner,CustomFields,Created,LastUpdated",
        "fields[Requestor]": "EmailAddress,RealName",
        "fields[Owner]": "EmailAddress",
    }

    id: int
    survivor: int = Field(alias="EffectiveId")
    subject: _Text = Field(alias="Subject")
    status: str = Field(alias="Status")
    priority: _Number = Field(alias="Priority")
    requestors: Annotated[list[User], _NothingIsEmpty] = Field(alias="Requestor")
    owner: User = Field(alias="Owner")
    fields: Annotated[list[FieldValues], _NothingIsEmpty] = Field(alias="CustomFields")
    created: AwareDatetime = Field(alias="Created")
    updated: AwareDatetime = Field(alias="LastUpdated")

    def values(self, field: str) -> list[str]:
        """The values of a custom field."""
        return [str(value) for each in self.fields if each.name == field for value in each.values]


class Member(_Sent):
    """A ticket, and the one that it was merged into; itself if it was not."""

    FIELDS: ClassVar[Mapping[str, str]] = {"fields": "EffectiveId"}

    id: int
    survivor: int = Field(alias="EffectiveId")


class Place(_Sent):
    """Where a ticket stands among those that changed last."""

    FIELDS: ClassVar[Mapping[str, str]] = {"fields": "LastUpdated"}

    id: int
    updated: AwareDatetime = Field(alias="LastUpdated")

    @property
    def rank(self) -> tuple[datetime, int]:
        return self.updated, self.id


class Places(_Sent):
    items: list[Place]
    pages: float


class Transaction(_Sent):
    """One thing that happened to a ticket."""

    FIELDS: ClassVar[Mapping[str, str]] = {"fields": "Type,ObjectId,Creator,Created", "fields[Creator]": "EmailAddress"}

    id: int
    type: str = Field(alias="Type")
    ticket: int = Field(alias="ObjectId")
    creator: User = Field(alias="Creator")
    at: AwareDatetime = Field(alias="Created")

    @property
    def is_message(self) -> bool:
        return self.type in _MESSAGES


class Part(_Sent):
    """One part of a message, without its content."""

    FIELDS: ClassVar[Mapping[str, str]] = {"fields": "TransactionId,ContentType,ContentLength,Filename,Headers"}

    id: int
    transaction: int = Field(alias="TransactionId")
    type: _Text = Field(alias="ContentType")
    length: _Number = Field(alias="ContentLength")
    filename: _Text = Field(alias="Filename")
    headers: _Text = Field(alias="Headers")

    @property
    def is_text(self) -> bool:
        return self.type in {"text/plain", "text/html"} and not self.filename

    @property
    def came_by_mail(self) -> bool:
        """Whether it is the top of a message from the mail gateway, which writes that into a header of its own."""
        return bool(_BY_MAIL.search(self.headers))


class Content(_Sent):
    FIELDS: ClassVar[Mapping[str, str]] = {"fields": "Content"}

    id: int
    content: _Text = Field(alias="Content")


class Person(_Sent):
    privileged: int = Field(alias="Privileged")


class FieldName(_Sent):
    name: str = ""


class Queue(_Sent):
    fields: Annotated[list[FieldName], _NothingIsEmpty] = Field(alias="TicketCustomFields")


class System(_Sent):
    version: str = Field(alias="Version")


class Numbered(_Sent):
    """Anything of which the number alone is wanted."""

    id: int
