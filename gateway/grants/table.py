"""Where the terms of grants are kept until they expire, and that one was taken back: seen by every process."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Column, MetaData, Table, Text, select, text

from connectors.embedded.tenancy import EVERY_TENANT, EveryTenant, Tenant
from gateway.database import Database
from gateway.grants.grant import Grant, Terms
from gateway.journal.reading import readable
from gateway.principal import Principal

metadata = MetaData()
_grants = Table(
    "grants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("person", Text),
    Column("agent", Text),
    Column("terms", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked", BigInteger),
)
OF_ERASED_ENTRIES = text("""
DELETE FROM grants WHERE tenant = :tenant AND id IN (
    SELECT call_id FROM journal WHERE tenant = :tenant AND position IN (
        SELECT position FROM journal_keys WHERE position BETWEEN :first AND :last
    )
)
""")
"""Forgets a tenant's grants whose entries between two positions are about to lose their keys."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a grant."""

    principal: Principal
    terms: Terms
    revoked: bool


class GrantTable:
    """Grants by id, in one database; used off the event loop. What cannot be read or written is `JournalUnavailable`.

    Args:
        database: Where they are kept; the table is made if absent.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        database.prepare()

    def keep(self, grant: Grant) -> None:
        """Keep a new grant."""
        who = grant.principal
        row = {"id": grant.id, "tenant": who.tenant, "person": who.person, "agent": who.agent}
        expires = int(grant.expires_at.timestamp())
        with readable(self._database), self._database.changing(who.tenant) as connection:
            connection.execute(_grants.insert().values(**row, terms=grant.terms.model_dump_json(), expires_at=expires))

    def find(self, tenant: Tenant, grant_id: str) -> Kept | None:
        """Find what is kept of a tenant's grant; None once it is forgotten."""
        columns = (_grants.c.tenant, _grants.c.person, _grants.c.agent, _grants.c.terms, _grants.c.revoked)
        query = select(*columns).where(_grants.c.id == grant_id)
        if not isinstance(tenant, EveryTenant):
            query = query.where(_grants.c.tenant == tenant)
        with readable(self._database), self._database.looking(tenant) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        whose, person, agent, terms, revoked = row
        return Kept(Principal(whose, person, agent), Terms.model_validate_json(terms), revoked is not None)

    def revoke(self, tenant: str, grant_id: str, now: datetime) -> bool:
        """Take a tenant's grant back; say whether it was there and not taken back before."""
        in_force = _grants.update().where(
            _grants.c.tenant == tenant, _grants.c.id == grant_id, _grants.c.revoked.is_(None)
        )
        with readable(self._database), self._database.changing(tenant) as connection:
            return connection.execute(in_force.values(revoked=int(now.timestamp()))).rowcount == 1

    def forget_before(self, moment: datetime) -> int:
        """Forget the grants that expired before a moment; say how many."""
        expired = _grants.delete().where(_grants.c.expires_at < int(moment.timestamp()))
        with readable(self._database), self._database.changing(EVERY_TENANT) as connection:
            return connection.execute(expired).rowcount
