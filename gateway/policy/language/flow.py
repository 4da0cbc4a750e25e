"""What conditions may ask about data flow: where arguments come from, what the run has seen. Enums and counts only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from connectors.contract import Confidentiality


class Origin(StrEnum):
    """Where the gateway has seen an argument's value, from best to worst; a value seen in several places has the best.

    `NOWHERE` is made up by the model; `OUTSIDER` is known only from text that outsiders may have written.
    """

    REQUEST = "request"
    ORGANISATION = "organisation"
    CUSTOMER = "customer"
    NOWHERE = "nowhere"
    OUTSIDER = "outsider"

    @property
    def rank(self) -> int:
        """0 for the best to 4 for the worst: of several values, the worst one counts."""
        return _ORIGIN_RANKS[self]


_ORIGIN_RANKS = {origin: rank for rank, origin in enumerate(Origin)}


class Integrity(StrEnum):
    """Who could have written what a run has seen, from best to worst."""

    ORGANISATION = "organisation"
    CUSTOMER = "customer"
    ANYONE = "anyone"

    @property
    def rank(self) -> int:
        """0 for the organisation to 2 for anyone."""
        return _INTEGRITY_RANKS[self]


_INTEGRITY_RANKS = {integrity: rank for rank, integrity in enumerate(Integrity)}


@dataclass(frozen=True, slots=True)
class Flow:
    """What is known of the flow into one call, before it is decided.

    Args:
        origins: For each sink argument by its name the worst origin of its values; one that has no value is not there.
        confidentiality: For each content argument who may see what it tells, as far as the gateway can know.
        audience: For each recipient argument the most that all its recipients may see.
        integrity: The worst of what the run has seen.
        seen: The most confidential of what the run has seen.
        has_grant: Whether the call names a valid grant.
        is_intended: Whether the person's own words, as far as the grant tells them, ask for what this tool does.
        first_time: For each recipient argument whether one of its values was never written to by this principal before.
        denials: How many calls of the run were denied.
        records: How many different records the run was shown.
        recent_calls: How many calls the principal made within the last minute.
    """

    origins: Mapping[str, Origin] = field(default_factory=dict)
    confidentiality: Mapping[str, Confidentiality] = field(default_factory=dict)
    audience: Mapping[str, Confidentiality] = field(default_factory=dict)
    integrity: Integrity = Integrity.ORGANISATION
    seen: Confidentiality = Confidentiality.PUBLIC
    has_grant: bool = False
    is_intended: bool = False
    first_time: Mapping[str, bool] = field(default_factory=dict)
    denials: int = 0
    records: int = 0
    recent_calls: int = 0


UNTOUCHED = Flow()
"""The flow of a run that has seen nothing, into a call whose arguments stand nowhere."""
