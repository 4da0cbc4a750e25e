"""To whom each principal has written: keyed hashes alone, so that nobody reads an address off them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text, delete

from connectors.contract import Effect, Tool
from connectors.embedded.tenancy import EVERY_TENANT
from gateway.canonical import keyed_hash
from gateway.database import Database
from gateway.effect_words import recipients
from gateway.journal.entry import Beside
from gateway.journal.reading import readable
from gateway.principal import Principal

_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
_TABLE = "recipients_seen"
_IN_RESULTS = ("to", "cc")
_COLUMNS = ("tenant", "principal", "recipient", "at")
metadata = MetaData()
_seen = Table(
    _TABLE,
    metadata,
    # Of the entry that says that it was sent: both are committed together.
    Column("position", BigInteger().with_variant(Integer(), "sqlite"), nullable=False),
    *(Column(name, _TEXT, nullable=False) for name in _COLUMNS),
    Index("recipients_seen_by", "tenant", "principal", "recipient"),
    Index("recipients_seen_at", "at"),
)
_KNOWN = (
    "SELECT 1 FROM recipients_seen WHERE tenant = :tenant AND principal = :principal AND recipient = :recipient LIMIT 1"
)


class Recipients:
    """Remembers recipients.

    Args:
        database: Where they are kept; the table is made if absent.
        secret: Keys the hashes.
    """

    def __init__(self, database: Database, secret: bytes) -> None:
        self._database = database
        self._secret = secret
        database.prepare()

    async def first_time(self, principal: Principal, recipients: Sequence[str]) -> bool:
        """Whether one of some recipients was never written to before by a principal, as far as that is kept.

        Args:
            principal: Who would write.
            recipients: Addresses; in any case.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        wanted = {self._hidden(principal.tenant, each) for each in recipients}
        if not wanted:
            return False
        who = {"tenant": principal.tenant, "principal": principal.name}
        with readable(self._database):
            found = await self._database.looks.look(
                principal.tenant, *((_KNOWN, {**who, "recipient": each}) for each in wanted)
            )
        return not all(found)

    def rows(
        self, principal: Principal, tool: Tool, arguments: Mapping[str, Any], output: Mapping[str, Any], at: datetime
    ) -> tuple[Beside, ...]:
        """What is to be committed with the outcome of a call that was done: to whom it sent something.

        Args:
            principal: Who called.
            tool: What they called; only what sends counts.
            arguments: With what.
            output: What it gave.
            at: The time.
        """
        if tool.effect is not Effect.SEND:
            return ()
        hidden = sorted({self._hidden(principal.tenant, each) for each in reached(tool, arguments, output)})
        who = (principal.tenant, principal.name)
        return tuple(Beside(_TABLE, _COLUMNS, (*who, recipient, at.isoformat())) for recipient in hidden)

    def forget(self, tenant: str, addresses: Iterable[str]) -> int:
        """Forget that anybody of a tenant wrote to some addresses; say how many rows that were. Off the event loop.

        Raises:
            JournalUnavailable: If the database cannot be changed.
        """
        hidden = [self._hidden(tenant, each) for each in addresses]
        with readable(self._database), self._database.changing(tenant) as connection:
            gone = delete(_seen).where(_seen.c.tenant == tenant, _seen.c.recipient.in_(hidden))
            return connection.execute(gone).rowcount

    def forget_before(self, moment: datetime) -> int:
        """Forget what was sent before a time; say how many rows that were. Off the event loop.

        Raises:
            JournalUnavailable: If the database cannot be changed.
        """
        with readable(self._database), self._database.changing(EVERY_TENANT) as connection:
            return connection.execute(delete(_seen).where(_seen.c.at < moment.isoformat())).rowcount

    def _hidden(self, tenant: str, address: str) -> str:
        return keyed_hash(f"recipient\x1f{tenant}\x1f{address.strip().casefold()}", self._secret)[:32]


def reached(tool: Tool, arguments: Mapping[str, Any], output: Mapping[str, Any]) -> set[str]:
    """Whom a call reached: those among its arguments, and those whom the result of a reply or a sent draft names."""
    named = (address for addresses in recipients(tool, arguments).values() for address in addresses)
    told = (output[name] for name in _IN_RESULTS if isinstance(output.get(name), list))
    return {*named, *(address for addresses in told for address in addresses)}
