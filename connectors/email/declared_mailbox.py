"""A mailbox as an operator declares it, and finding the one that a call names."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from connectors.contract import CallContext
from connectors.errors import NotFound
from connectors.fields import Address
from connectors.vendor.kinds import CredentialName


class DeclaredMailbox(BaseModel):
    """A mailbox that the tenant may use.

    `login` is the name to log in with, where that is not the address; `credential` is its own, if it has one.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    address: Address
    login: Annotated[str, Field(max_length=200)] = ""
    credential: CredentialName = ""


Mailboxes = Annotated[list[DeclaredMailbox], Field(min_length=1, max_length=200)]


def find_mailbox(call: CallContext, tenant: str, mailboxes: Sequence[DeclaredMailbox], address: str) -> DeclaredMailbox:
    """The mailbox that a call names.

    Args:
        call: The call.
        tenant: Whose mailboxes they are.
        mailboxes: Those that are declared.
        address: Which one is wanted.

    Raises:
        NotFound: If the caller's tenant has no such mailbox.
    """
    found = [mailbox for mailbox in mailboxes if mailbox.address == address and call.tenant == tenant]
    if not found:
        raise NotFound(f"there is no mailbox `{address}`; use one that you were given", field="mailbox")
    return found[0]
