"""The CRM tools: what any CRM back end implements and what a caller may ask of it."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Protocol

from pydantic import Field

from connectors.contract import (
    CallContext,
    Effect,
    Idempotency,
    Input,
    OnRecord,
    Output,
    Owner,
    Privacy,
    Sink,
    tool,
)
from connectors.fields import (
    AccountId,
    ActivityId,
    Address,
    Amount,
    Body,
    ContactId,
    Currency,
    Cursor,
    DealId,
    KnownAddress,
    Language,
    Limit,
    Line,
    OptionalLine,
    OrderId,
    OutsiderText,
    PersonalText,
    Query,
    RefundId,
    StaffText,
    SystemText,
    Timestamp,
    Version,
)

Tier = Literal["standard", "plus", "key"]
AccountStatus = Literal["prospect", "active", "on_hold", "closed"]
DealStage = Literal["lead", "qualified", "proposal", "negotiation", "won", "lost"]
OrderStatus = Literal["placed", "shipped", "delivered", "returned", "cancelled"]
ActivityKind = Literal["call", "email", "meeting", "note"]
RefundReason = Literal["damaged", "late", "wrong_item", "not_as_described", "duplicate_charge", "goodwill"]
Phone = Annotated[str, Field(max_length=40, pattern=r"^[0-9+()./ -]*$"), Privacy.PERSONAL]
PersonName = Annotated[Line, Privacy.PERSONAL]
PersonAddress = Annotated[Address, Privacy.PERSONAL]


class Contact(Output):
    """A person at a customer."""

    id: Annotated[ContactId, Owner.KEY]
    name: PersonalText
    email: KnownAddress
    phone: Annotated[PersonalText, OnRecord.KEPT] = ""
    title: OutsiderText = ""
    language: Language = "en"
    account_id: Annotated[AccountId | None, Owner.KEY] = None
    account_name: OutsiderText = ""
    notes: StaffText = ""
    created_at: Timestamp
    updated_at: Timestamp
    version: int


class ContactPage(Output):
    contacts: list[Contact]
    next_cursor: SystemText = ""


class Account(Output):
    """A customer organisation."""

    id: Annotated[AccountId, Owner.KEY]
    name: OutsiderText
    domain: Annotated[SystemText, Owner.KEY] = ""
    industry: StaffText = ""
    country: SystemText = ""
    tier: Tier
    status: AccountStatus
    owner: StaffText = ""
    notes: StaffText = ""
    created_at: Timestamp
    updated_at: Timestamp


class AccountPage(Output):
    accounts: list[Account]
    next_cursor: SystemText = ""


class Deal(Output):
    """A sale in progress or settled."""

    id: DealId
    account_id: Annotated[AccountId, Owner.KEY]
    title: StaffText
    stage: DealStage
    amount: Decimal
    currency: Currency
    owner: StaffText = ""
    close_date: date | None = None
    next_step: StaffText = ""
    created_at: Timestamp
    updated_at: Timestamp
    version: int


class DealPage(Output):
    deals: list[Deal]
    next_cursor: SystemText = ""


class OrderLine(Output):
    sku: SystemText
    name: SystemText
    quantity: int
    unit_price: Decimal


class Refund(Output):
    """Money given back on an order."""

    id: RefundId
    order_id: OrderId
    amount: Decimal
    currency: Currency
    reason: RefundReason
    note: StaffText = ""
    issued_by: StaffText
    issued_at: Timestamp


class Order(Output):
    """A customer's order with its lines and what was refunded so far."""

    id: OrderId
    number: SystemText
    account_id: Annotated[AccountId, Owner.KEY]
    contact_id: Annotated[ContactId | None, Owner.KEY] = None
    status: OrderStatus
    total: Decimal
    refunded: Decimal
    currency: Currency
    lines: list[OrderLine]
    refunds: list[Refund]
    placed_at: Timestamp
    delivered_at: Timestamp | None = None


class OrderPage(Output):
    orders: list[Order]
    next_cursor: SystemText = ""


class Activity(Output):
    """Something that happened with a customer, as logged by staff or an agent."""

    id: ActivityId
    kind: ActivityKind
    subject: StaffText
    body: StaffText = ""
    contact_id: Annotated[ContactId | None, Owner.KEY] = None
    account_id: Annotated[AccountId | None, Owner.KEY] = None
    actor: StaffText
    at: Timestamp


class SearchContacts(Input):
    query: Query = Field(default="", description="Words in the name, email address, title or account name.")
    email: Address | None = Field(default=None, description="Only the contact with exactly this email address.")
    account_id: AccountId | None = Field(default=None, description="Only contacts of this account.")
    limit: Limit = 20
    cursor: Cursor = ""


class GetContact(Input):
    contact_id: ContactId = Field(description="Id of the contact, such as `con_…`.")


class CreateContact(Input):
    name: PersonName = Field(description="Full name.")
    email: PersonAddress = Field(description="Email address; must not belong to another contact.")
    phone: Phone = Field(default="", description="Phone number with country code.")
    title: OptionalLine = Field(default="", description="Job title.")
    language: Language = Field(default="en", description="Language to write to this person in.")
    account_id: AccountId | None = Field(default=None, description="Account the person belongs to.")
    notes: Annotated[str, Sink.CONTENT] = Field(default="", max_length=4_000, description="Internal notes.")


class UpdateContact(Input):
    contact_id: ContactId = Field(description="Id of the contact, such as `con_…`.")
    version: Version
    name: PersonName | None = Field(default=None, description="New full name; leave out to keep.")
    email: PersonAddress | None = Field(default=None, description="New email address; leave out to keep.")
    phone: Phone | None = Field(default=None, description="New phone number; leave out to keep.")
    title: OptionalLine | None = Field(default=None, description="New job title; leave out to keep.")
    language: Language | None = Field(default=None, description="New language; leave out to keep.")
    notes: Body | None = Field(default=None, description="New internal notes; leave out to keep.")


