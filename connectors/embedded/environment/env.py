"""What Alembic runs for a migration: on the connection that it is given, within that one's transaction."""

from alembic import context

given = context.config.attributes
context.configure(connection=given["connection"], version_table=given["version_table"])
context.run_migrations()
