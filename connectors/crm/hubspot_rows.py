"""What the CRM tools read of HubSpot's records, and how these look as contacts, accounts and deals."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from html import escape, unescape
from typing import Annotated, get_args

from pydantic import BaseModel, BeforeValidator, Field

from connectors.crm.tools import Account, AccountStatus, Contact, Deal, DealStage, Tier
from connectors.crm.values import cents, known
from connectors.errors import Unavailable
from connectors.fields import Currency, Language
from connectors.vendor.ids import shown

CONTACT = ("firstname", "lastname", "email", "phone", "jobtitle", "hs_language", "lastmodifieddate")
COMPANY = ("name", "domain", "industry", "country", "hubspot_owner_id", "hs_lastmodifieddate")
DEAL = (
    *("dealname", "dealstage", "pipeline", "amount", "deal_currency_code", "closedate", "hubspot_owner_id"),
    *("hs_next_step", "hs_lastmodifieddate"),
)
_VERSIONS = 2**31 - 1
_BREAK = re.compile(r"<br\s*/?>|</p>|</div>")
_TAG = re.compile(r"<[^>]*>")


class _Linked(BaseModel):
    id: str


class _Links(BaseModel):
    results: list[_Linked] = []


class HubSpotRecord(BaseModel):
    """A record of any kind: its properties are texts, or None."""

    id: Annotated[str, Field(pattern=r"^\d{1,30}$")]
    properties: dict[str, str | None] = {}
    created: datetime = Field(alias="createdAt")
    updated: datetime = Field(alias="updatedAt")
    associations: dict[str, _Links] = {}

    def text(self, name: str | None) -> str:
        """A property as text; "" if it is empty or there is none."""
        return self.properties.get(name or "") or ""

    @property
    def company(self) -> str | None:
        """The company that it belongs to, if it was read with it."""
        links = self.associations.get("companies", _Links()).results
        return links[0].id if links else None

    @property
    def version(self) -> int:
        """A number that changes when the record does: the milliseconds of its last change."""
        changed = self.text("lastmodifieddate") or self.text("hs_lastmodifieddate")
        moment = datetime.fromisoformat(changed) if changed else self.updated
        return int(moment.timestamp() * 1000) % _VERSIONS + 1


class HubSpotPage(BaseModel):
    """What a search gives."""

    results: list[HubSpotRecord]


class _To(BaseModel):
    id: Annotated[str, BeforeValidator(str)] = Field(alias="toObjectId")


class _FromTo(BaseModel):
    source: _Linked = Field(alias="from")
    to: list[_To] = []


class HubSpotAssociations(BaseModel):
    """Which records belong to which."""

    results: list[_FromTo]

    @property
    def first(self) -> dict[str, str]:
        """The first one of each."""
        return {each.source.id: each.to[0].id for each in self.results if each.to}


class Owner(BaseModel):
    """A colleague to whom records belong."""

    id: Annotated[str, BeforeValidator(str)]
    email: str | None = None


class _Next(BaseModel):
    after: str


class _Paging(BaseModel):
    next: _Next | None = None


class Owners(BaseModel):
    """A page of colleagues."""

    results: list[Owner]
    paging: _Paging | None = None

    @property
    def after(self) -> str:
        """Where the next page begins; "" after the last."""
        return self.paging.next.after if self.paging and self.paging.next else ""


class Property(BaseModel):
    """What HubSpot knows of a property."""

    name: str
    is_unique: bool = Field(alias="hasUniqueValue", default=False)


def name_parts(name: str) -> dict[str, str]:
    """A person's name as HubSpot keeps it, in two parts."""
    first, _, last = name.rpartition(" ")
    return {"firstname": first, "lastname": last} if first else {"firstname": last, "lastname": ""}


def contact_of(row: HubSpotRecord, account: str | None, account_name: str, fields: Mapping[str, str]) -> Contact:
    """A record as a contact.

    Args:
        row: The record.
        account: The id of its company.
        account_name: The name of its company.
        fields: The company's own properties, by ours.
    """
    language = row.text("hs_language").partition("-")[0]
    return Contact(
        id=shown("con", row.id),
        name=" ".join(filter(None, (row.text("firstname"), row.text("lastname")))),
        email=row.text("email").lower(),
        phone=row.text("phone"),
        title=row.text("jobtitle"),
        language=known(language, Language, "en"),
        account_id=shown("acc", account) if account else None,
        account_name=account_name,
        notes=row.text(fields.get("notes")),
        created_at=row.created,
        updated_at=row.updated,
        version=row.version,
    )


def account_of(row: HubSpotRecord, owner: str, fields: Mapping[str, str]) -> Account:
    """A company as an account.

    Args:
        row: The company.
        owner: The address of its owner.
        fields: The company's own properties, by ours.
    """
    tier, status = row.text(fields.get("tier")), row.text(fields.get("status"))
    return Account(
        id=shown("acc", row.id),
        name=row.text("name"),
        domain=row.text("domain"),
        industry=row.text("industry"),
        country=row.text("country"),
        tier=known(tier, Tier, "standard"),
        status=known(status, AccountStatus, "active"),
        owner=owner,
        notes=row.text(fields.get("notes")),
        created_at=row.created,
        updated_at=row.updated,
    )


def deal_of(
    row: HubSpotRecord, account: str, owner: str, stages: Mapping[str, DealStage], currency: str
) -> Deal | None:
    """A deal; None if its stage or its currency is none of ours.

    Args:
        row: The deal.
        account: The id of its company.
        owner: The address of its owner.
        stages: Our stage, by theirs.
        currency: The currency of deals that name none.
    """
    stage, money = stages.get(row.text("dealstage")), row.text("deal_currency_code") or currency
    if stage is None or money not in get_args(Currency):
        return None
    try:
        amount = Decimal(row.text("amount") or "0")
        closes = date.fromisoformat(row.text("closedate")[:10]) if row.text("closedate") else None
    except (InvalidOperation, ValueError):
        raise Unavailable(f"HubSpot answers what makes no sense as deal `{row.id}`") from None
    return Deal(
        id=shown("dea", row.id),
        account_id=shown("acc", account),
        title=row.text("dealname"),
        stage=stage,
        amount=cents(amount),
        currency=money,
        owner=owner,
        close_date=closes,
        next_step=row.text("hs_next_step"),
        created_at=row.created,
        updated_at=row.updated,
        version=row.version,
    )


def html_of(text: str) -> str:
    """A text as the HTML of a note."""
    return escape(text, quote=False).replace("\n", "<br>")


def text_of_html(html: str) -> str:
    """The text of a note."""
    return unescape(_TAG.sub("", _BREAK.sub("\n", html)))


def moment_of(at: datetime) -> str:
    """A time as HubSpot takes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
