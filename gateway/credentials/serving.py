"""Credentials for back ends: what to show for one call."""

from collections.abc import Callable
from datetime import datetime

from connectors.credentials import Access
from connectors.errors import Unavailable
from gateway.credentials.endpoint import renew
from gateway.credentials.keys import KeySource
from gateway.credentials.kinds import Place, secret_of
from gateway.credentials.reading import Kept, Reading
from gateway.credentials.renewing import Renew, Renewing
from gateway.credentials.table import CredentialTable


class ServedCredentials:
    """What back ends ask; see `connectors.credentials.Credentials`.

    Args:
        table: Where credentials are kept.
        source: Gives the keys.
        now: The clock.
        renew: Gets a new token of OAuth.
    """

    def __init__(
        self, table: CredentialTable, source: KeySource, now: Callable[[], datetime], renew: Renew = renew
    ) -> None:
        self._reading = Reading(table, source, now)
        self._renewing = Renewing(self._reading, renew)

    async def of(self, back_end: str, tenant: str, person: str | None = None) -> Access:
        """What to show now. Who has one of their own that is not good does not go on with the tenant's.

        Raises:
            Unavailable: If there is none, or it is not good now.
        """
        found = await self._reading.find(Place(tenant, back_end, person)) if person else None
        found = found or await self._reading.find(Place(tenant, back_end))
        if found is None:
            raise Unavailable(f"there is no credential for `{back_end}`; nothing was done, tell the operator")
        return _access(await self._renewing.good(found))

    async def refused(self, access: Access) -> Access | None:
        """Something else to show, once a system has refused what it was shown; None if there is nothing.

        Raises:
            Unavailable: If it should be renewed and cannot be.
        """
        place = Place(access.tenant, access.back_end, access.person or "")
        found = await self._reading.find_now(place)
        if found is None:
            return None
        is_same = _shows(found, access)
        if is_same and not found.content.is_renewed:
            return None
        new = _access(await self._renewing.good(found, refused=is_same))
        return new if new.secret != access.secret else None


def _shows(kept: Kept, access: Access) -> bool:
    found = secret_of(kept.content)
    return found is not None and found[0] == access.secret


def _access(kept: Kept) -> Access:
    place, found = kept.row.place, secret_of(kept.content)
    if found is None:
        raise Unavailable(f"there is no token yet for `{place.back_end}`; nothing was done")
    return Access(place.back_end, place.tenant, place.person or None, kept.row.version, *found)
