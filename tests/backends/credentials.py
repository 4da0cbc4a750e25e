"""Credentials for back ends under test: one token a tenant, that nobody renews."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from connectors.credentials import Access
from connectors.errors import Unavailable


@dataclass(frozen=True)
class Tokens:
    """What each tenant shows.

    Args:
        by_tenant: Its token.
        user: The user whose password the tokens are, if they are passwords.
    """

    by_tenant: Mapping[str, str]
    user: str = ""

    async def of(self, back_end: str, tenant: str, person: str | None = None) -> Access:
        if tenant not in self.by_tenant:
            raise Unavailable(f"there is no credential for `{back_end}`; nothing was done")
        return Access(back_end, tenant, None, 1, SecretStr(self.by_tenant[tenant]), self.user)

    async def refused(self, access: Access) -> Access | None:
        return None
