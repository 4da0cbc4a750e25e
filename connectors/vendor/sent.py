"""What vendors send: models have what is needed of it, and leave the rest alone."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

Text = Annotated[str, BeforeValidator(lambda value: value or "")]
"""A text that may be sent as nothing."""


class Sent(BaseModel):
    """What a vendor sent; it does not change here."""

    model_config = ConfigDict(frozen=True)


class Numbered(Sent):
    """What has a number, which alone may be wanted of it."""

    id: int
