"""What Zendesk's ticketing API sends."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, Field

from connectors.ticketing.tools import Comment, CommentKind, Priority, Status, TicketSummary
from connectors.vendor.ids import shown
from connectors.vendor.sent import Numbered, Sent, Text

_STATUSES: Mapping[str, Status] = {"hold": "pending"}


class User(Sent):
    id: int
    name: str = ""
    email: Text = ""
    role: str = ""


NOBODY = User(id=0)


class FieldValue(Sent):
    id: int
    value: Any = None


class TicketSent(Sent):
    id: int
    subject: Text = ""
    status: Literal["new", "open", "pending", "hold", "solved", "closed"]
    priority: Priority | None = None
    requester_id: int
    assignee_id: int | None = None
    tags: list[str] = Field(default=[])
    custom_fields: list[FieldValue] = Field(default=[])
    comment_count: int
    created_at: AwareDatetime
    updated_at: AwareDatetime

    def value(self, field: int) -> object:
        """The value of a custom field."""
        return next((each.value for each in self.custom_fields if each.id == field), None)

    def told(self, users: Mapping[int, User]) -> TicketSummary:
        """The ticket as the tools tell of it; its version is the second in which it last changed."""
        requester = users.get(self.requester_id, NOBODY)
        return TicketSummary(
            id=shown("tic", self.id),
            subject=self.subject,
            status=_STATUSES.get(self.status, self.status),
            priority=self.priority or "normal",
            requester_name=requester.name,
            requester_email=requester.email,
            assignee=_called(users.get(self.assignee_id or 0, NOBODY)),
            tags=self.tags,
            comment_count=self.comment_count,
            created_at=self.created_at,
            updated_at=self.updated_at,
            version=int(self.updated_at.timestamp()),
        )


class OneTicket(Sent):
    ticket: TicketSent
    users: list[User] = Field(default=[])


class Tickets(Sent):
    tickets: list[TicketSent]
    users: list[User] = Field(default=[])


class Created(Sent):
    """What a write answers, of which the number alone is wanted."""

    ticket: Numbered


class Via(Sent):
    channel: str | int = ""


class CommentSent(Sent):
    id: int
    author_id: int
    body: str = ""
    plain_body: str | None = None
    public: bool
    via: Via = Via()
    created_at: AwareDatetime

    def told(self, users: Mapping[int, User]) -> Comment:
        """The comment as the tools tell of it. Whoever writes mail can call themselves what they like."""
        author = users.get(self.author_id, NOBODY)
        kind: CommentKind = "public" if self.public else "internal"
        return Comment(
            id=shown("com", self.id),
            kind=kind,
            author=_called(author),
            by_staff=author.role in {"agent", "admin"} and self.via.channel != "email",
            body=(self.body if self.plain_body is None else self.plain_body).replace("\r\n", "\n"),
            at=self.created_at,
        )


class Meta(Sent):
    has_more: bool
    after_cursor: str | None = None


class Comments(Sent):
    comments: list[CommentSent]
    users: list[User] = Field(default=[])
    meta: Meta


class Found(Numbered):
    updated_at: AwareDatetime

    @property
    def rank(self) -> tuple[datetime, int]:
        return self.updated_at, self.id


class Results(Sent):
    results: list[Found]
    next_page: str | None = None


class Me(Sent):
    user: User


class FieldShown(Sent):
    class Described(Sent):
        title: str
        type: str
        active: bool

    ticket_field: Described


def by_id(users: list[User]) -> Mapping[int, User]:
    """Users by their ids."""
    return {user.id: user for user in users}


def _called(user: User) -> str:
    return user.email or user.name
