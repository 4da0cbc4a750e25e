"""What is known about a piece of data: who could have written it, who may see it, and whose it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from connectors.contract import Confidentiality
from gateway.policy.language.flow import Integrity


@dataclass(frozen=True, slots=True)
class Label:
    """The label of a piece of data, or of several joined.

    Args:
        integrity: The least trustworthy who could have written it.
        confidentiality: How few may see it.
        owners: Whose it is, as domains, addresses and ids of customers; only what is a customer's own has owners.
    """

    integrity: Integrity = Integrity.ORGANISATION
    confidentiality: Confidentiality = Confidentiality.PUBLIC
    owners: frozenset[str] = frozenset()

    def __or__(self, other: "Label") -> "Label":
        """The label of data made of both: less trusted, more confidential, everybody's."""
        if other is self or other is CLEAN:
            return self
        return Label(
            self.integrity if self.integrity.rank >= other.integrity.rank else other.integrity,
            self.confidentiality if self.confidentiality.rank >= other.confidentiality.rank else other.confidentiality,
            self.owners if other.owners <= self.owners else self.owners | other.owners,
        )

    def told(self) -> list[Any]:
        """It as JSON data; `label_from` reads it back."""
        return [self.integrity.value, self.confidentiality.value, sorted(self.owners)]


CLEAN = Label()
"""The label of nothing: what is joined with it stays as it is."""


def label_from(told: Sequence[Any]) -> Label:
    """The label that JSON data tells, as `Label.told` gives it."""
    integrity, confidentiality, owners = told
    return Label(Integrity(integrity), Confidentiality(confidentiality), frozenset(owners))
