"""A mailbox as an operator declares it, and finding the one that a call names."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from connectors.contract import CallContext
from connectors.errors import NotFound
from connectors.fields import Address
from connectors.vendor.kinds import CredentialName, Declared


class DeclaredMailbox(BaseModel):
    """A mailbox that the tenant may use.

    `login` is the name to log in with, where that is not the address; `credential` is its own, if it has one.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    address: Address
    login: Annotated[str, Field(max_length=200)] = ""
    credential: CredentialName = ""


class DeclaredMailboxes(Declared):
    """A mail system of a tenant, and its mailboxes there."""

    mailboxes: Annotated[list[DeclaredMailbox], Field(min_length=1, max_length=200)]

    @property
    def all_shown(self) -> tuple[str, ...]:
        """The names of the mailboxes' credentials."""
        return tuple(dict.fromkeys(map(self.shown_for, self.mailboxes)))

    @property
    def addresses(self) -> tuple[str, ...]:
        """The mailboxes' addresses."""
        return tuple(mailbox.address for mailbox in self.mailboxes)

    @property
    def named(self) -> str:
        """The same, as they stand in a sentence."""
        return ", ".join(f"`{address}`" for address in self.addresses)

    def shown_for(self, mailbox: DeclaredMailbox) -> str:
        """The name of a mailbox's credential."""
        return mailbox.credential or self.shown

    def find(self, call: CallContext, address: str) -> DeclaredMailbox:
        """The mailbox that a call names.

        Raises:
            NotFound: If the caller's tenant has no such mailbox.
        """
        found = [mailbox for mailbox in self.mailboxes if mailbox.address == address and call.tenant == self.tenant]
        if not found:
            raise NotFound(f"there is no mailbox `{address}`; use one that you were given", field="mailbox")
        return found[0]
