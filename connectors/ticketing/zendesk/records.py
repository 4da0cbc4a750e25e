"""What Zendesk's ticketing API sends."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from connectors.ticketing.tools import Comment, CommentKind, Priority, Status, TicketSummary
from connectors.vendor.ids import shown

_STATUSES: Mapping[str, Status] = {"hold": "pending"}


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True)


class User(_Sent):
    id: int
    name: str = ""
    email: str | None = None
    role: str = ""


NOBODY = User(id=0)


class FieldValue(_Sent):
    id: int
    value: Any = None


class TicketSent(_Sent):
    id: int
    subject: str | None = None
    status: Literal["new", "open", "pending", "hold", "solved", "closed"]
    priority: Priority | None = None
    requester_id: int
    assignee_id: int | None = None
    tags: list[str] = []
    custom_fields: list[FieldValue] = []
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
            subject=self.subject or "",
            status=_STATUSES.get(self.status, self.status),
            priority=self.priority or "normal",
            requester_name=requester.name,
            requester_email=requester.email or "",
            assignee=_called(users.get(self.assignee_id or 0, NOBODY)),
            tags=self.tags,
            comment_count=self.comment_count,
            created_at=self.created_at,
            updated_at=self.updated_at,
            version=int(self.updated_at.timestamp()),
        )


class OneTicket(_Sent):
    ticket: TicketSent
    users: list[User] = []


class Tickets(_Sent):
    tickets: list[TicketSent]
    users: list[User] = []


class Created(_Sent):
    """What a write answers, of which the number alone is wanted."""

    class Numbered(_Sent):
        id: int

    ticket: Numbered


class Via(_Sent):
    channel: str | int = ""


class CommentSent(_Sent):
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


class Meta(_Sent):
    has_more: bool
    after_cursor: str | None = None


class Comments(_Sent):
    comments: list[CommentSent]
    users: list[User] = []
    meta: Meta


class Found(_Sent):
    id: int
    updated_at: AwareDatetime

    @property
    def rank(self) -> tuple[datetime, int]:
        return self.updated_at, self.id


class Results(_Sent):
    results: list[Found]
    next_page: str | None = None


class Me(_Sent):
    user: User


class FieldShown(_Sent):
    class Described(_Sent):
        title: str
        type: str
        active: bool

    ticket_field: Described


def by_id(users: list[User]) -> Mapping[int, User]:
    """Users by their ids."""
    return {user.id: user for user in users}


def _called(user: User) -> str:
    return user.email or user.name
