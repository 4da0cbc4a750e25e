"""Taking a database through the migrations that it lacks, by Alembic. Imported only when there are some."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from connectors.embedded.schema import Schema

_ENVIRONMENT = Path(__file__).parent / "environment"


def migrate(connection: Connection, schema: Schema) -> None:
    """Take every step that is left, within the present transaction: all of them or none.

    Args:
        connection: In a transaction that no other writer can come in between.
        schema: Whose tables.
    """
    command.upgrade(configuration(schema, connection), "head")


def configuration(schema: Schema, connection: Connection | None = None) -> Config:
    """What Alembic has to know of a schema's migrations.

    Args:
        schema: Whose.
        connection: What to run them on.
    """
    config = Config(attributes={"connection": connection, "version_table": schema.version_table})
    config.set_main_option("script_location", str(_ENVIRONMENT).replace("%", "%%"))
    config.set_main_option("version_locations", str(schema.folder).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config
