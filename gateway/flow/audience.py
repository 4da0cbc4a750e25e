"""Who may see what: the most that all recipients of a call may be told."""

from collections.abc import Callable, Collection, Iterable

from connectors.contract import Confidentiality

HIDDEN = "#"
"""With what the hidden name of an owner begins."""


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
    if others and all(others <= _one_customer(address, links, hidden) for address in outside):
        return Confidentiality.CUSTOMER
    return Confidentiality.PUBLIC


def is_own(owner: str, own_domains: Collection[object]) -> bool:
    """Whether an owner is the organisation itself or one of its people."""
    return _domain(owner) in own_domains


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


def _one_customer(address: str, links: Collection[Collection[str]], hidden: Callable[[str], str]) -> set[str]:
    """Everything that is known as one customer with an address, directly or by way of others."""
    domain = _domain(address)
    known = {address, domain} if any(domain in link for link in links) else {address}
    grown = True
    while grown:
        linked = known.union(*(link for link in links if not known.isdisjoint(link)))
        grown, known = len(linked) > len(known), linked
    return known.union(map(hidden, known))


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
    left, count = {owner for owner in owners if not is_own(owner, own_domains)}, 0
    while left:
        # A plain name tells its hidden ones, and not the other way round.
        plain_first = min(left, key=lambda owner: owner.startswith(HIDDEN))
        left -= _one_customer(plain_first, links, hidden)
        count += 1
    return count
