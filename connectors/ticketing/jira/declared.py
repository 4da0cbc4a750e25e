"""What an operator says of a service project: where it is, and what it calls our statuses and priorities."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from connectors.ticketing.names import Names
from connectors.ticketing.tools import Priority, Status
from connectors.vendor.kinds import DeclaredSite

Name = Annotated[str, Field(pattern=r"^[^\"\\\x00-\x1f]{1,100}$")]
SomeNames = Annotated[list[Name], Field(min_length=1)]
ProjectKey = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{1,50}$")]
FieldId = Annotated[str, Field(pattern=r"^customfield_\d{1,10}$")]


class Statuses(Names[Status]):
    """The project's statuses for each of ours, any of which will do to get there. Others are told as `open`."""

    otherwise: ClassVar[Status] = "open"

    new: SomeNames = Field(default=["Waiting for support"])
    open: SomeNames = Field(default=["In Progress"])
    pending: SomeNames = Field(default=["Waiting for customer"])
    solved: SomeNames = Field(default=["Resolved"])
    closed: SomeNames = Field(default=["Closed"])


class Priorities(Names[Priority]):
    """Jira's priorities for each of ours; the first one is what is written. Others are told as `normal`."""

    otherwise: ClassVar[Priority] = "normal"

    low: SomeNames = Field(default=["Low", "Lowest"])
    normal: SomeNames = Field(default=["Medium"])
    high: SomeNames = Field(default=["High"])
    urgent: SomeNames = Field(default=["Highest"])


class DeclaredJira(DeclaredSite):
    """One service project. The credential is an agent's address and API token.

    New tickets are of `issue_type` and `request_type`, the number of which Jira keeps in `request_type_field`.
    """

    kind: Literal["jira"]
    project: ProjectKey
    issue_type: Name
    request_type: Annotated[int, Field(gt=0)]
    request_type_field: FieldId = "customfield_10010"
    statuses: Statuses = Statuses()
    priorities: Priorities = Priorities()
