"""The embedded CRM's tables. Every row belongs to one tenant, and every reference stays within it."""

from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.schema import SchemaItem

from connectors.embedded.columns import Moment, Money

metadata = MetaData()


def _table(name: str, *items: SchemaItem) -> Table:
    keys = (Column("tenant", String(100), primary_key=True), Column("id", String(48), primary_key=True))
    return Table(f"crm_{name}", metadata, *keys, *items)


def _refers(column: str, table: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant", column], [f"crm_{table}.tenant", f"crm_{table}.id"])


def _text(name: str) -> Column[Any]:
    return Column(name, Text, nullable=False, default="")


def _version() -> Column[Any]:
    return Column("version", Integer, nullable=False, default=1)


def _id(name: str, *, nullable: bool = True) -> Column[Any]:
    return Column(name, String(48), nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Moment, nullable=nullable)


accounts = _table(
    "accounts",
    *map(_text, ("name", "domain", "industry", "country", "tier", "status", "owner", "notes")),
    *map(_text, ("search", "name_search")),
    *map(_moment, ("created_at", "updated_at")),
    Index("crm_accounts_newest", "tenant", "updated_at", "id"),
    Index("crm_accounts_name", "tenant", "name_search"),
)

contacts = _table(
    "contacts",
    *map(_text, ("name", "email", "phone", "title", "language", "notes", "search")),
    _id("account_id"),
    *map(_moment, ("created_at", "updated_at")),
    _version(),
    _refers("account_id", "accounts"),
    UniqueConstraint("tenant", "email", name="crm_contacts_email"),
    Index("crm_contacts_newest", "tenant", "updated_at", "id"),
    Index("crm_contacts_account", "tenant", "account_id"),
)

deals = _table(
    "deals",
    _id("account_id", nullable=False),
    *map(_text, ("title", "stage", "currency", "owner", "next_step", "owner_search")),
    Column("amount", Money, nullable=False),
    Column("close_date", Date),
    *map(_moment, ("created_at", "updated_at")),
    _version(),
    _refers("account_id", "accounts"),
    Index("crm_deals_newest", "tenant", "updated_at", "id"),
    Index("crm_deals_account", "tenant", "account_id"),
)

orders = _table(
    "orders",
    *map(_text, ("number", "status", "currency", "number_search")),
    _id("account_id", nullable=False),
    _id("contact_id"),
    Column("total", Money, nullable=False),
    Column("lines", JSON, nullable=False),
    _moment("placed_at"),
    _moment("delivered_at", nullable=True),
    _refers("account_id", "accounts"),
    _refers("contact_id", "contacts"),
    Index("crm_orders_newest", "tenant", "placed_at", "id"),
    Index("crm_orders_number", "tenant", "number_search"),
    Index("crm_orders_account", "tenant", "account_id"),
    Index("crm_orders_contact", "tenant", "contact_id"),
)

refunds = _table(
    "refunds",
    _id("order_id", nullable=False),
    Column("amount", Money, nullable=False),
    *map(_text, ("currency", "reason", "note", "issued_by")),
    _moment("issued_at"),
    Column("from_source", Boolean, nullable=False, default=False),
    _refers("order_id", "orders"),
    Index("crm_refunds_order", "tenant", "order_id"),
)

activities = _table(
    "activities",
    *map(_text, ("kind", "subject", "body", "actor")),
    _id("contact_id"),
    _id("account_id"),
    _moment("at"),
    _refers("contact_id", "contacts"),
    _refers("account_id", "accounts"),
)
