"""The tables of the embedded back ends, all together."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import MetaData

from connectors.embedded.schema import Schema


def _now() -> Sequence[MetaData]:
    from connectors.crm import tables as crm
    from connectors.email import tables as email
    from connectors.embedded import database, sources
    from connectors.knowledge import tables as knowledge
    from connectors.ticketing import tables as ticketing

    return [of.metadata for of in (database, sources, crm, ticketing, email, knowledge)]


COMPANY = Schema("company", Path(__file__).parent / "migrations", _now)
