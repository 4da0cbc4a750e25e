"""What one run has seen, and from where a value or a text that is to be written comes.

Only whole, typed values are compared, in normal form (`values.py`), and runs of words (`copied.py`). A value has the
best origin of the places where it stands; a text the worst of its parts. Nothing is kept but keyed fingerprints, at
most so many: what is dropped makes a value `nowhere`, never better.

What a model words anew from what it read leaves no trace here. For that policy has the run's own label.
"""

import hashlib
from array import array
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from gateway.flow.copied import LONGEST_LINE, Words, every_run, kept_runs, short_lines, words_of
from gateway.flow.evidence import Evidence, Source, Standing, Standings
from gateway.flow.finding import Found, find, find_hidden, find_named
from gateway.flow.plain import disguised, is_masked, spaced
from gateway.flow.rows import Row, seal, unseal
from gateway.flow.values import Given, Kind, Value, forms, host_of
from gateway.policy.language.flow import Origin

_SIXTY_BITS = (1 << 60) - 1


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
        self._words = words_of(key)
        self.values = Evidence(limits.values, standings)
        self.runs = Evidence(limits.runs, standings)
        # The request's runs again: few, and so quickly looked up.
        self.requested = Evidence(limits.values, standings)
        self._new: dict[Source, tuple[set[int], set[int]]] = {}

    @property
    def words(self) -> Words:
        """How texts are taken apart under this run's key."""
        return self._words

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
        chunks, marked, words = self._words.read(text)
        runs = every_run(words) if source.origin is Origin.REQUEST else self._kept(text, words)
        clear = [at for at in marked if chunks[at].isprintable() and not is_masked(chunks[at])]
        found = list(find(chunks, clear))
        if source.origin is Origin.REQUEST:
            found += find_named(chunks)
        elif source.origin is Origin.OUTSIDER:
            found += find_hidden(chunks, marked)
        self._add(source, _values_of(found), runs)

    def add_value(self, value: Given, kind: Kind, namespace: str, source: Source) -> None:
        """Remember a field that holds one value.

        Args:
            value: As the field holds it.
            kind: What it is; a name or a title is `TEXT`.
            namespace: For an identifier what it identifies, such as `file`.
            source: Where it stood.
        """
        values = forms(value, kind, namespace)
        if source.origin is Origin.OUTSIDER:
            for hidden in disguised(str(value)):
                values |= forms(hidden, kind, namespace)
        if kind is Kind.TEXT:
            self._add(source, values, self._kept("", self._words.read(str(value)).words))
        else:
            self._add(source, values | _hosts_of(values), ())

    def take_new(self) -> bytes:
        """What was added since the last time, sealed, for `load` in another process; empty if it was nothing."""
        rows = [Row(source, array("q", values), array("q", runs)) for source, (values, runs) in self._new.items()]
        self._new = {}
        return seal(rows, self._key) if rows else b""

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
        return self.values.get([self._fingerprint(value) for value in values])

    def _add(self, source: Source, values: Iterable[Value], runs: Iterable[int]) -> None:
        of_values = {self._fingerprint(value) for value in values}
        of_runs = set(runs)
        self.values.add(of_values, source)
        self._add_runs(of_runs, source)
        if source in self._new:
            known_values, known_runs = self._new[source]
            known_values |= of_values
            known_runs |= of_runs
        elif of_values or of_runs:
            self._new[source] = (of_values, of_runs)

    def _add_runs(self, runs: Collection[int], source: Source) -> None:
        self.runs.add(runs, source)
        if source.origin is Origin.REQUEST:
            self.requested.add(runs, source)

    def _kept(self, text: str, words: list[int]) -> Iterable[int]:
        runs = kept_runs(words)
        for line in short_lines(spaced(text)):
            of_line = self._words.take_apart(line.split()).words
            if len(of_line) <= LONGEST_LINE:
                runs += kept_runs(of_line)
        return runs

    def _fingerprint(self, value: Value) -> int:
        text = "\x1f".join(value).encode(errors="surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8, key=self._key).digest(), "little") & _SIXTY_BITS


def _values_of(found: Iterable[Found]) -> set[Value]:
    values = {form for each in found for form in each.forms}
    return values | _hosts_of(values)


def _hosts_of(values: Iterable[Value]) -> set[Value]:
    return {host_of(value) for value in values if value.kind is Kind.URL}
