"""Every tool there is, and the back ends that serve them."""

from dataclasses import dataclass
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
    """One back end for each area, by the area's name in a tool's name."""

    crm: Crm
    ticket: Ticketing
    email: Email
    knowledge: Knowledge


@dataclass(frozen=True)
class EmbeddedBackEnds(BackEnds):
    """The back ends that come with Remit; unlike others they can be filled."""

    crm: EmbeddedCrm
    ticket: EmbeddedTicketing
    email: EmbeddedEmail
    knowledge: EmbeddedKnowledge


def embedded(database: Database, outbox: Path | None = None) -> EmbeddedBackEnds:
    """The embedded back ends, all on one database.

    Args:
        database: Where they keep their data.
        outbox: The folder in which a person can look at what the mailbox sent.
    """
    return EmbeddedBackEnds(
        crm=EmbeddedCrm(database),
        ticket=EmbeddedTicketing(database),
        email=EmbeddedEmail(database, outbox),
        knowledge=EmbeddedKnowledge(database),
    )
