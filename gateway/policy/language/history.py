"""What a run was allowed so far, for rules that count or sum it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from gateway.policy.language.patterns import covers


@dataclass(frozen=True, slots=True)
class History:
    """The calls that this run was allowed before the one that is decided.

    Args:
        calls: For each tool the arguments of each call, oldest first. A number may be written as a text, as in JSON.
    """

    calls: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)

    def count(self, pattern: str) -> int:
        """How many calls there were of the tools that a pattern covers."""
        return sum(len(made) for tool, made in self.calls.items() if covers(pattern, tool))

    def total(self, tool: str, argument: str) -> Decimal:
        """The sum of a number argument over a tool's calls; one that was left out (None) adds nothing.

        Raises:
            KeyError: If a call has no such argument.
            TypeError: If a value is no number.
            ArithmeticError: If a value is a text that is no number, or not finite.
        """
        values = (made[argument] for made in self.calls.get(tool, ()))
        return sum((_number(value) for value in values if value is not None), Decimal(0))


EMPTY = History()
"""The history of a run that did nothing yet."""


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal, str)):
        raise TypeError("not a number")
    number = Decimal(value)
    if not number.is_finite():
        raise ArithmeticError("not finite")
    return number
