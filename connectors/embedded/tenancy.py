"""Whose rows a transaction may touch: one tenant's, or every tenant's where that is the point.

On PostgreSQL each table with a column `tenant` is protected by row-level security: a transaction says for whom it
works, and whatever its statements ask for, they find and change that tenant's rows alone. One that says nothing finds
nothing. On SQLite the statements' own conditions do it.
"""

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final, TypeAlias

from sqlalchemy import Connection, Table


class EveryTenant(Enum):
    """In place of a tenant's name, for the few things that are about all of them, such as one chain of entries."""

    IT = "every tenant"


EVERY_TENANT: Final = EveryTenant.IT
Tenant: TypeAlias = str | EveryTenant
"""A tenant's name, or `EVERY_TENANT`."""

EVERY_TENANT_OPTION: Final = "-c remit.every_tenant=on"
"""Among the options of a connection: all that it does is done for every tenant."""

# Both say `true`: until the end of the transaction.
ONE: Final = "SELECT set_config('remit.tenant', %s, true)"
_EVERY: Final = "SELECT set_config('remit.every_tenant', 'on', true)"

# As subqueries they are evaluated once for a statement. Nobody has no name.
_OWN: Final = "tenant = (SELECT nullif(current_setting('remit.tenant', true), ''))"
_ALL: Final = "(SELECT current_setting('remit.every_tenant', true)) = 'on'"


def work_for(connection: Connection, tenant: Tenant) -> None:
    """Say for whom the present transaction on PostgreSQL works."""
    statement, values = setting(tenant)
    connection.exec_driver_sql(statement, values)


def setting(tenant: Tenant) -> tuple[str, tuple[str, ...]]:
    """The statement, with its values, by which a transaction on PostgreSQL says for whom it works."""
    return (_EVERY, ()) if isinstance(tenant, EveryTenant) else (ONE, (tenant,))


def protecting(tables: Iterable[str]) -> Iterator[str]:
    """The statements that protect tables on PostgreSQL, also from their owner."""
    for table in tables:
        yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
        yield f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
        yield f"CREATE POLICY own_tenant ON {table} USING ({_OWN})"
        yield f"CREATE POLICY every_tenant ON {table} USING ({_ALL})"


def bears_tenant(table: Table) -> bool:
    """Whether each of its rows belongs to a tenant."""
    return "tenant" in table.c
