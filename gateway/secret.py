"""The secret by which calls and questions get their names: one for all processes on a database.

Names are made of what a call would do, so that a repetition is known by its name. Without the secret nobody can try
guesses at a call whose contents were erased against its name in an export or a back end.
"""

import os
from collections.abc import Callable

from sqlalchemy import Column, LargeBinary, MetaData, Table, Text, select, text

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.database import Database

_BYTES = 32
metadata = MetaData()
_secrets = Table(
    "secrets", metadata, Column("name", Text, primary_key=True), Column("value", LargeBinary, nullable=False)
)
_MAKE = text("INSERT INTO secrets (name, value) VALUES ('names', :value) ON CONFLICT DO NOTHING")


def naming_secret(database: Database, random: Callable[[int], bytes] = os.urandom) -> bytes:
    """Read the database's secret, made at the first time; of processes that start together all get the same.

    Args:
        database: The one that calls and questions are recorded in.
        random: Makes so many random bytes.

    Raises:
        SQLAlchemyError: If it can be neither read nor made.
    """
    database.prepare()
    with database.changing(EVERY_TENANT) as connection:
        connection.execute(_MAKE, {"value": random(_BYTES)})
        value: bytes = connection.execute(select(_secrets.c.value).where(_secrets.c.name == "names")).scalar_one()
    return value
