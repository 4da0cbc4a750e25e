"""What has changed of a caller's questions is found by an index of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_IS_CHANGE = sa.text("kind IN ('answered', 'asked_back', 'rebound', 'withdrawn')")


def upgrade() -> None:
    """Make the index, of those entries alone: nothing else gets dearer to write."""
    op.create_index(
        "journal_changes",
        "journal",
        ["tenant", "principal", "position"],
        sqlite_where=_IS_CHANGE,
        postgresql_where=_IS_CHANGE,
    )
