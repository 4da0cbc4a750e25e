"""How often an address may try to sign in. In memory, and bounded."""

from collections import OrderedDict, deque
from ipaddress import IPv6Address, ip_address


class Attempts:
    """Counts attempts by address.

    Args:
        most: How many an address may make within the window.
        seconds: The window.
        addresses: How many addresses are remembered; the longest silent is forgotten first.
    """

    def __init__(self, most: int = 10, seconds: float = 60, addresses: int = 1_000) -> None:
        self._most = most
        self._seconds = seconds
        self._addresses = addresses
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, address: str, now: float) -> bool:
        """Count an attempt; say whether it may be made.

        Args:
            address: Where it comes from.
            now: Seconds of a clock.
        """
        key = _network(address)
        made = self._seen.setdefault(key, deque(maxlen=self._most))
        self._seen.move_to_end(key)
        while len(self._seen) > self._addresses:
            self._seen.popitem(last=False)
        if len(made) == self._most and now - made[0] < self._seconds:
            return False
        made.append(now)
        return True


def _network(address: str) -> str:
    """The address; of IPv6 the /64, which one household or machine has whole."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    # A socket for both kinds shows the older kind like this (RFC 4291, section 2.5.5.2): no network of one household.
    return str(parsed.ipv4_mapped or int(parsed) >> 64)
