"""What Jira's platform API (version 2, in which texts are texts) sends, and what it is asked for."""

from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

MARK: Final = "remit"
"""The property of an issue or a comment that keeps the key of the write that made it so."""
INTERNAL: Final = "sd.public.comment"
"""The property of a comment that says whether the customer sees it."""
FIELDS: Final = [
    *("project", "summary", "description", "status", "priority", "labels", "created", "updated"),
    *("reporter", "creator", "assignee", "comment"),
]


class _Sent(BaseModel):
    model_config = ConfigDict(frozen=True)


class User(_Sent):
    id: str = Field(alias="accountId")
    address: str = Field(default="", alias="emailAddress")
    name: str = Field(default="", alias="displayName")

    @property
    def called(self) -> str:
        return self.address or self.name


class Named(_Sent):
    name: str


class Project(_Sent):
    key: str


class Counted(_Sent):
    total: int


class IssueFields(_Sent):
    project: Project
    summary: str
    description: str | None = None
    status: Named
    priority: Named | None = None
    reporter: User | None = None
    creator: User | None = None
    assignee: User | None = None
    labels: list[str] = []
    comment: Counted
    created: AwareDatetime
    updated: AwareDatetime


class Issue(_Sent):
    id: int
    fields: IssueFields


class Issues(_Sent):
    issues: list[Issue]
    next: str | None = Field(default=None, alias="nextPageToken")


class Property(_Sent):
    key: str
    value: Any = None


class Marked(_Sent):
    """An issue of which only the mark is wanted."""

    id: int
    properties: dict[str, Any] = {}

    @property
    def key(self) -> object:
        return _key_in(self.properties.get(MARK))


class MarkedIssues(_Sent):
    issues: list[Marked]


class CommentSent(_Sent):
    id: int
    author: User | None = None
    body: str = ""
    created: AwareDatetime
    public: bool = Field(alias="jsdPublic")
    properties: list[Property] = []

    @property
    def key(self) -> object:
        return next((_key_in(each.value) for each in self.properties if each.key == MARK), None)


class Comments(_Sent):
    comments: list[CommentSent]
    total: int


class To(_Sent):
    id: str
    to: Named


class Transitions(_Sent):
    transitions: list[To]


class Numbered(_Sent):
    id: int


class ServerInfo(_Sent):
    title: str = Field(alias="serverTitle")


def marked(key: str) -> dict[str, Any]:
    """The property that keeps a key."""
    return {"key": MARK, "value": {"key": key}}


def _key_in(value: object) -> object:
    return value.get("key") if isinstance(value, dict) else None
