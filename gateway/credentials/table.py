"""Where credentials are kept: one sealed row for each place, in the gateway's own database; off the event loop.

Each change counts the row's version up, so that whoever read an older one changes nothing. A row is leased by the one
process that gets a new token for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    LargeBinary,
    MetaData,
    RowMapping,
    Table,
    Text,
    and_,
    delete,
    insert,
    or_,
    select,
    update,
)

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.credentials.kinds import Place
from gateway.database import Database

metadata = MetaData()
_credentials = Table(
    "credentials",
    metadata,
    *(Column(name, Text, primary_key=True) for name in ("tenant", "back_end", "person")),
    Column("kind", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False),
    *(Column(name, Text, nullable=False) for name in ("set_at", "set_by", "changed_at")),
    *(Column(name, Text) for name in ("used_at", "trouble", "leased_by", "leased_until")),
)


@dataclass(frozen=True)
class Row:
    """One credential as it is kept.

    Args:
        place: Where it belongs.
        kind: What it is.
        sealed: Everything secret of it.
        version: Counts its changes.
        set_at: When a person gave it.
        set_by: Who.
        changed_at: When it was changed last, by a person or by renewal.
        used_at: When it was used last, give or take some minutes.
        trouble: Why it could not be renewed the last time; empty if it could.
        leased_until: Until when somebody has it for renewal.
    """

    place: Place
    kind: str
    sealed: bytes
    version: int
    set_at: datetime
    set_by: str
    changed_at: datetime
    used_at: datetime | None
    trouble: str
    leased_until: datetime | None


class CredentialTable:
    """The rows of one database.

    Args:
        database: Where.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, place: Place) -> Row | None:
        """The row of a place.

        Raises:
            SQLAlchemyError: If it cannot be read.
        """
        with self._database.looking(place.tenant) as connection:
            found = connection.execute(select(_credentials).where(_at(place))).mappings().first()
        return _row(found) if found else None

    def all(self) -> list[Row]:
        """Every row, in order.

        Raises:
            SQLAlchemyError: If they cannot be read.
        """
        with self._database.looking(EVERY_TENANT) as connection:
            found = connection.execute(select(_credentials)).mappings().all()
        return sorted((_row(each) for each in found), key=lambda row: row.place)

    def put(self, place: Place, kind: str, sealed: bytes, by: str, now: datetime) -> None:
        """Keep what a person gave, in place of what was there.

        Raises:
            SQLAlchemyError: If it cannot be kept.
        """
        at = _text(now)
        with self._database.changing(place.tenant) as connection:
            before = connection.execute(select(_credentials.c.version).where(_at(place))).scalar()
            connection.execute(delete(_credentials).where(_at(place)))
            facts = {"kind": kind, "sealed": sealed, "version": (before or 0) + 1, "set_by": by}
            connection.execute(insert(_credentials).values(**place._asdict(), **facts, set_at=at, changed_at=at))

    def remove(self, place: Place) -> bool:
        """Forget one; says whether there was one.

        Raises:
            SQLAlchemyError: If it cannot be forgotten.
        """
        with self._database.changing(place.tenant) as connection:
            return connection.execute(delete(_credentials).where(_at(place))).rowcount > 0

    def lease(self, row: Row, by: str, now: datetime, until: datetime) -> bool:
        """Take a row for renewal; False if another has it, or it is not as it was read.

        Raises:
            SQLAlchemyError: If that cannot be found out.
        """
        values = {"leased_by": by, "leased_until": _text(until)}
        return self._changed(and_(_as_read(row), _is_free(now)), row.place, values)

    def renewed(self, row: Row, by: str, sealed: bytes, now: datetime) -> bool:
        """Keep what a renewal gave and give the lease back; False if the row is another by now.

        Raises:
            SQLAlchemyError: If it cannot be kept.
        """
        values = {"sealed": sealed, "version": row.version + 1, "changed_at": _text(now), "trouble": None, **_FREE}
        return self._changed(and_(_as_read(row), _credentials.c.leased_by == by), row.place, values)

    def failed(self, row: Row, by: str, trouble: str) -> None:
        """Give a lease back and say why there is nothing new.

        Raises:
            SQLAlchemyError: If that cannot be kept.
        """
        self._changed(and_(_as_read(row), _credentials.c.leased_by == by), row.place, {"trouble": trouble, **_FREE})

    def resealed(self, row: Row, sealed: bytes, now: datetime) -> bool:
        """Keep the same under another key; False if it was changed meanwhile or is being renewed.

        Raises:
            SQLAlchemyError: If it cannot be kept.
        """
        values = {"sealed": sealed, "version": row.version + 1}
        return self._changed(and_(_as_read(row), _is_free(now)), row.place, values)

    def used(self, place: Place, now: datetime) -> None:
        """Note that it was used.

        Raises:
            SQLAlchemyError: If that cannot be kept.
        """
        self._changed(_at(place), place, {"used_at": _text(now)})

    def _changed(self, which: ColumnElement[bool], place: Place, values: Mapping[str, object]) -> bool:
        with self._database.changing(place.tenant) as connection:
            return connection.execute(update(_credentials).where(_at(place), which).values(**values)).rowcount > 0


_FREE = {"leased_by": None, "leased_until": None}


def _at(place: Place) -> ColumnElement[bool]:
    return and_(*(_credentials.c[name] == value for name, value in place._asdict().items()))


def _as_read(row: Row) -> ColumnElement[bool]:
    # A row that was removed and set anew starts from 1 again.
    return and_(_credentials.c.version == row.version, _credentials.c.set_at == _text(row.set_at))


def _is_free(now: datetime) -> ColumnElement[bool]:
    return or_(_credentials.c.leased_until.is_(None), _credentials.c.leased_until <= _text(now))


def _text(moment: datetime) -> str:
    # Of one length, so that texts compare as times do.
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _row(told: RowMapping) -> Row:
    return Row(
        place=Place(told["tenant"], told["back_end"], told["person"]),
        kind=told["kind"],
        sealed=bytes(told["sealed"]),
        version=told["version"],
        set_at=datetime.fromisoformat(told["set_at"]),
        set_by=told["set_by"],
        changed_at=datetime.fromisoformat(told["changed_at"]),
        used_at=_moment(told["used_at"]),
        trouble=told["trouble"] or "",
        leased_until=_moment(told["leased_until"]),
    )
