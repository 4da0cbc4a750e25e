"""What the CRM tools read of Tryton's records, and how these look as contacts, accounts, deals and orders."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any, ClassVar, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from connectors.crm.tools import Account, Contact, Deal, DealStage, Order, OrderLine, OrderStatus
from connectors.crm.tryton_rpc import Readable
from connectors.fields import Language
from connectors.vendor.ids import shown

Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
Parts = BeforeValidator(lambda value: value or [])

STAGES: dict[str, DealStage] = {
    "lead": "lead",
    "opportunity": "qualified",
    "converted": "proposal",
    "won": "won",
    "lost": "lost",
    "cancelled": "lost",
}
ORDERED = ("confirmed", "processing", "done", "cancelled")
"""The states in which a sale is an order: before, it is an offer."""


class Changing(Readable):
    """A record with its times. `stamp` is what Tryton compares to see whether it was changed."""

    created: datetime = Field(alias="create_date")
    modified: datetime = Field(alias="last_modified_at")
    stamp: str = Field(alias="_timestamp")

    def own(self, field: str | None) -> str:
        """What one of the company's own fields holds; "" if there is none."""
        value = (self.model_extra or {}).get(field or "")
        return value if isinstance(value, str) else ""


class _Named(Readable):
    name: Text = ""


class Coded(Readable):
    """A record that is known by a code."""

    code: Text = ""


class Mechanism(Readable):
    """One of the ways to reach a party."""

    type: str
    value: Text = ""
    stamp: str = Field(alias="_timestamp")


class _Relation(Readable):
    type: int
    to: _Named = Field(alias="to.")


class _Address(Readable):
    country: Coded | None = Field(alias="country.", default=None)


class Party(Changing):
    """A person or an organisation."""

    FIELDS: ClassVar[tuple[str, ...]] = (
        *("name", "create_date", "last_modified_at", "_timestamp", "lang.code", "categories.name", "identifiers.code"),
        *(f"contact_mechanisms.{name}" for name in ("type", "value", "_timestamp")),
        *("relations.type", "relations.to.name", "addresses.country.code"),
    )

    name: Text = ""
    lang: Coded | None = Field(alias="lang.", default=None)
    categories: Annotated[list[_Named], Parts] = Field(alias="categories.", default=[])
    identifiers: Annotated[list[Coded], Parts] = Field(alias="identifiers.", default=[])
    mechanisms: Annotated[list[Mechanism], Parts] = Field(alias="contact_mechanisms.", default=[])
    relations: Annotated[list[_Relation], Parts] = Field(alias="relations.", default=[])
    addresses: Annotated[list[_Address], Parts] = Field(alias="addresses.", default=[])

    def mechanism(self, *types: str) -> Mechanism | None:
        """The first way of the first of these types to reach it."""
        return next((each for type_ in types for each in self.mechanisms if each.type == type_), None)

    @property
    def stamps(self) -> dict[str, str]:
        """The time stamps of all that makes up a contact, by record."""
        return {
            f"party.party,{self.id}": self.stamp,
            **{f"party.contact_mechanism,{each.id}": each.stamp for each in self.mechanisms},
        }

    def account(self, relation: int) -> _Named | None:
        """Whom it belongs to by a relation of this type."""
        return next((each.to for each in self.relations if each.type == relation), None)


class Opportunity(Changing):
    """A sale in progress or settled."""

    FIELDS: ClassVar[tuple[str, ...]] = (
        *("party", "description", "state", "amount", "currency.code", "end_date", "comment"),
        *("employee.party.name", "employee.party.email", "create_date", "last_modified_at", "_timestamp"),
    )

    party: int
    description: Text = ""
    state: str
    amount: Decimal | None = None
    currency: Coded = Field(alias="currency.")
    end_date: date | None = None
    comment: Text = ""
    employee: dict[str, Any] | None = Field(alias="employee.", default=None)

    @property
    def stamps(self) -> dict[str, str]:
        """Its time stamp, by record."""
        return {f"sale.opportunity,{self.id}": self.stamp}

    @property
    def owner(self) -> str:
        """The address of who sees to it, or else the name."""
        party = (self.employee or {}).get("party.") or {}
        return str(party.get("email") or party.get("name") or "")


class _SaleLine(Readable):
    type: str
    description: Text = ""
    quantity: float | None = None
    unit_price: Decimal | None = None
    amount: Decimal | None = None
    product: dict[str, Any] | None = Field(alias="product.", default=None)
    unit: _Named | None = Field(alias="unit.", default=None)


class Sale(Changing):
    """An order."""

    FIELDS: ClassVar[tuple[str, ...]] = (
        *("number", "party", "state", "shipment_state", "sale_date", "total_amount", "currency.code"),
        *(
            "create_date",
            "last_modified_at",
            "_timestamp",
            "contact.party",
            "lines.product.code",
            "lines.product.name",
            "lines.unit.name",
        ),
        *(f"lines.{name}" for name in ("type", "description", "quantity", "unit_price", "amount")),
    )

    number: Text = ""
    party: int
    state: str
    shipment_state: str
    sale_date: date | None = None
    total_amount: Decimal
    currency: Coded = Field(alias="currency.")
    contact: dict[str, Any] | None = Field(alias="contact.", default=None)
    lines: Annotated[list[_SaleLine], Parts] = Field(alias="lines.", default=[])


