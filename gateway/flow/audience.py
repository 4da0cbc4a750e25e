"""Who may see what: the most that all recipients of a call may be told."""

from collections.abc import Collection, Iterable

from connectors.contract import Confidentiality


def audience(
    recipients: Iterable[str],
    owners: Collection[str],
    links: Iterable[Collection[str]],
    own_domains: Collection[object],
) -> Confidentiality:
    """The most confidential that every recipient may see.

    Colleagues may see what is a customer's own; a customer may see what is theirs alone; anybody else what is public.
    Nobody is told secrets by default.

    Args:
        recipients: Their addresses.
        owners: Whose data the run has seen.
        links: Sets of owners that are one customer's.
        own_domains: The organisation's own domains.
    """
    outside = [address.lower() for address in recipients if _domain(address) not in own_domains]
    others = [owner for owner in owners if _domain(owner) not in own_domains]
    if not outside:
        return Confidentiality.CUSTOMER
    if others and all(_is_theirs(owner, address, links) for address in outside for owner in others):
        return Confidentiality.CUSTOMER
    return Confidentiality.PUBLIC


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()


def _is_theirs(owner: str, address: str, links: Iterable[Collection[str]]) -> bool:
    """Whether a recipient is the owner, or is known as one customer with it, directly or by way of others."""
    known = {address, _domain(address)} if any(_domain(address) in link for link in links) else {address}
    grown = True
    while grown and owner not in known:
        linked = known.union(*(link for link in links if not known.isdisjoint(link)))
        grown, known = len(linked) > len(known), linked
    return owner in known
