"""What Jira's platform API (version 2, in which texts are texts) sends, and what it is asked for."""

from typing import Any, Final

from pydantic import AwareDatetime, Field

from connectors.vendor.sent import Sent, Text

MARK: Final = "remit"
"""The property of an issue or a comment that keeps the key of the write that made it so."""
INTERNAL: Final = "sd.public.comment"
"""The property of a comment that says whether the customer sees it."""
FIELDS: Final = [
    *("project", "summary", "description", "status", "priority", "labels", "created", "updated"),
    *("reporter", "creator", "assignee", "comment"),
]


class User(Sent):
    id: str = Field(alias="accountId")
    address: str = Field(default="", alias="emailAddress")
    name: str = Field(default="", alias="displayName")

    @property
    def called(self) -> str:
        return self.address or self.name


class Named(Sent):
    name: str


class Project(Sent):
    key: str


class Counted(Sent):
    total: int


class IssueFields(Sent):
    project: Project
    summary: str
    description: Text = ""
    status: Named
    priority: Named | None = None
    reporter: User | None = None
    creator: User | None = None
    assignee: User | None = None
    labels: list[str] = Field(default=[])
    comment: Counted
    created: AwareDatetime
    updated: AwareDatetime


class Issue(Sent):
    id: int
    fields: IssueFields


class Issues(Sent):
    issues: list[Issue]
    next: str | None = Field(default=None, alias="nextPageToken")


class Property(Sent):
    key: str
    value: Any = None


class Marked(Sent):
    """An issue of which only the mark is wanted."""

    id: int
    properties: dict[str, Any] = Field(default={})

    @property
    def key(self) -> object:
        return _key_in(self.properties.get(MARK))


class MarkedIssues(Sent):
    issues: list[Marked]


class CommentSent(Sent):
    id: int
    author: User | None = None
    body: str = ""
    created: AwareDatetime
    public: bool = Field(alias="jsdPublic")
    properties: list[Property] = Field(default=[])

    @property
    def key(self) -> object:
        return next((_key_in(each.value) for each in self.properties if each.key == MARK), None)


class Comments(Sent):
    comments: list[CommentSent]
    total: int


class To(Sent):
    id: str
    to: Named


class Transitions(Sent):
    transitions: list[To]


class ServerInfo(Sent):
    title: str = Field(alias="serverTitle")


def marked(key: str) -> dict[str, Any]:
    """The property that keeps a key."""
    return {"key": MARK, "value": {"key": key}}


def _key_in(value: object) -> object:
    return value.get("key") if isinstance(value, dict) else None
