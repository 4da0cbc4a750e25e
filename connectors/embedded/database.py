"""The embedded back ends' database: SQLAlchemy Core on a worker thread, every effect kept under its key.

Nothing here blocks the event loop, and a write is one transaction: the effect and the record that it happened are
committed together, so a repeated key finds the first result instead of doing the effect again.
"""

import hashlib
from base64 import b32encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio.to_thread
from pydantic import BaseModel
from sqlalchemy import URL, Column, Connection, DateTime, MetaData, String, Table, Text, func, select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from connectors.contract import CallContext, Output, Tool
from connectors.embedded.company import COMPANY
from connectors.embedded.engine import database_url, is_postgresql, make_engine
from connectors.embedded.schema import bring_up_to_date
from connectors.errors import Conflict, InDoubt, Unavailable

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

# Any number will do as long as all processes agree on it.
_WRITING = 0x72656D69_00000002

metadata = MetaData()
effects = Table(
    "effects",
    metadata,
    Column("tenant", String(100), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("tool", String(64), nullable=False),
    Column("result", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)
FENCE = ""
"""Stands for the result of an effect that did not happen and never will."""


class Database:
    """One company's embedded data.

    Args:
        url: Such as `sqlite:////var/lib/remit/company.db` or `postgresql://remit@db.example/remit`; its tables are
            made, or brought up to date.

    Raises:
        ValueError: If it is of another kind.
        UnfitTables: If its tables cannot be used.
    """

    def __init__(self, url: str | URL) -> None:
        self.engine = make_engine(database_url(url) if isinstance(url, str) else url)
        bring_up_to_date(self.engine, COMPANY)

    async def read(self, tenant: str, work: Callable[[Connection], T]) -> T:
        """Run a query of a tenant's off the event loop.

        Raises:
            Unavailable: If the database does not answer.
        """

        def run() -> T:
            with self.engine.connect().execution_options(tenant=tenant) as connection:
                return work(connection)

        return await _off_loop(run, may_leave=True)

    async def write(self, call: CallContext, tool: str, output: type[M], work: Callable[[Connection], M]) -> M:
        """Run an effect once: a repeated `call.key` returns the first result and changes nothing.

        Raises:
            Conflict: If `find_effect` said that it did not happen; nothing was done.
            InDoubt: If the database does not say whether it took it; `find_effect` tells.
            Unavailable: If the database does not answer; nothing was done.
        """
        made: list[M] = []

        def run() -> M:
            with self._changing(call.tenant) as connection:
                if (earlier := _recorded(connection, call)) is not None:
                    return _replayed(earlier, output)
                made.append(work(connection))
                _record(connection, call, tool, made[-1].model_dump_json())
            return made[-1]

        try:
            return await _off_loop(run)
        except Unavailable as error:
            # A commit that was not answered may have been carried out all the same.
            raise (InDoubt("the embedded database did not confirm the change") if made else error) from error

    async def find_effect(self, call: CallContext, tool: Tool) -> Output | None:
        """Find what `write` gave under `call.key`, or see to it that it never does anything under it.

        Raises:
            Unavailable: If the database does not answer; asked again, it says the same.
        """

        def run() -> Output | None:
            with self._changing(call.tenant) as connection:
                earlier = _recorded(connection, call)
                if earlier is None:
                    _record(connection, call, tool.name, FENCE)
                return tool.output.model_validate_json(earlier) if earlier else None

        return await _off_loop(run)

    async def change(self, tenant: str, work: Callable[[Connection], T]) -> T:
        """Run one transaction of changes to a tenant's rows that may safely be repeated, such as loading records.

        Raises:
            Unavailable: If the database does not answer; nothing was done.
        """

        def run() -> T:
            with self._changing(tenant) as connection:
                return work(connection)

        return await _off_loop(run)

    @contextmanager
    def _changing(self, tenant: str) -> Iterator[Connection]:
        options = {"immediate": True, "tenant": tenant}
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            if is_postgresql(connection):
                # One writes at a time, as on SQLite: what was looked at first then stays so until it is acted on.
                connection.execute(select(func.pg_advisory_xact_lock(_WRITING)))
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def _recorded(connection: Connection, call: CallContext) -> str | None:
    mine = (effects.c.tenant == call.tenant) & (effects.c.key == call.key)
    return connection.execute(select(effects.c.result).where(mine)).scalar()


def _record(connection: Connection, call: CallContext, tool: str, result: str) -> None:
    row = {"tenant": call.tenant, "key": call.key, "tool": tool, "result": result, "at": call.now}
    connection.execute(effects.insert().values(row))


def _replayed(earlier: str, output: type[M]) -> M:
    if earlier == FENCE:
        raise Conflict("this call was given up before it took effect; nothing was done, and its key is used up")
    return output.model_validate_json(earlier)


def stable_id(prefix: str, *parts: str) -> str:
    """An id that the same parts always give: `prefix_` and 20 lower-case letters and digits.

    Args:
        prefix: The kind's prefix, such as `con`.
        parts: What names the record: the tenant, and its source's id or the key of the call that made it.
    """
    digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).digest()
    return f"{prefix}_{b32encode(digest).decode().lower()[:20]}"


async def _off_loop(run: Callable[[], T], *, may_leave: bool = False) -> T:
    try:
        return await anyio.to_thread.run_sync(run, abandon_on_cancel=may_leave)
    except (OperationalError, InterfaceError, NoConnectionFree) as error:
        raise Unavailable("the embedded database does not answer now; repeat the call later") from error
