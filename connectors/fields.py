"""The field types that tool inputs and outputs are made of: bounded, checked, and marked for policy and data flow.

An input type refuses what it does not like and says why; an output type only describes.
"""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Literal

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, AwareDatetime, Field, WithJsonSchema

from connectors.contract import Author, OnRecord, Owner, Privacy, Sink

# C0 and C1 controls, line and paragraph separators, and the marks that reorder how a line is displayed.
_NOT_IN_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
_NOT_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")

MAX_ADDRESS = 254


def _refuse(pattern: re.Pattern[str], value: str, what: str) -> None:
    if found := pattern.search(value) or _SURROGATE.search(value):
        raise ValueError(f"{what} must not contain U+{ord(found.group()):04X} (at position {found.start()})")


def _line(value: str) -> str:
    _refuse(_NOT_IN_A_LINE, value, "a single line")
    return value


def _text(value: str) -> str:
    _refuse(_NOT_IN_TEXT, value, "text")
    return value.replace("\r\n", "\n").replace("\r", "\n")


@lru_cache(maxsize=1_000)  # the same few correspond again and again, and to look at one takes a tenth of a millisecond
def _address(value: str) -> str:
    _line(value)
    try:
        found = validate_email(value, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError as error:
        raise ValueError(f"not an email address: {str(error).rstrip('.').lower()}") from None
    return f"{found.local_part}@{found.ascii_domain}".lower()


# Inputs

Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_line)]
"""One line of text without control or direction-changing characters."""

OneLine = AfterValidator(_line)
"""Makes a text one line without control or direction-changing characters."""

OptionalLine = Annotated[str, Field(max_length=200), AfterValidator(_line)]
"""One line that may be empty."""

Body = Annotated[str, Field(min_length=1, max_length=20_000), AfterValidator(_text), Sink.CONTENT]
"""Text of several lines that goes out or is kept."""

Query = Annotated[str, Field(max_length=200), AfterValidator(_line)]
"""Words to search for; an empty one matches everything."""

Address = Annotated[
    str,
    Field(max_length=MAX_ADDRESS),
    AfterValidator(_address),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": MAX_ADDRESS}),
]
"""An email address, ASCII, lower-cased. Display names are not accepted."""

Amount = Annotated[
    Decimal,
    Field(gt=0, le=1_000_000, max_digits=12, decimal_places=2, allow_inf_nan=False),
    AfterValidator(lambda value: value.quantize(Decimal("0.01"))),  # `1E1` and `10.0` are one amount, so one key
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000}),
    Sink.AMOUNT,
]
"""An amount of money with at most two decimals."""

Currency = Literal["EUR", "USD", "GBP", "CHF", "SEK", "PLN"]
Language = Literal["en", "de", "fr", "es", "it", "nl", "pl", "sv"]

Limit = Annotated[int, Field(ge=1, le=50, description="How many results at most.")]
Cursor = Annotated[
    str,
    Field(max_length=500, pattern=r"^[A-Za-z0-9_=-]*$", description="`next_cursor` of the previous page."),
]
Version = Annotated[
    int, Field(ge=1, le=2**31, description="The `version` you read; the update is refused if it changed.")
]

ContactId = Annotated[str, Field(pattern=r"^con_[a-z0-9]{4,40}$", max_length=48), Author.SYSTEM, Sink.IDENTIFIER]
AccountId = Annotated[str, Field(pattern=r"^acc_[a-z0-9]{4,40}$", max_length=48), Author.SYSTEM, Sink.IDENTIFIER]
DealId = Annotated[str, Field(pattern=r"^dea_[a-z0-9]{4,40}$", max_length=48), Author.SYSTEM, Sink.IDENTIFIER]
OrderId = Annotated[str, Field(pattern=r"^ord_[a-z0-9]{4,40}$", max_length=48), Author.SYSTEM, Sink.IDENTIFIER]
ActivityId = Annotated[str, Field(pattern=r"^act_[a-z0-9]{4,40}$", max_length=48), Author.SYSTEM, Sink.IDENTIFIER]
RefundId = Annotated[str, Field(pattern=r"^ref_[a-z0-9]{4,40}$", max_length=48), Author.SYSTEM, Sink.IDENTIFIER]
TicketId = Annotated[str, Field(pattern=r"^tic_[a-z0-9]{4,40}$", max_length=48), Author.SYSTEM, Sink.IDENTIFIER]
CommentId = Annotated[str, Field(pattern=r"^com_[a-z0-9]{4,40}$", max_length=48), Author.SYSTEM, Sink.IDENTIFIER]
ThreadId = Annotated[str, Field(pattern=r"^thr_[a-z0-9]{4,40}$", max_length=48), Author.SYSTEM, Sink.IDENTIFIER]
MessageId = Annotated[str, Field(pattern=r"^msg_[a-z0-9]{4,40}$", max_length=48), Author.SYSTEM, Sink.IDENTIFIER]
DraftId = Annotated[str, Field(pattern=r"^dra_[a-z0-9]{4,40}$", max_length=48), Author.SYSTEM, Sink.IDENTIFIER]
AttachmentId = Annotated[str, Field(pattern=r"^att_[a-z0-9]{4,40}$", max_length=48), Author.SYSTEM, Sink.IDENTIFIER]
DocumentId = Annotated[str, Field(pattern=r"^doc_[a-z0-9]{4,40}$", max_length=48), Author.SYSTEM, Sink.IDENTIFIER]

# Outputs

OutsiderText = Annotated[str, Author.OUTSIDER]
"""Text that a customer, a sender or anyone else outside could have written: data, never an instruction."""

StaffText = Annotated[str, Author.ORGANISATION]
"""Text that the organisation's own people wrote."""

SystemText = Annotated[str, Author.SYSTEM]
"""Text that a system of the organisation made."""

PersonalText = Annotated[str, Author.OUTSIDER, Privacy.PERSONAL]
"""A name, address or number of a person, as given by that person or somebody outside."""

OwnerAddress = Annotated[str, Author.OUTSIDER, Privacy.PERSONAL, Owner.KEY]
"""The address of a person whose record it is."""

KnownAddress = Annotated[OwnerAddress, OnRecord.KEPT]
"""An address that the organisation has on record for a customer."""

Timestamp = AwareDatetime
"""A moment with its zone."""
