"""Where several calls go: each value that leaves with one of them, so that what differs is seen at a glance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from connectors.contract import Sink
from gateway.console.shown import Shown


@dataclass(frozen=True)
class Target:
    """A value that leaves with some of the calls: whom they reach, what they pay, what they act on.

    Args:
        kind: What it is: `recipient`, `amount`, …
        value: The value.
        is_external: Whether it is outside the organisation.
        origin: Where it comes from, in words; empty where nobody traced it.
        is_vouched: Whether the person or the organisation stands behind it.
        calls: The numbers of the calls on the page.
    """

    kind: str
    value: str
    is_external: bool = False
    origin: str = ""
    is_vouched: bool = True
    calls: tuple[int, ...] = ()


def targets_of(calls: Sequence[Shown]) -> list[Target]:
    """Every value that leaves with one of the calls, once, with the numbers of those that it leaves with.

    In each kind what nobody vouches for comes first, and of that what the fewest calls have.
    """
    found: dict[tuple[str, str], Target] = {}
    for number, call in enumerate(calls, 1):
        for target in _targets_of(call):
            key = (target.kind, target.value)
            old = found.get(key, target)
            # Of two origins of one value the worse one is told.
            told = old if not old.is_vouched or target.is_vouched else target
            external = old.is_external or target.is_external
            found[key] = replace(told, is_external=external, calls=tuple(sorted({*old.calls, number})))
    return sorted(found.values(), key=lambda each: (each.kind, each.is_vouched, len(each.calls), each.calls))


def _targets_of(call: Shown) -> Iterator[Target]:
    outside = {each.address for each in call.external}
    for argument in call.arguments:
        if argument.sink:
            for value in argument.text.splitlines():
                yield Target(argument.sink, value, value in outside, argument.origin, argument.is_vouched)
    for each in call.letter.addressees if call.letter else call.external:
        yield Target(Sink.RECIPIENT.value, each.address, each.is_external)
