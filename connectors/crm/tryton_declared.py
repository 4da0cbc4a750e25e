"""What an operator says of a company's Tryton."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from connectors.crm.tools import AccountStatus, Tier
from connectors.vendor.kinds import Declared, Url

FieldName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Name = Annotated[str, Field(min_length=1, max_length=100)]
TierName = Annotated[str, Field(pattern=f"^({'|'.join(get_args(Tier))})$")]
StatusName = Annotated[str, Field(pattern=f"^({'|'.join(get_args(AccountStatus))})$")]
ContactField = Annotated[str, Field(pattern="^(title|notes)$")]
AccountField = Annotated[str, Field(pattern="^(industry|owner|notes)$")]
DealField = Annotated[str, Field(pattern="^next_step$")]


class DeclaredTryton(Declared):
    """A company's Tryton.

    `database` is Tryton's name of it; `contacts` and `accounts` the party categories that make a party one of these,
    `relation` the type of relation from a contact to its account. `tiers` and `statuses` name the categories that say
    them. The three tables of fields name character fields that the company has added itself.
    """

    kind: Literal["tryton"]
    url: Url
    database: Name
    contacts: Name = "Contact"
    accounts: Name = "Account"
    relation: Name = "Works for"
    tiers: dict[TierName, Name] = Field(default_factory=dict)
    statuses: dict[StatusName, Name] = Field(default_factory=dict)
    contact_fields: dict[ContactField, FieldName] = Field(default_factory=dict)
    account_fields: dict[AccountField, FieldName] = Field(default_factory=dict)
    deal_fields: dict[DealField, FieldName] = Field(default_factory=dict)
