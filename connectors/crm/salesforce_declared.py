"""What an operator says of a company's Salesforce."""

from typing import Annotated, Literal

from pydantic import Field

from connectors.crm.tools import DealStage
from connectors.fields import Currency
from connectors.vendor.kinds import Declared, Url

Name = Annotated[str, Field(pattern=r"^[A-Za-z]\w{0,79}$")]
ContactField = Annotated[str, Field(pattern="^language$")]
AccountField = Annotated[str, Field(pattern="^(tier|status)$")]

_STAGES: dict[str, DealStage] = {
    "Prospecting": "lead",
    "Qualification": "qualified",
    "Needs Analysis": "qualified",
    "Value Proposition": "qualified",
    "Id. Decision Makers": "qualified",
    "Perception Analysis": "qualified",
    "Proposal/Price Quote": "proposal",
    "Negotiation/Review": "negotiation",
    "Closed Won": "won",
    "Closed Lost": "lost",
}


class DeclaredSalesforce(Declared):
    """A company's Salesforce.

    `key` is the field, an external id with unique values, of contacts, opportunities and tasks that says under which
    key Remit changed them last. `stages` says our stage for each of theirs; `currency` is that of all deals, unless the
    company has `many_currencies`. The tables of fields name fields that the company has added itself.
    """

    kind: Literal["salesforce"]
    url: Url
    version: Annotated[str, Field(pattern=r"^\d{2,3}\.0$")] = "62.0"
    key: Name = "Remit_Key__c"
    stages: dict[Annotated[str, Field(max_length=255)], DealStage] = Field(default_factory=_STAGES.copy)
    currency: Currency = "EUR"
    many_currencies: bool = False
    contact_fields: dict[ContactField, Name] = Field(default_factory=dict)
    account_fields: dict[AccountField, Name] = Field(default_factory=dict)