class SearchAccounts(Input):
    query: Query = Field(default="", description="Words in the name, domain, industry or country.")
    tier: Tier | None = Field(default=None, description="Only accounts of this tier.")
    status: AccountStatus | None = Field(default=None, description="Only accounts with this status.")
    limit: Limit = 20
    cursor: Cursor = ""


class GetAccount(Input):
    account_id: AccountId = Field(description="Id of the account, such as `acc_…`.")


class ListDeals(Input):
    account_id: AccountId | None = Field(default=None, description="Only deals of this account.")
    stage: DealStage | None = Field(default=None, description="Only deals in this stage.")
    owner: Query = Field(default="", description="Only deals of this owner (email address of a colleague).")
    limit: Limit = 20
    cursor: Cursor = ""


class GetDeal(Input):
    deal_id: DealId = Field(description="Id of the deal, such as `dea_…`.")


class UpdateDeal(Input):
    deal_id: DealId = Field(description="Id of the deal, such as `dea_…`.")
    version: Version
    stage: DealStage | None = Field(default=None, description="New stage; leave out to keep.")
    amount: Amount | None = Field(default=None, description="New amount in the deal's currency; leave out to keep.")
    close_date: date | None = Field(default=None, description="New expected close date; leave out to keep.")
    next_step: OptionalLine | None = Field(default=None, description="New next step; leave out to keep.")


class GetOrders(Input):
    order_id: OrderId | None = Field(default=None, description="Only this order.")
    number: OptionalLine = Field(default="", description="Only the order with this number, such as `LI-20417`.")
    account_id: AccountId | None = Field(default=None, description="Only orders of this account.")
    contact_id: ContactId | None = Field(default=None, description="Only orders placed by this contact.")
    limit: Limit = 20
    cursor: Cursor = ""


class LogActivity(Input):
    kind: ActivityKind = Field(description="What happened.")
    subject: Line = Field(description="One line that says what it was about.")
    body: Annotated[str, Sink.CONTENT] = Field(default="", max_length=10_000, description="Details.")
    contact_id: ContactId | None = Field(default=None, description="The contact it concerns.")
    account_id: AccountId | None = Field(default=None, description="The account it concerns; give this or a contact.")


class IssueRefund(Input):
    order_id: OrderId = Field(description="Id of the order to refund, such as `ord_…`.")
    amount: Amount = Field(description="How much to give back; at most what remains unrefunded.")
    currency: Currency = Field(description="Must be the order's currency.")
    reason: RefundReason = Field(description="Why.")
    note: Annotated[OptionalLine, Sink.CONTENT] = Field(default="", description="One line for the record.")


class Crm(Protocol):
    """Every CRM back end."""

    @tool(title="Search contacts", effect=Effect.READ)
    async def crm_search_contacts(self, call: CallContext, args: SearchContacts) -> ContactPage:
        """Find people at customers by name, email address, title or account. Newest changes first."""
        ...

    @tool(title="Get a contact", effect=Effect.READ)
    async def crm_get_contact(self, call: CallContext, args: GetContact) -> Contact:
        """Get one contact by id, with its `version` for a later update."""
        ...

    @tool(title="Create a contact", effect=Effect.WRITE)
    async def crm_create_contact(self, call: CallContext, args: CreateContact) -> Contact:
        """Add a person to the CRM. Refused if the email address is already known: update that contact instead."""
        ...

    @tool(title="Update a contact", effect=Effect.WRITE, idempotency=Idempotency.VERSION)
    async def crm_update_contact(self, call: CallContext, args: UpdateContact) -> Contact:
        """Change the given fields of a contact. Needs the `version` you read; read again after a conflict."""
        ...

    @tool(title="Search accounts", effect=Effect.READ)
    async def crm_search_accounts(self, call: CallContext, args: SearchAccounts) -> AccountPage:
        """Find customer organisations by name, domain, industry or country."""
        ...

    @tool(title="Get an account", effect=Effect.READ)
    async def crm_get_account(self, call: CallContext, args: GetAccount) -> Account:
        """Get one customer organisation by id: tier, status, owner, notes."""
        ...

    @tool(title="List deals", effect=Effect.READ)
    async def crm_list_deals(self, call: CallContext, args: ListDeals) -> DealPage:
        """List sales, newest changes first, by account, stage or owner."""
        ...

    @tool(title="Get a deal", effect=Effect.READ)
    async def crm_get_deal(self, call: CallContext, args: GetDeal) -> Deal:
        """Get one deal by id, with its `version` for a later update."""
        ...

    @tool(title="Update a deal", effect=Effect.WRITE, idempotency=Idempotency.VERSION)
    async def crm_update_deal(self, call: CallContext, args: UpdateDeal) -> Deal:
        """Change stage, amount, close date or next step of a deal. Needs the `version` you read."""
        ...

    @tool(title="Get orders", effect=Effect.READ)
    async def crm_get_orders(self, call: CallContext, args: GetOrders) -> OrderPage:
        """Get orders with lines, delivery and refunds so far: by id, number, account or contact. Newest first."""
        ...

    @tool(title="Log an activity", effect=Effect.WRITE)
    async def crm_log_activity(self, call: CallContext, args: LogActivity) -> Activity:
        """Record a call, email, meeting or note with a customer. Visible to colleagues only."""
        ...

    @tool(title="Issue a refund", effect=Effect.SEND)
    async def crm_issue_refund(self, call: CallContext, args: IssueRefund) -> Refund:
        """Give money back on an order. Cannot be undone. Never more than the order's unrefunded rest."""
        ...
