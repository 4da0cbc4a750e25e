"""Every tool there is, and the back ends that serve them: those a tenant has declared, and else the embedded ones."""

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
from connectors.vendor.kinds import Declarable

TOOLS: tuple[Tool, ...] = (*tools_of(Crm), *tools_of(Ticketing), *tools_of(Email), *tools_of(Knowledge))


@dataclass(frozen=True)
class BackEnds:
    """One back end for each area, by the area's name in a tool's name; those of upstream servers by the server's.

    Args:
        crm: Serves the area's tools to every tenant that has no other; so do the next three.
        ticket: See `crm`.
        email: See `crm`.
        knowledge: See `crm`.
        upstream: The back ends of upstream servers, by name.
        declared: The back ends that serve one tenant and area.
    """

    crm: Crm
    ticket: Ticketing
    email: Email
    knowledge: Knowledge
    upstream: Mapping[str, object] = field(default_factory=dict, kw_only=True)
    declared: Mapping[tuple[str, str], Declarable] = field(default_factory=dict, kw_only=True)

    def of(self, tenant: str, area: str) -> object:
        """The back end that serves a tenant's calls of an area."""
        return self.declared.get((tenant, area)) or getattr(self, area)

    def offers(self, tenant: str, tool: Tool) -> bool:
        """Whether a tenant's back end has a tool; not every system can do all that an area asks of it."""
        declared = self.declared.get((tenant, tool.area))
        return declared is None or hasattr(declared, tool.name)

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
    database: Database,
    outbox: Path | None = None,
    upstream: Mapping[str, object] | None = None,
    declared: Mapping[tuple[str, str], Declarable] | None = None,
) -> EmbeddedBackEnds:
    """The embedded back ends, all on one database.

    Args:
        database: Where they keep their data.
        outbox: The folder in which a person can look at what the mailbox sent.
        upstream: The back ends of upstream servers, by name.
        declared: The back ends that serve one tenant and area in place of the embedded ones.
    """
    return EmbeddedBackEnds(
        crm=EmbeddedCrm(database),
        ticket=EmbeddedTicketing(database),
        email=EmbeddedEmail(database, outbox),
        knowledge=EmbeddedKnowledge(database),
        upstream=upstream or {},
        declared=declared or {},
    )
