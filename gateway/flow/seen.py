"""What one run has seen, and from where a value or a text that is to be written comes.

Only whole, typed values are compared, in normal form (`values.py`), and runs of words (`copied.py`). A value has the
best origin of the places where it stands; a text the worst of its parts. Nothing is kept but keyed fingerprints, at
most so many: what is dropped makes a value `nowhere`, never better.

What a model words anew from what it read leaves no trace here. For that policy has the run's own label.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from gateway.flow.copied import Words
from gateway.flow.evidence import Evidence, Source, Standing, Standings
from gateway.flow.prints import Gathered, Prints, printer_of
from gateway.flow.rows import unseal
from gateway.flow.values import Given, Kind, Value
from gateway.policy.language.flow import Origin


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of what was seen is kept, for one run; the default is for 10 MB of text and takes about 45 MB.

    Args:
        values: Typed values.
        runs: Runs of words: one for every four words.
        standings: Different places and labels; beyond that places are no longer told apart.
    """

    values: int = 80_000
    runs: int = 580_000
    standings: int = 4_000


class Seen:
    """An index of what one run has seen. It does no input or output; one thread may use it at a time.

    Args:
        key: 16 to 64 secret bytes, the same in every process.
        limits: How much is kept.
    """

    def __init__(self, key: bytes, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        standings = Standings(limits.standings)
        self._key = key
        self._printer = printer_of(key)
        self.values = Evidence(limits.values, standings)
        self.runs = Evidence(limits.runs, standings)
        # The request's runs again: few, and so quickly looked up.
        self.requested = Evidence(limits.values, standings)
        self._new = Gathered(key)

    @property
    def words(self) -> Words:
        """How texts are taken apart under this run's key."""
        return self._printer.words

    @property
    def size(self) -> int:
        """How many fingerprints are kept."""
        return len(self.values) + len(self.runs)

    def add_text(self, text: str, source: Source) -> None:
        """Remember a free text: its typed values and its runs of words.

        Args:
            text: What was shown, whole: a value cut in two is no value.
            source: Where it stood.
        """
        self._add(self._printer.of_text(text, source.origin), source)

    def add_value(self, value: Given, kind: Kind, namespace: str, source: Source) -> None:
        """Remember a field that holds one value.

        Args:
            value: As the field holds it.
            kind: What it is; a name or a title is `TEXT`.
            namespace: For an identifier what it identifies, such as `file`.
            source: Where it stood.
        """
        self._add(self._printer.of_value(value, kind, namespace, source.origin), source)

    def take_new(self) -> bytes:
        """What was added since the last time, sealed, for `load` in another process; empty if it was nothing."""
        return self._new.take()

    def load(self, sealed: bytes) -> None:
        """Add what another `Seen` of the same key took.

        Args:
            sealed: What `take_new` gave.

        Raises:
            Unreadable: If it was changed or is of another form or key; nothing may be decided without it.
        """
        for row in unseal(sealed, self._key) if sealed else ():
            self.values.add(row.values, row.source)
            self._add_runs(row.runs, row.source)

    def known(self, values: Iterable[Value]) -> list[Standing | None]:
        """What is known of each of some values in normal form, in order."""
        return self.values.get([self._printer.of(value) for value in values])

    def _add(self, prints: Prints, source: Source) -> None:
        self.values.add(prints.values, source)
        self._add_runs(prints.runs, source)
        self._new.add((prints,), source)

    def _add_runs(self, runs: Collection[int], source: Source) -> None:
        self.runs.add(runs, source)
        if source.origin is Origin.REQUEST:
            self.requested.add(runs, source)
