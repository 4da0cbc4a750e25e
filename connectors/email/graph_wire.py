"""What Microsoft Graph says and takes of mail, as far as it is used here (v1.0, resource type `message`)."""

from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Address(_Wire):
    name: str = ""
    address: str = ""


class Recipient(_Wire):
    email_address: Address = Address()


class Attached(_Wire):
    id: str


class Property(_Wire):
    id: str
    value: str


class Message(_Wire):
    id: str = Field(min_length=1, max_length=1_000)
    etag: str = Field("", alias="@odata.etag")
    conversation_id: str = ""
    parent_folder_id: str = ""
    internet_message_id: str = ""
    subject: str | None = ""
    body_preview: str | None = ""
    sender: Recipient | None = Field(None, alias="from")
    to_recipients: list[Recipient] = []
    cc_recipients: list[Recipient] = []
    is_read: bool = True
    is_draft: bool = False
    received_date_time: AwareDatetime | None = None
    sent_date_time: AwareDatetime | None = None
    attachments: list[Attached] = []
    single_value_extended_properties: list[Property] = []

    @property
    def at(self) -> datetime | None:
        return self.sent_date_time or self.received_date_time


class Page(_Wire):
    value: list[Message]
    next_link: str = Field("", alias="@odata.nextLink")


class Folder(_Wire):
    id: str


def explain(body: object) -> str:
    """What an error says."""
    error = body.get("error") if isinstance(body, dict) else None
    return f"{error.get('code', '')} {error.get('message', '')}" if isinstance(error, dict) else ""
