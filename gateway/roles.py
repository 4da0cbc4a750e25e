"""Two users of a PostgreSQL server: one that owns the tables and changes their form, and one that works with them."""

from collections.abc import Iterator

from sqlalchemy import Connection, text
from structlog import get_logger

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database

log = get_logger("remit.database")

_IS_ABOVE = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
_MAKE = """\
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE {role} LOGIN; END IF;
END $$;
ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE;"""
# Or no index on words is used where rows are protected (PostgreSQL, CREATE FUNCTION). It tells nothing of a row that
# it does not find, neither by an error nor by a message.
_SEARCHABLE = "ALTER FUNCTION pg_catalog.ts_match_vq(tsvector, tsquery) LEAKPROOF;"
# MAINTAIN, of PostgreSQL 17 and later: what is erased is overwritten by VACUUM.
_WORK = "SELECT, INSERT, UPDATE, DELETE, MAINTAIN"


def is_above_row_security(connection: Connection) -> bool:
    """Whether row-level security does not hold for whoever is connected to PostgreSQL."""
    return bool(connection.execute(_IS_ABOVE).scalar())


def tell_if_above(database: Database) -> None:
    """Log it if row-level security does not hold for a gateway."""
    if database.is_postgresql:
        with database.looking(EVERY_TENANT) as connection:
            if is_above_row_security(connection):
                log.warning("above_row_security", database=database.label, see="remit database roles")


def parting(owner: str, gateway: str) -> Iterator[str]:
    """The statements by which an administrator parts the rights in a database; run again they change nothing.

    Args:
        owner: Who makes tables and changes their form, with `remit database upgrade`: lower-case letters, digits, `_`.
        gateway: Who works with what is in them; can neither change a table nor what protects it.
    """
    yield from (_MAKE.format(role=role) for role in (owner, gateway))
    yield "REVOKE CREATE ON SCHEMA public FROM PUBLIC;"
    yield f"GRANT USAGE, CREATE ON SCHEMA public TO {owner};"
    yield f"GRANT USAGE ON SCHEMA public TO {gateway};"
    for what, rights in (("TABLES", _WORK), ("SEQUENCES", "USAGE")):
        yield f"GRANT {rights} ON ALL {what} IN SCHEMA public TO {gateway};"
        yield f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT {rights} ON {what} TO {gateway};"
    yield _SEARCHABLE
