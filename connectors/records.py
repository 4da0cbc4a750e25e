"""What the importers and the sample company hand to the embedded back ends: one validated record each.

A record is named by its source (`source_id`), so that loading the same record again changes nothing.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from connectors.crm.tools import AccountStatus, ActivityKind, DealStage, OrderStatus, RefundReason, Tier
from connectors.fields import Address, Currency, Language, Line, OptionalLine, Timestamp
from connectors.knowledge.tools import Trust
from connectors.ticketing.tools import CommentKind, Priority, Status, Tags

SourceId = Annotated[str, Field(min_length=1, max_length=500)]
LongText = Annotated[str, Field(max_length=200_000)]
Money = Annotated[Decimal, Field(ge=0, le=100_000_000, max_digits=12, decimal_places=2, allow_inf_nan=False)]
Phone = Annotated[str, Field(max_length=40)]


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    source_id: SourceId


class AccountRecord(Record):
    name: Line
    domain: OptionalLine = ""
    industry: OptionalLine = ""
    country: OptionalLine = ""
    tier: Tier = "standard"
    status: AccountStatus = "active"
    owner: OptionalLine = ""
    notes: LongText = ""
    created_at: Timestamp
    updated_at: Timestamp


class ContactRecord(Record):
    """`account` is an account's source id, or its name when the source knows no better."""

    name: Line
    email: Address
    phone: Phone = ""
    title: OptionalLine = ""
    language: Language = "en"
    account: OptionalLine = ""
    notes: LongText = ""
    created_at: Timestamp
    updated_at: Timestamp


class DealRecord(Record):
    account: SourceId
    title: Line
    stage: DealStage
    amount: Money
    currency: Currency
    owner: OptionalLine = ""
    close_date: date | None = None
    next_step: OptionalLine = ""
    created_at: Timestamp
    updated_at: Timestamp


class OrderLineRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    sku: Line
    name: Line
    quantity: Annotated[int, Field(ge=1, le=10_000)]
    unit_price: Money


class RefundRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    amount: Money
    reason: RefundReason
    note: OptionalLine = ""
    issued_by: Line
    issued_at: Timestamp


class OrderRecord(Record):
    """`account` and `contact` are source ids; the total is the sum of the lines."""

    number: Line
    account: SourceId
    contact: OptionalLine = ""
    status: OrderStatus
    currency: Currency
    lines: Annotated[list[OrderLineRecord], Field(min_length=1, max_length=100)]
    refunds: list[RefundRecord] = []
    placed_at: Timestamp
    delivered_at: Timestamp | None = None


class ActivityRecord(Record):
    kind: ActivityKind
    subject: Line
    body: LongText = ""
    contact: OptionalLine = ""
    account: OptionalLine = ""
    actor: Line
    at: Timestamp


class CommentRecord(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: CommentKind = "public"
    author: Line
    by_staff: bool = False
    body: LongText
    at: Timestamp


class TicketRecord(Record):
    subject: Line
    status: Status = "open"
    priority: Priority = "normal"
    requester_name: OptionalLine = ""
    requester_email: Address
    assignee: OptionalLine = ""
    tags: Tags = []
    comments: Annotated[list[CommentRecord], Field(min_length=1, max_length=500)]
    created_at: Timestamp
    updated_at: Timestamp


class MessageRecord(Record):
    """A whole RFC 5322 message. `source_id` is its Message-ID, or a digest of the bytes where it has none."""

    mailbox: Address
    folder: Literal["inbox", "sent", "archive"] = "inbox"
    unread: bool = False
    raw: bytes


class DocumentRecord(Record):
    """`text` is plain text or Markdown with `#` headings; `readers` are group names, `everyone` for all."""

    title: Line
    text: Annotated[str, Field(max_length=2_000_000)]
    source: SourceId
    origin: Trust = "internal"
    readers: Annotated[list[Line], Field(min_length=1, max_length=50)] = ["everyone"]
    updated_at: Timestamp
