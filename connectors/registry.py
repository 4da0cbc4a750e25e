"""Every tool there is, and the back ends that serve them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from connectors.contract import Tool, tools_of
from connectors.crm.embedded import EmbeddedCrm
from connectors.crm.tools import Crm
from connectors.email.embedded import EmbeddedEmail
from connectors.email.tools import Email
from connectors.embedded.database import Database
from connectors.knowledge.embedded import EmbeddedKnowledge
from connectors.knowledge.tools import Knowledge
from connectors.ticketing.embedded import EmbeddedTicketing
from connectors.ticketing.tools import Ticketing

TOOLS: tuple[Tool, ...] = (*tools_of(Crm), *tools_of(Ticketing), *tools_of(Email), *tools_of(Knowledge))


@dataclass(frozen=True)
class BackEnds:
    """One back end for each area, by the area's name in a tool's name; those of upstream servers by the server's."""

    crm: Crm
    ticket: Ticketing
    email: Email
    knowledge: Knowledge
    upstream: Mapping[str, object] = field(default_factory=dict, kw_only=True)

    def __getattr__(self, area: str) -> object:
        """The back end of an upstream server."""
        if area in (found := self.__dict__.get("upstream", {})):
            return found[area]
        raise AttributeError(area)


@dataclass(frozen=True)
class EmbeddedBackEnds(BackEnds):
    """The back ends that come with Remit; unlike others they can be filled."""

    crm: EmbeddedCrm
    ticket: EmbeddedTicketing
    email: EmbeddedEmail
    knowledge: EmbeddedKnowledge


AREAS = frozenset(tool.area for tool in TOOLS)


def embedded(
    database: Database, outbox: Path | None = None, upstream: Mapping[str, object] | None = None
) -> EmbeddedBackEnds:
    """The embedded back ends, all on one database.

    Args:
        database: Where they keep their data.
        outbox: The folder in which a person can look at what the mailbox sent.
        upstream: The back ends of upstream servers, by name.
    """
    return EmbeddedBackEnds(
        crm=EmbeddedCrm(database),
        ticket=EmbeddedTicketing(database),
        email=EmbeddedEmail(database, outbox),
        knowledge=EmbeddedKnowledge(database),
        upstream=upstream or {},
    )