class Return(Readable):
    """A sale that gives back what another sold."""

    FIELDS: ClassVar[tuple[str, ...]] = ("origin", "total_amount")

    origin: str
    total_amount: Decimal


def version_of(stamps: Mapping[str, str]) -> int:
    """A number that changes when one of the time stamps does."""
    told = "\n".join(f"{record} {stamp}" for record, stamp in sorted(stamps.items()))
    return max(1, int.from_bytes(sha256(told.encode()).digest()[:4]) >> 1)


def contact_of(row: Party, relation: int, fields: Mapping[str, str]) -> Contact:
    """A party as a contact.

    Args:
        row: The party.
        relation: The type of relation by which it belongs to an account.
        fields: The company's own fields, by ours.
    """
    email, phone, account = row.mechanism("email"), row.mechanism("phone", "mobile"), row.account(relation)
    language = row.lang.code if row.lang else ""
    return Contact(
        id=shown("con", row.id),
        name=row.name,
        email=email.value.lower() if email else "",
        phone=phone.value if phone else "",
        title=row.own(fields.get("title")),
        language=language if language in get_args(Language) else "en",
        account_id=shown("acc", account.id) if account else None,
        account_name=account.name if account else "",
        notes=row.own(fields.get("notes")),
        created_at=row.created,
        updated_at=row.modified,
        version=version_of(row.stamps),
    )


def account_of(row: Party, tiers: Mapping[str, str], statuses: Mapping[str, str], fields: Mapping[str, str]) -> Account:
    """A party as an account.

    Args:
        row: The party.
        tiers: The category that says each tier.
        statuses: The category that says each status.
        fields: The company's own fields, by ours.
    """
    has = {category.name for category in row.categories}
    website = row.mechanism("website")
    countries = (address.country.code for address in row.addresses if address.country)
    tier = next((tier for tier, category in tiers.items() if category in has), "standard")
    status = next((status for status, category in statuses.items() if category in has), "active")
    return Account(
        id=shown("acc", row.id),
        name=row.name,
        domain=_domain(website.value) if website else "",
        country=next(countries, ""),
        tier=tier,
        status=status,
        created_at=row.created,
        updated_at=row.modified,
        **{ours: row.own(theirs) for ours, theirs in fields.items()},
    )


def deal_of(row: Opportunity, fields: Mapping[str, str]) -> Deal:
    """An opportunity as a deal.

    Args:
        row: The opportunity, in a currency that we know.
        fields: The company's own fields, by ours.
    """
    return Deal(
        id=shown("dea", row.id),
        account_id=shown("acc", row.party),
        title=row.description,
        stage=STAGES[row.state],
        amount=row.amount or Decimal("0.00"),
        currency=row.currency.code,
        owner=row.owner,
        close_date=row.end_date,
        next_step=row.own(fields.get("next_step")),
        created_at=row.created,
        updated_at=row.modified,
        version=version_of(row.stamps),
    )


def order_of(row: Sale, refunded: Decimal) -> Order:
    """A sale as an order.

    Args:
        row: The sale, in a currency that we know.
        refunded: What sales that return it give back.
    """
    placed = datetime.combine(row.sale_date, time.min, UTC) if row.sale_date else row.created
    contact = (row.contact or {}).get("party")
    return Order(
        id=shown("ord", row.id),
        number=row.number,
        account_id=shown("acc", row.party),
        contact_id=shown("con", contact) if contact and contact != row.party else None,
        status=_status(row, refunded),
        total=_cents(row.total_amount),
        refunded=_cents(refunded),
        currency=row.currency.code,
        lines=[_line(line) for line in row.lines if line.type == "line"],
        refunds=[],
        placed_at=placed,
    )


def _status(row: Sale, refunded: Decimal) -> OrderStatus:
    if row.state == "cancelled":
        return "cancelled"
    if refunded >= row.total_amount > 0:
        return "returned"
    return "shipped" if row.shipment_state == "sent" else "placed"


def _line(row: _SaleLine) -> OrderLine:
    """A line of an order. One of a broken quantity, such as 2.5 m, is shown as one piece of the line's whole amount."""
    product, quantity = row.product or {}, row.quantity or 0.0
    name, price = row.description or str(product.get("name") or ""), row.unit_price or Decimal(0)
    if quantity != int(quantity):
        name = f"{name} ({quantity:g} {row.unit.name if row.unit else ''})".replace(" )", ")")
        quantity, price = 1.0, row.amount or Decimal(0)
    sku = str(product.get("code") or "")
    return OrderLine(sku=sku, name=name, quantity=int(quantity), unit_price=_cents(price))


def _cents(amount: Decimal) -> Decimal:
    """An amount with at least two decimals: Tryton keeps as many as were written."""
    exact = amount.normalize()
    return exact if -int(exact.as_tuple().exponent) > 2 else amount.quantize(Decimal("0.01"))


def _domain(website: str) -> str:
    """The domain of a web site's address."""
    host = urlsplit(website if "//" in website else f"//{website}").hostname or ""
    return host.removeprefix("www.")
