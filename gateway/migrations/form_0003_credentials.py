"""Credentials of back ends, sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table, and protect it."""
    op.create_table(
        "credentials",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("tenant", "back_end", "person", "kind")),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("set_at", "set_by", "changed_at")),
        *(sa.Column(name, sa.Text()) for name in ("used_at", "trouble", "leased_by", "leased_until")),
        sa.PrimaryKeyConstraint("tenant", "back_end", "person"),
    )
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE credentials ENABLE ROW LEVEL SECURITY")
        op.execute("ALTER TABLE credentials FORCE ROW LEVEL SECURITY")
        op.execute(
            "CREATE POLICY own_tenant ON credentials"
            " USING (tenant = (SELECT nullif(current_setting('remit.tenant', true), '')))"
        )
        op.execute(
            "CREATE POLICY every_tenant ON credentials"
            " USING ((SELECT current_setting('remit.every_tenant', true)) = 'on')"
        )
