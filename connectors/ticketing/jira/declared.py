"""What an operator says of a service project: where it is, and what it calls our statuses and priorities."""

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from connectors.ticketing.tools import Priority, Status
from connectors.vendor.kinds import Declared, Url

_STATUSES: tuple[Status, ...] = get_args(Status)
_PRIORITIES: tuple[Priority, ...] = get_args(Priority)

Name = Annotated[str, Field(pattern=r"^[^\"\\\x00-\x1f]{1,100}$")]
Names = Annotated[list[Name], Field(min_length=1)]
ProjectKey = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{1,50}$")]
FieldId = Annotated[str, Field(pattern=r"^customfield_\d{1,10}$")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Statuses(_Table):
    """The project's statuses for each of ours, any of which will do to get there. Others are told as `open`."""

    new: Names = ["Waiting for support"]
    open: Names = ["In Progress"]
    pending: Names = ["Waiting for customer"]
    solved: Names = ["Resolved"]
    closed: Names = ["Closed"]

    def of(self, status: Status) -> list[str]:
        """Theirs for one of ours."""
        found: list[str] = getattr(self, status)
        return found

    def ours(self, theirs: str) -> Status:
        """Ours for one of theirs."""
        named = theirs.casefold()
        return next((each for each in _STATUSES if named in map(str.casefold, self.of(each))), "open")


class Priorities(_Table):
    """Jira's priorities for each of ours; the first one is what is written. Others are told as `normal`."""

    low: Names = ["Low", "Lowest"]
    normal: Names = ["Medium"]
    high: Names = ["High"]
    urgent: Names = ["Highest"]

    def of(self, priority: Priority) -> list[str]:
        """Theirs for one of ours."""
        found: list[str] = getattr(self, priority)
        return found

    def ours(self, theirs: str) -> Priority:
        """Ours for one of theirs."""
        named = theirs.casefold()
        return next((each for each in _PRIORITIES if named in map(str.casefold, self.of(each))), "normal")


class DeclaredJira(Declared):
    """One service project. The credential is an agent's address and API token.

    New tickets are of `issue_type` and `request_type`, the number of which Jira keeps in `request_type_field`.
    """

    kind: Literal["jira"]
    url: Url
    project: ProjectKey
    issue_type: Name
    request_type: Annotated[int, Field(gt=0)]
    request_type_field: FieldId = "customfield_10010"
    statuses: Statuses = Statuses()
    priorities: Priorities = Priorities()
