"""What an operator says of a queue: where it is, and what it calls our statuses, priorities and tags."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from connectors.ticketing.names import Names
from connectors.ticketing.tools import Priority, Status
from connectors.vendor.kinds import DeclaredSite, Table

RISING: tuple[Priority, ...] = get_args(Priority)

Name = Annotated[str, Field(pattern=r"^[^'\"\\{}\x00-\x1f]{1,200}$")]
SomeNames = Annotated[list[Name], Field(min_length=1)]


class Fields(Table):
    """The names of custom fields of the queue's tickets, both for several values.

    `key` keeps what writes are found again by, `tags` a ticket's tags; without it there are none.
    """

    key: Name = "Remit key"
    tags: Name | Literal[""] = ""


class Statuses(Names[Status]):
    """The queue's statuses for each of ours; the first one is what is written. Others are told as `open`."""

    otherwise: ClassVar[Status] = "open"

    new: SomeNames = Field(default=["new"])
    open: SomeNames = Field(default=["open"])
    pending: SomeNames = Field(default=["stalled"])
    solved: SomeNames = Field(default=["resolved"])
    closed: SomeNames = Field(default=["rejected"])


class Priorities(Table):
    """The number from which on a ticket has each of our priorities; it is also what is written."""

    low: int = 0
    normal: int = 50
    high: int = 75
    urgent: int = 100

    @model_validator(mode="after")
    def _rise(self) -> "Priorities":
        if not self.low < self.normal < self.high < self.urgent:
            raise ValueError("priorities must rise from `low` to `urgent`")
        return self

    def of(self, priority: Priority) -> int:
        """The number to write for one of ours."""
        return int(getattr(self, priority))

    def ours(self, number: int) -> Priority:
        """Ours for a ticket's number."""
        return next((priority for priority in reversed(RISING) if number >= self.of(priority)), "low")

    def between(self, priority: Priority) -> tuple[int | None, int | None]:
        """From which number on a ticket has one of ours, and from which on it has a higher one."""
        place = RISING.index(priority)
        above = RISING[place + 1 : place + 2]
        return (self.of(priority) if place else None), (self.of(above[0]) if above else None)


class DeclaredRequestTracker(DeclaredSite):
    """One queue. The credential is a token of one of its users, or that user's name and password."""

    kind: Literal["request_tracker"]
    queue: Name
    fields: Fields = Fields()
    statuses: Statuses = Statuses()
    priorities: Priorities = Priorities()
