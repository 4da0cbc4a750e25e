"""Who may see what: the most that all recipients of a call may be told."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable

from connectors.contract import Confidentiality

HIDDEN = "#"
"""With what the hidden name of an owner begins."""

_FREE = """
163.com aol.com bluewin.ch free.fr freenet.de gmail.com gmx.at gmx.ch gmx.com gmx.de gmx.net googlemail.com hotmail.com
hotmail.co.uk hotmail.de hotmail.fr icloud.com interia.pl laposte.net libero.it live.com mac.com mail.com mail.ru me.com
mailbox.org msn.com o2.pl onet.pl orange.fr outlook.com outlook.de posteo.de proton.me protonmail.com qq.com t-online.de
telia.com wanadoo.fr web.de wp.pl yahoo.co.uk yahoo.com yahoo.de yahoo.fr yahoo.it yandex.ru ymail.com ziggo.nl
"""
FREE_MAIL = frozenset(_FREE.split())
"""Domains at which anybody gets an address: they make nobody one customer, even if an account has one on record."""


class Links:
    """Sets of owners that are one customer's, each found by any owner in it.

    Args:
        links: The first of them.
    """

    def __init__(self, links: Iterable[frozenset[str]] = ()) -> None:
        self._all: set[frozenset[str]] = set()
        self._by_owner: defaultdict[str, list[frozenset[str]]] = defaultdict(list)
        self.add(links)

    def __len__(self) -> int:
        return len(self._all)

    def add(self, links: Iterable[frozenset[str]]) -> None:
        """Add some."""
        for link in set(links) - self._all:
            self._all.add(link)
            for owner in link:
                self._by_owner[owner].append(link)

    def linked(self, owners: Iterable[str]) -> set[str]:
        """Some owners with all that are linked with them, directly or by way of others."""
        known: set[str] = set()
        new = set(owners)
        while new:
            known |= new
            new = {other for owner in new for link in self._by_owner.get(owner, ()) for other in link} - known
        return known

    def is_known(self, owner: str) -> bool:
        """Whether any set has this owner."""
        return owner in self._by_owner


def audience(
    recipients: Iterable[str],
    owners: Collection[str],
    links: Links,
    own_domains: Collection[object],
    hidden: Callable[[str], str],
) -> Confidentiality:
    """The most confidential that every recipient may see.

    Colleagues may see what is a customer's own; a customer may see what is theirs alone; anybody else what is public.
    Nobody is told secrets by default.

    Args:
        recipients: Their addresses.
        owners: Whose data the run has seen; some by their hidden names.
        links: Sets of owners that are one customer's.
        own_domains: The organisation's own domains.
        hidden: The name under which an owner is kept with a record.
    """
    outside = [address.lower() for address in recipients if not is_own(address, own_domains)]
    others = {owner for owner in owners if not is_own(owner, own_domains)}
    if not outside:
        return Confidentiality.CUSTOMER
    if others and all(others <= _one_customer(address, links, hidden) for address in outside):
        return Confidentiality.CUSTOMER
    return Confidentiality.PUBLIC


def is_own(owner: str, own_domains: Collection[object]) -> bool:
    """Whether an owner is the organisation itself or one of its people."""
    return _domain(owner) in own_domains


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


def _one_customer(address: str, links: Links, hidden: Callable[[str], str]) -> set[str]:
    """Everything that is known as one customer with an address, directly or by way of others."""
    domain = _domain(address)
    stands_for_all = links.is_known(domain) and domain not in FREE_MAIL
    known = links.linked((address, domain) if stands_for_all else (address,))
    return known.union(map(hidden, known))


def customers(
    owners: Collection[str], links: Links, own_domains: Collection[object], hidden: Callable[[str], str]
) -> int:
    """How many different customers some owners are; those that are not known as one count as several.

    Args:
        owners: Whose data the run has seen; some by their hidden names.
        links: Sets of owners that are one customer's.
        own_domains: The organisation's own domains.
        hidden: The name under which an owner is kept with a record.
    """
    left, count = {owner for owner in owners if not is_own(owner, own_domains)}, 0
    # A hidden name tells nobody whose it is: whoever is named openly comes first and takes it along.
    for owner in sorted(left, key=lambda owner: (owner.startswith(HIDDEN), owner)):
        if owner in left:
            left -= _one_customer(owner, links, hidden)
            count += 1
    return count
