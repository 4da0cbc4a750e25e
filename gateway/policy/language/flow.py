"""What conditions may ask about data flow: where arguments come from, what the run has seen. Enums and counts only."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum, StrEnum
from typing import Any

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

    rank: int
    """0 for the best to 4 for the worst: of several values, the worst one counts."""


for _rank, _origin in enumerate(Origin):
    _origin.rank = _rank


class Integrity(StrEnum):
    """Who could have written what a run has seen, from best to worst."""

    ORGANISATION = "organisation"
    CUSTOMER = "customer"
    ANYONE = "anyone"

    rank: int
    """0 for the organisation to 2 for anyone."""


for _rank, _integrity in enumerate(Integrity):
    _integrity.rank = _rank


class Level(IntEnum):
    """A `Confidentiality` as conditions compare it: by rank, never by its word."""

    PUBLIC = 0
    INTERNAL = 1
    CUSTOMER = 2
    SECRET = 3

    @property
    def word(self) -> str:
        """How policy files write it."""
        return Confidentiality[self.name].value

    @staticmethod
    def of(confidentiality: Confidentiality) -> "Level":
        """The level of a confidentiality."""
        return _OF_CONFIDENTIALITY[confidentiality]


_OF_CONFIDENTIALITY = {confidentiality: Level(confidentiality.rank) for confidentiality in Confidentiality}
LEVELS: Mapping[str, Level] = {level.word: level for level in Level}
"""Each level by its word."""


def carries(value: object) -> bool:
    """Whether an argument carries anything: not None, no empty text or list, no record of nothing else."""
    if isinstance(value, dict):
        return any(carries(inside) for inside in value.values())
    # Plain types, as validated arguments have them: looking these up costs next to nothing.
    return value is not None and not (isinstance(value, (str, list, tuple, set, frozenset)) and not value)


@dataclass(frozen=True, slots=True)
class Flow:
    """What is known of the flow into one call, before it is decided.

    Of an argument that carries a value every fact that a rule asks about must be there: one that is missing denies.

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
        customers: How many different customers' own data the run has seen.
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
    customers: int = 0

    def told(self) -> dict[str, Any]:
        """The facts as JSON data, without those of a run that has seen nothing; `flow_from` reads them back."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: _plain(value) for name, value in told.items() if value != getattr(UNTOUCHED, name)}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _plain(inside) for name, inside in value.items()}
    return value.value if isinstance(value, StrEnum) else value


UNTOUCHED = Flow()
"""The flow of a run that has seen nothing, into a call whose arguments stand nowhere."""


@dataclass(frozen=True, slots=True)
class FlowNeeds:
    """What the rules about a tool ask about data flow: nothing else of a `Flow` is looked at.

    Args:
        origins: The arguments whose origin is asked about.
        confidentiality: The arguments whose confidentiality is.
        audience: The arguments whose audience is.
        first_time: The arguments of which it is asked whether somebody is written to for the first time.
        run: What is asked about the run and the call as a whole, by its name behind `run.`.
    """

    origins: frozenset[str] = frozenset()
    confidentiality: frozenset[str] = frozenset()
    audience: frozenset[str] = frozenset()
    first_time: frozenset[str] = frozenset()
    run: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return any((self.origins, self.confidentiality, self.audience, self.first_time, self.run))

    def __or__(self, other: "FlowNeeds") -> "FlowNeeds":
        return FlowNeeds(*(getattr(self, each.name) | getattr(other, each.name) for each in fields(self)))


NO_FLOW_NEEDED = FlowNeeds()
