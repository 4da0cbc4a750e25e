"""What the CRM tools read of Salesforce's records, and how these look as contacts, accounts and deals."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from connectors.crm.salesforce_soql import shown
from connectors.crm.tools import Account, AccountStatus, Contact, Deal, DealStage, Tier
from connectors.crm.values import domain_of, known, version_of
from connectors.fields import Currency, Language

CONTACT = ("Id", "Name", "Email", "Phone", "Title", "Description", "AccountId", "Account.Name")
ACCOUNT = ("Id", "Name", "Website", "Industry", "BillingCountry", "Description", "Owner.Email")
DEAL = ("Id", "Name", "StageName", "Amount", "CloseDate", "NextStep", "AccountId", "Owner.Email")
TASK = ("Id", "Description")
TIMES = ("CreatedDate", "LastModifiedDate")

Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]


class SalesforceRow(BaseModel):
    """A record; what depends on its kind is in its other fields."""

    model_config = ConfigDict(extra="allow", frozen=True)

    id: Annotated[str, Field(alias="Id", pattern=r"^[A-Za-z0-9]{18}$")]
    created: datetime = Field(alias="CreatedDate")
    modified: datetime = Field(alias="LastModifiedDate")

    def text(self, name: str | None, within: str | None = None) -> str:
        """A field as text, of the record or of one that it refers to; "" if there is none."""
        fields = self.model_extra or {}
        value = (fields.get(within) or {}).get(name) if within else fields.get(name or "")
        return value if isinstance(value, str) else ""

    @property
    def version(self) -> int:
        """A number that changes when the record does: of all that was read, since its times are whole seconds."""
        return version_of(self.model_dump(mode="json", exclude={"attributes"}))


class SalesforceRows(BaseModel):
    """What a query gives."""

    records: list[SalesforceRow]


class MergedRow(BaseModel):
    """A deleted record and the one that took it in."""

    master: str | None = Field(alias="MasterRecordId", default=None)


class MergedRows(BaseModel):
    """What a query for deleted records gives."""

    records: list[MergedRow]


class SalesforceField(BaseModel):
    """What Salesforce knows of a field."""

    name: str
    is_external_id: bool = Field(alias="externalId", default=False)
    is_unique: bool = Field(alias="unique", default=False)


class SalesforceFields(BaseModel):
    """What Salesforce knows of a kind of records."""

    fields: list[SalesforceField]


class Made(BaseModel):
    """What a change gives."""

    id: str


def name_parts(name: str) -> dict[str, str]:
    """A person's name as Salesforce keeps it: the last one has to be there."""
    first, _, last = name.rpartition(" ")
    return {"FirstName": first, "LastName": last}


def contact_of(row: SalesforceRow, fields: Mapping[str, str]) -> Contact:
    """A record as a contact.

    Args:
        row: The record.
        fields: The company's own fields, by ours.
    """
    language, account = row.text(fields.get("language")), row.text("AccountId")
    return Contact(
        id=shown("con", row.id),
        name=row.text("Name"),
        email=row.text("Email").lower(),
        phone=row.text("Phone"),
        title=row.text("Title"),
        language=known(language, Language, "en"),
        account_id=shown("acc", account) if account else None,
        account_name=row.text("Name", "Account"),
        notes=row.text("Description"),
        created_at=row.created,
        updated_at=row.modified,
        version=row.version,
    )


def account_of(row: SalesforceRow, fields: Mapping[str, str]) -> Account:
    """A record as an account.

    Args:
        row: The record.
        fields: The company's own fields, by ours.
    """
    tier, status = row.text(fields.get("tier")), row.text(fields.get("status"))
    return Account(
        id=shown("acc", row.id),
        name=row.text("Name"),
        domain=domain_of(row.text("Website")),
        industry=row.text("Industry"),
        country=row.text("BillingCountry"),
        tier=known(tier, Tier, "standard"),
        status=known(status, AccountStatus, "active"),
        owner=row.text("Email", "Owner"),
        notes=row.text("Description"),
        created_at=row.created,
        updated_at=row.modified,
    )


def deal_of(row: SalesforceRow, stages: Mapping[str, DealStage], currency: str) -> Deal | None:
    """An opportunity as a deal; None if its stage, its account or its currency is none of ours.

    Args:
        row: The opportunity.
        stages: Our stage, by theirs.
        currency: The currency of deals that name none.
    """
    fields: Mapping[str, Any] = row.model_extra or {}
    stage, money = stages.get(row.text("StageName")), row.text("CurrencyIsoCode") or currency
    if stage is None or not row.text("AccountId") or money not in get_args(Currency):
        return None
    return Deal(
        id=shown("dea", row.id),
        account_id=shown("acc", row.text("AccountId")),
        title=row.text("Name"),
        stage=stage,
        amount=Decimal(str(fields.get("Amount") or 0)).quantize(Decimal("0.01")),
        currency=money,
        owner=row.text("Email", "Owner"),
        close_date=date.fromisoformat(row.text("CloseDate")) if row.text("CloseDate") else None,
        next_step=row.text("NextStep"),
        created_at=row.created,
        updated_at=row.modified,
        version=row.version,
    )
