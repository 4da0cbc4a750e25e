"""The few ways in which embedded back ends ask for and change rows, each within one tenant."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Column, ColumnElement, Connection, RowMapping, Select, Table, and_, or_

from connectors.contract import Input
from connectors.embedded.pages import decode_cursor, not_a_cursor, page_of
from connectors.errors import Conflict, InvalidInput, NotFound

_ID = re.compile(r"[a-z]{3}_[a-z0-9]{4,40}")


class Versioned(Protocol):
    """A record that counts its changes."""

    @property
    def id(self) -> str: ...

    @property
    def version(self) -> int: ...


def folded(*texts: str) -> str:
    """Texts as they are searched: without case, in Unicode's composed compatibility form, one a line."""
    return unicodedata.normalize("NFKC", "\n".join(texts)).casefold().strip()


def holds(query: str, *texts: str) -> bool:
    """Whether every word of the query is somewhere in the texts."""
    text = folded(*texts)
    return all(word in text for word in folded(query).split())


def holding(query: str, *columns: ColumnElement[str]) -> list[ColumnElement[bool]]:
    """Conditions that every word of the query is somewhere in the columns, which hold `folded` text."""
    words = dict.fromkeys(folded(query).split())
    return [or_(*(column.contains(word, autoescape=True) for column in columns)) for word in words]


def within(table: Table, tenant: str, **wanted: object) -> list[ColumnElement[bool]]:
    """Conditions for the tenant's rows whose columns equal what is wanted; None and "" want nothing."""
    asked = {name: value for name, value in wanted.items() if value is not None and value != ""}
    return [table.c.tenant == tenant, *(table.c[name] == value for name, value in asked.items())]


def get_row(
    connection: Connection, query: Select[Any], table: Table, tenant: str, id_: str, kind: str, *, lock: bool = False
) -> RowMapping:
    """The tenant's one row with this id.

    Args:
        connection: Where to ask.
        query: What to select; the row's own table is `table`.
        table: Has the columns `tenant` and `id`.
        tenant: Whose row.
        id_: Which row.
        kind: What people call such a row, such as `contact`.
        lock: Keep others from changing the row before this transaction ends.

    Raises:
        NotFound: If the tenant has none; the field at fault is `<kind>_id`.
    """
    query = query.where(table.c.tenant == tenant, table.c.id == id_)
    row = connection.execute(query.with_for_update(of=table) if lock else query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no {kind} `{id_}`; find the right id first", field=f"{kind}_id")
    return row


def newest_first(
    connection: Connection, query: Select[Any], at: Column[datetime], id_: Column[str], cursor: str, limit: int
) -> tuple[Sequence[RowMapping], str]:
    """One page of rows by falling time and id, and the cursor of the next page, "" after the last.

    A page starts after the last row of the page before, whatever was added or removed meanwhile.

    Raises:
        InvalidInput: If the cursor was not made here.
    """
    if cursor:
        last_at, last_id = decode_cursor(cursor, (datetime, str))
        if not _ID.fullmatch(last_id):
            raise not_a_cursor()
        query = query.where(or_(at < last_at, and_(at == last_at, id_ < last_id)))
    rows = connection.execute(query.order_by(at.desc(), id_.desc()).limit(limit + 1)).mappings().all()
    return page_of(rows, limit, lambda last: [last[at], last[id_]])


def changes(kind: str, current: Versioned, args: Input) -> dict[str, Any]:
    """The fields that an update really changes.

    Args:
        kind: What people call such a record, such as `contact`.
        current: The record as it is now.
        args: The update: `version`, `<kind>_id` and optional fields named like the record's, None to keep.

    Raises:
        Conflict: If the update was made for another version than the current one.
        InvalidInput: If no field is given or all are already so.
    """
    given = args.model_dump(exclude={f"{kind}_id"})
    expected = given.pop("version")
    if expected != current.version:
        raise Conflict(
            f"{kind} `{current.id}` is now at version {current.version}, not {expected}; read it again, then decide",
            field="version",
        )
    changed = {name: value for name, value in given.items() if value is not None and value != getattr(current, name)}
    if not changed:
        fields = ", ".join(f"`{name}`" for name in given)
        raise InvalidInput(f"nothing to change in {kind} `{current.id}`; give a new value for one of {fields}")
    return changed
