"""What an operator says of a company's HubSpot."""

from typing import Annotated, Literal

from pydantic import Field

from connectors.crm.tools import DealStage
from connectors.fields import Currency
from connectors.vendor.kinds import Declared, Url

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
ContactField = Annotated[str, Field(pattern="^notes$")]
AccountField = Annotated[str, Field(pattern="^(tier|status|notes)$")]

_STAGES: dict[str, DealStage] = {
    "appointmentscheduled": "lead",
    "qualifiedtobuy": "qualified",
    "presentationscheduled": "proposal",
    "decisionmakerboughtin": "negotiation",
    "contractsent": "negotiation",
    "closedwon": "won",
    "closedlost": "lost",
}


class DeclaredHubSpot(Declared):
    """A company's HubSpot.

    `key` is the property, with unique values, of contacts and deals that says under which key Remit changed them last.
    `stages` says our stage for each of the stages of `pipeline`; `currency` is that of deals that name none. The tables
    of fields name properties that the company has added itself.
    """

    kind: Literal["hubspot"]
    url: Url = "https://api.hubapi.com"
    key: Name = "remit_key"
    pipeline: str = "default"
    stages: dict[str, DealStage] = Field(default_factory=_STAGES.copy)
    currency: Currency = "EUR"
    contact_fields: dict[ContactField, Name] = Field(default_factory=dict)
    account_fields: dict[AccountField, Name] = Field(default_factory=dict)
