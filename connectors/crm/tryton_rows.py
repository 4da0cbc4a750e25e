"""What the CRM tools read of Tryton's records, and how these look as contacts, accounts, deals and orders."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal

from connectors.crm.tools import Account, Contact, Deal, DealStage, Order, OrderLine, OrderStatus
from connectors.crm.tryton_declared import DeclaredTryton
from connectors.crm.tryton_rpc import Readable, at
from connectors.crm.values import cents, domain_of, known, version_of
from connectors.fields import Currency, Language
from connectors.vendor.ids import shown

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


class Stamped(Readable):
    """A record with what Tryton compares to see whether it was changed."""

    stamp: str = at("_timestamp")


class Changing(Stamped):
    """A record with its times."""

    create_date: datetime
    last_modified_at: datetime

    def own(self, fields: Mapping[str, str]) -> dict[str, str]:
        """What the company's own fields hold, as far as there is something."""
        there = self.model_extra or {}
        return {ours: there[theirs] for ours, theirs in fields.items() if isinstance(there.get(theirs), str)}


class Category(Readable):
    """What a party is."""

    name: str = ""


class Identifier(Readable):
    """By what other systems know a party."""

    code: str = ""
    party: int


class Mechanism(Stamped):
    """One of the ways to reach a party."""

    type: str


class Relation(Readable):
    """How a party belongs to another one."""

    type: str = at("type.name")
    to: int = at("to.id")
    name: str = at("to.name", "")


class Address(Readable):
    """Where a party is."""

    country: str = at("country.code", "")


class Party(Changing):
    """A person or an organisation."""

    name: str = ""
    email: str = ""
    phone: str = ""
    mobile: str = ""
    website: str = ""
    lang: str = at("lang.code", "")
    replaced_by: int | None = None
    categories: list[Category]
    identifiers: list[Identifier]
    contact_mechanisms: list[Mechanism]
    relations: list[Relation]
    addresses: list[Address]

    @property
    def stamps(self) -> dict[str, str]:
        """The time stamps of all that makes up a contact, by record."""
        mechanisms = {f"party.contact_mechanism,{each.id}": each.stamp for each in self.contact_mechanisms}
        return {f"party.party,{self.id}": self.stamp, **mechanisms}

    def account(self, relation: str) -> Relation | None:
        """By which relation of this type it belongs to an account."""
        return next((each for each in self.relations if each.type == relation), None)


class Opportunity(Changing):
    """A sale in progress or settled."""

    party: int
    description: str = ""
    state: str
    amount: Decimal = Decimal("0.00")
    currency: Currency = at("currency.code")
    end_date: date | None = None
    comment: str = ""
    email: str = at("employee.party.email", "")
    employee: str = at("employee.party.name", "")

    @property
    def stamps(self) -> dict[str, str]:
        """Its time stamp, by record."""
        return {f"sale.opportunity,{self.id}": self.stamp}


class SaleLine(Readable):
    """A line of an order, or a title or remark between them."""

    type: str
    description: str = ""
    sku: str = at("product.code", "")
    product: str = at("product.name", "")
    quantity: float = 0.0
    unit: str = at("unit.name", "")
    unit_price: Decimal = Decimal(0)
    amount: Decimal = Decimal(0)


class Sale(Readable):
    """An order."""

    create_date: datetime
    number: str = ""
    party: int
    contact: int | None = at("contact.party", None)
    state: str
    shipment_state: str
    sale_date: date | None = None
    total_amount: Decimal
    currency: Currency = at("currency.code")
    lines: list[SaleLine]


class Return(Readable):
    """A sale that gives back what another sold."""

    origin: str
    total_amount: Decimal


def contact_of(row: Party, declared: DeclaredTryton) -> Contact:
    """A party as a contact."""
    account = row.account(declared.relation)
    return Contact(
        id=shown("con", row.id),
        name=row.name,
        email=row.email.lower(),
        phone=row.phone or row.mobile,
        language=known(row.lang, Language, "en"),
        account_id=shown("acc", account.to) if account else None,
        account_name=account.name if account else "",
        created_at=row.create_date,
        updated_at=row.last_modified_at,
        version=version_of(row.stamps),
        **row.own(declared.contact_fields),
    )


def account_of(row: Party, declared: DeclaredTryton) -> Account:
    """A party as an account."""
    has = {category.name for category in row.categories}
    return Account(
        id=shown("acc", row.id),
        name=row.name,
        domain=domain_of(row.website),
        country=next((address.country for address in row.addresses if address.country), ""),
        tier=next((tier for tier, category in declared.tiers.items() if category in has), "standard"),
        status=next((status for status, category in declared.statuses.items() if category in has), "active"),
        created_at=row.create_date,
        updated_at=row.last_modified_at,
        **row.own(declared.account_fields),
    )


def deal_of(row: Opportunity, declared: DeclaredTryton) -> Deal:
    """An opportunity in a currency that we know as a deal."""
    return Deal(
        id=shown("dea", row.id),
        account_id=shown("acc", row.party),
        title=row.description,
        stage=STAGES[row.state],
        amount=row.amount,
        currency=row.currency,
        owner=row.email or row.employee,
        close_date=row.end_date,
        created_at=row.create_date,
        updated_at=row.last_modified_at,
        version=version_of(row.stamps),
        **row.own(declared.deal_fields),
    )


def order_of(row: Sale, refunded: Decimal) -> Order:
    """A sale in a currency that we know as an order.

    Args:
        row: The sale.
        refunded: What sales that return it give back.
    """
    placed = datetime.combine(row.sale_date, time.min, UTC) if row.sale_date else row.create_date
    return Order(
        id=shown("ord", row.id),
        number=row.number,
        account_id=shown("acc", row.party),
        contact_id=shown("con", row.contact) if row.contact not in (None, row.party) else None,
        status=_status(row, refunded),
        total=cents(row.total_amount),
        refunded=cents(refunded),
        currency=row.currency,
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


def _line(row: SaleLine) -> OrderLine:
    """A line of an order. One of a broken quantity, such as 2.5 m, is shown as one piece of the line's whole amount."""
    name, quantity, price = row.description or row.product, row.quantity, row.unit_price
    if quantity != int(quantity):
        name = f"{name} ({quantity:g} {row.unit})".replace(" )", ")")
        quantity, price = 1.0, row.amount
    return OrderLine(sku=row.sku, name=name, quantity=int(quantity), unit_price=cents(price))
