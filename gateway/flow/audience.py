"""Who may see what: the most that all recipients of a call may be told."""

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


def audience(
    recipients: Iterable[str],
    owners: Collection[str],
    links: Collection[Collection[str]],
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
    if others:
        known = _Links(links)
        if all(others <= _with_hidden(known.one_customer(address), hidden) for address in outside):
            return Confidentiality.CUSTOMER
    return Confidentiality.PUBLIC


def is_own(owner: str, own_domains: Collection[object]) -> bool:
    """Whether an owner is the organisation itself or one of its people."""
    return _domain(owner) in own_domains


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


def customers(
    owners: Collection[str],
    links: Collection[Collection[str]],
    own_domains: Collection[object],
    hidden: Callable[[str], str],
) -> int:
    """How many different customers some owners are; those that are not known as one count as several.

    Args:
        owners: Whose data the run has seen; some by their hidden names.
        links: Sets of owners that are one customer's.
        own_domains: The organisation's own domains.
        hidden: The name under which an owner is kept with a record.
    """
    known = _Links(links)
    found, count = set[str](), 0
    # A hidden name tells nobody whose it is: whoever is named openly comes first.
    for owner in sorted(owners, key=lambda owner: owner.startswith("#")):
        if owner not in found and not is_own(owner, own_domains):
            found |= _with_hidden(known.one_customer(owner), hidden)
            count += 1
    return count


class _Links:
    """Who is one customer with whom, looked up without going through all links: outsiders can make owners by thousands.

    Args:
        links: Sets of owners that are one customer's.
    """

    def __init__(self, links: Collection[Collection[str]]) -> None:
        self._of: dict[str, list[Collection[str]]] = {}
        for link in links:
            for owner in link:
                self._of.setdefault(owner, []).append(link)

    def one_customer(self, address: str) -> set[str]:
        """Everything that is known as one customer with an address, directly or by way of others."""
        domain = _domain(address)
        known = {address, domain} if domain in self._of and domain not in FREE_MAIL else {address}
        left = list(known)
        while left:
            for link in self._of.get(left.pop(), ()):
                left += (new := set(link) - known)
                known |= new
        return known


def _with_hidden(owners: set[str], hidden: Callable[[str], str]) -> set[str]:
    return owners.union(map(hidden, owners))
