"""What Request Tracker's REST 2.0 sends: of lists, the fields that have an alias here, which it must be asked for.

What is not there comes as an empty text.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AwareDatetime, BeforeValidator, Field

from connectors.vendor.sent import Numbered, Sent, Text

M = TypeVar("M", bound=Sent)

_BY_MAIL = re.compile(r"^X-RT-Interface: *Email *$", re.IGNORECASE | re.MULTILINE)
_MESSAGES = frozenset({"Create", "Correspond", "Comment"})
_NOBODY = "Nobody"

_NothingIsEmpty = BeforeValidator(lambda value: value or [])
_Number = Annotated[int, BeforeValidator(lambda value: value or 0)]


class Items(Sent, Generic[M]):
    """A page of a list. How many pages there are is told of some lists."""

    items: list[M]
    pages: float | None = None

    def is_last(self, number: int) -> bool:
        """Whether it is surely the last: a page may lack what its reader may not see, but for an empty one."""
        return not self.items or bool(self.pages and number >= self.pages)


class User(Sent):
    id: str
    address: Text = Field(default="", alias="EmailAddress")
    real_name: Text = Field(default="", alias="RealName")

    @property
    def called(self) -> str:
        return "" if self.id == _NOBODY else self.address or self.id


class CustomField(Sent):
    name: str = ""
    values: list[Any] = Field(default=[])


class Member(Numbered):
    """A ticket, and the one that it was merged into; itself if it was not."""

    survivor: int = Field(alias="EffectiveId")


class Row(Member):
    """A ticket as a list of tickets has it."""

    subject: Text = Field(alias="Subject")
    status: str = Field(alias="Status")
    priority: _Number = Field(alias="Priority")
    requestors: Annotated[list[User], _NothingIsEmpty] = Field(alias="Requestor")
    owner: User = Field(alias="Owner")
    fields: Annotated[list[CustomField], _NothingIsEmpty] = Field(alias="CustomFields")
    created: AwareDatetime = Field(alias="Created")
    updated: AwareDatetime = Field(alias="LastUpdated")

    def values(self, field: str) -> list[str]:
        """The values of a custom field."""
        return [str(value) for each in self.fields if each.name == field for value in each.values]


class Place(Numbered):
    """Where a ticket stands among those that changed last."""

    updated: AwareDatetime = Field(alias="LastUpdated")

    @property
    def rank(self) -> tuple[datetime, int]:
        return self.updated, self.id


class Transaction(Numbered):
    """One thing that happened to a ticket."""

    type: str = Field(alias="Type")
    ticket: int = Field(alias="ObjectId")
    creator: User = Field(alias="Creator")
    at: AwareDatetime = Field(alias="Created")

    @property
    def is_message(self) -> bool:
        return self.type in _MESSAGES


class Part(Numbered):
    """One part of a message, without its content."""

    transaction: int = Field(alias="TransactionId")
    type: Text = Field(alias="ContentType")
    length: _Number = Field(alias="ContentLength")
    filename: Text = Field(alias="Filename")
    headers: Text = Field(alias="Headers")

    @property
    def is_text(self) -> bool:
        return self.type in {"text/plain", "text/html"} and not self.filename and self.length > 0

    @property
    def came_by_mail(self) -> bool:
        """Whether it is the top of a message from the mail gateway, which writes that into a header of its own."""
        return bool(_BY_MAIL.search(self.headers))


class Content(Numbered):
    content: Text = Field(alias="Content")


class Person(Sent):
    privileged: int = Field(alias="Privileged")


class Queue(Sent):
    fields: Annotated[list[CustomField], _NothingIsEmpty] = Field(alias="TicketCustomFields")


class System(Sent):
    version: str = Field(alias="Version")
