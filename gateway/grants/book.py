"""The grants of one database: issued on the record, verified for each call, taken back in all processes."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio.to_thread

from connectors.embedded.tenancy import Tenant
from gateway.catalog import Catalog
from gateway.database import Database
from gateway.grants.bounds import misfits
from gateway.grants.grant import BadGrant, Grant, Terms
from gateway.grants.made import calls_made
from gateway.grants.table import GrantTable, Kept
from gateway.grants.token import hash_of, read, sign
from gateway.journal import Entry, Journal, Kind
from gateway.principal import Principal

CACHED = timedelta(seconds=0.5)
"""How long a look at the table is good: so long may a grant be used that another process took back."""
SKEW = timedelta(seconds=10)
"""How far the clocks of gateways may lie apart."""
_MOST_CACHED = 1_000
_AGAIN = "get a new one for what is left to do"


@dataclass(frozen=True, slots=True)
class Durations:
    """How long a grant lasts: without further words, and at most."""

    usual: timedelta
    longest: timedelta


@dataclass(frozen=True, slots=True)
class Issued:
    """A new grant, with the token that stands for it and is kept nowhere."""

    grant: Grant
    token: str


class UnfitTerms(Exception):
    """Terms that name what there is not, or a time that is not allowed.

    Args:
        field: Where it stands, such as `targets.crm_issue_refund.order_id`.
        message: What is wrong with it.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class GrantBook:
    """Every grant of a home.

    Args:
        journal: Where it is recorded that one was issued or taken back.
        database: Where terms are kept, and the journal is read from.
        key: Signs tokens; the same in every process of the home.
        catalog: The tools that terms may name.
        durations: How long a grant lasts.
        random: Gives so many random bytes in hexadecimal.
    """

    def __init__(
        self,
        journal: Journal,
        database: Database,
        key: bytes,
        catalog: Catalog,
        durations: Durations,
        random: Callable[[int], str],
    ) -> None:
        self._journal = journal
        self._database = database
        self._table = GrantTable(database)
        self._key = key
        self._catalog = catalog
        self._durations = durations
        self._random = random
        self._seen: dict[tuple[str, str], tuple[datetime, Kept]] = {}

    async def issue(
        self, principal: Principal, terms: Terms, now: datetime, by: str, lasting: timedelta | None = None
    ) -> Issued:
        """Issue a grant, on the record.

        Args:
            principal: Whom it is good for.
            terms: What it is about.
            now: The time.
            by: Who issues it, for the record: a token's id, or the command line.
            lasting: How long it lasts; None for as long as is usual.

        Raises:
            UnfitTerms: If the terms name what there is not, or it would last too long.
            JournalUnavailable: If it cannot be recorded or kept; then there is none.
        """
        for field, message in misfits(terms, self._catalog.tools):
            raise UnfitTerms(field, message)
        lasting = self._durations.usual if lasting is None else lasting
        if not timedelta(seconds=1) <= lasting <= self._durations.longest:
            raise UnfitTerms("ttl", f"a grant lasts from 1 to {self._durations.longest.total_seconds():.0f} seconds")
        # In whole seconds, as the token has it, and rather too early: what was read since then belongs to its run.
        since = now.astimezone(UTC).replace(microsecond=0)
        run, grant_id = f"run_{self._random(12)}", f"gra_{self._random(12)}"
        grant = Grant(grant_id, run, principal, terms, since, since + lasting)
        await self._record(grant.id, principal, now, Kind.GRANTED, {**_on_record(grant), "by": by})
        await anyio.to_thread.run_sync(self._table.keep, grant)
        return Issued(grant, sign(grant, self._key))

    async def verify(self, token: str, principal: Principal, now: datetime) -> Grant:
        """The grant that a caller presents.

        Args:
            token: What the caller presents.
            principal: Who calls.
            now: The time.

        Raises:
            BadGrant: If it is not good for this caller now, for whatever reason.
            JournalUnavailable: If it cannot be looked up.
        """
        claims = read(token, self._key)
        if claims.principal != principal:
            raise BadGrant("the grant is good for somebody else: use one that was issued for this caller", claims.jti)
        if claims.issued_at > now + SKEW:
            raise BadGrant("the grant is not good yet: are the gateways' clocks right?", claims.jti)
        if claims.expires_at + SKEW <= now:
            raise BadGrant(f"the grant expired on {claims.expires_at:%Y-%m-%d %H:%M} UTC: {_AGAIN}", claims.jti)
        kept = await self._kept(principal.tenant, claims.jti, now)
        if kept is None:
            raise BadGrant(f"the grant is no longer kept: {_AGAIN}", claims.jti)
        if kept.revoked:
            raise BadGrant("the grant was taken back: ask whoever gave the task", claims.jti)
        if kept.principal != principal or hash_of(kept.terms) != claims.terms:
            raise BadGrant("the grant's terms are not those that were signed: tell the operator", claims.jti)
        return claims.with_terms(kept.terms)

    async def made(self, grant: Grant, own: Collection[str] = ()) -> Mapping[str, int]:
        """How many calls were made under a grant, by tool.

        Args:
            grant: The grant.
            own: The names that the call itself goes by: its own repetition does not count.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        since = grant.issued_at - SKEW
        return await anyio.to_thread.run_sync(calls_made, self._database, grant, since, frozenset(own))

    async def find(self, tenant: Tenant, grant_id: str) -> Kept | None:
        """What is kept of a tenant's grant; None if it expired or there was none.

        Raises:
            JournalUnavailable: If it cannot be looked up.
        """
        return await anyio.to_thread.run_sync(self._table.find, tenant, grant_id)

    async def revoke(self, tenant: Tenant, grant_id: str, now: datetime, by: str) -> bool:
        """Take a grant of a tenant back, on the record; within a second no process takes it any more.

        Returns:
            Whether it was in force.

        Raises:
            JournalUnavailable: If that cannot be kept or recorded.
        """
        kept = await self.find(tenant, grant_id)
        # First in force and then on record: what must stop stops even if nothing can be recorded.
        if kept is None:
            return False
        whose = kept.principal.tenant
        if not await anyio.to_thread.run_sync(self._table.revoke, whose, grant_id, now):
            return False
        self._seen.pop((whose, grant_id), None)
        await self._record(grant_id, kept.principal, now, Kind.REVOKED, {"grant": grant_id, "by": by})
        return True

    async def forget_expired(self, now: datetime) -> int:
        """Forget the terms of grants that expired: somebody's words, which nobody needs any more.

        Raises:
            JournalUnavailable: If the database cannot be changed.
        """
        return await anyio.to_thread.run_sync(self._table.forget_before, now - 2 * SKEW)

    async def _kept(self, tenant: str, grant_id: str, now: datetime) -> Kept | None:
        seen = self._seen.get((tenant, grant_id))
        if seen and timedelta(0) <= now - seen[0] < CACHED:
            return seen[1]
        kept = await self.find(tenant, grant_id)
        if len(self._seen) >= _MOST_CACHED:
            self._seen.clear()
        if kept:
            self._seen[tenant, grant_id] = now, kept
        return kept

    async def _record(
        self, grant_id: str, principal: Principal, now: datetime, kind: Kind, body: dict[str, object]
    ) -> None:
        who = {"person": principal.person, "agent": principal.agent}
        with anyio.CancelScope(shield=True):
            await self._journal.append(Entry(grant_id, principal.tenant, principal.name, now, kind, {**who, **body}))


def _on_record(grant: Grant) -> dict[str, object]:
    times = {"grant": grant.id, "run": grant.run, "expires_at": grant.expires_at.isoformat()}
    return {**grant.terms.model_dump(mode="json", exclude_defaults=True), **times}
