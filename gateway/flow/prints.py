"""The keyed fingerprints of what a text or a field shows, and what one call showed, gathered to be kept."""

import hashlib
from array import array
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from gateway.flow.copied import LONGEST_LINE, Words, every_run, kept_runs, short_lines
from gateway.flow.evidence import Source
from gateway.flow.finding import Found, find, find_hidden, find_named
from gateway.flow.plain import disguised, is_masked, spaced
from gateway.flow.rows import Row, seal
from gateway.flow.values import Given, Kind, Value, forms, host_of
from gateway.policy.language.flow import Origin

_SIXTY_BITS = (1 << 60) - 1
_SIFTED = frozenset({Origin.REQUEST, Origin.OUTSIDER})
"""Whose texts are also looked through in another way than the rest."""


class Prints(NamedTuple):
    """The fingerprints of typed values, and of runs of words."""

    values: frozenset[int]
    runs: frozenset[int]


class Printer:
    """Takes fingerprints; they are the same for the same key in every process.

    Args:
        key: 16 to 64 secret bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.words = Words(key)

    def of_text(self, text: str, origin: Origin) -> Prints:
        """The typed values and the runs of words of a free text.

        Args:
            text: What was shown, whole: a value cut in two is no value.
            origin: Who wrote it.
        """
        chunks, marked, words = self.words.read(text)
        runs = every_run(words) if origin is Origin.REQUEST else self._kept(text, words)
        clear = [at for at in marked if chunks[at].isprintable() and not is_masked(chunks[at])]
        found = list(find(chunks, clear))
        if origin is Origin.REQUEST:
            found += find_named(chunks)
        elif origin is Origin.OUTSIDER:
            found += find_hidden(chunks, marked)
        return self._prints(_values_of(found), runs)

    def of_value(self, value: Given, kind: Kind, namespace: str, origin: Origin) -> Prints:
        """What a field that holds one value makes known.

        Args:
            value: As the field holds it.
            kind: What it is; a name or a title is `TEXT`.
            namespace: For an identifier what it identifies, such as `file`.
            origin: Who wrote it.
        """
        values = forms(value, kind, namespace)
        if origin is Origin.OUTSIDER:
            for hidden in disguised(str(value)):
                values |= forms(hidden, kind, namespace)
        if kind is Kind.TEXT:
            return self._prints(values, self._kept("", self.words.read(str(value)).words))
        return self._prints(values | _hosts_of(values), ())

    def of(self, value: Value) -> int:
        """The fingerprint of a value in normal form."""
        text = "\x1f".join(value).encode(errors="surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8, key=self._key).digest(), "little") & _SIXTY_BITS

    def _prints(self, values: Iterable[Value], runs: Iterable[int]) -> Prints:
        return Prints(frozenset(map(self.of, values)), frozenset(runs))

    def _kept(self, text: str, words: list[int]) -> Iterable[int]:
        runs = kept_runs(words)
        for line in short_lines(spaced(text)) if "\n" in text else ():
            of_line = self.words.take_apart(line.split()).words
            if len(of_line) <= LONGEST_LINE:
                runs += kept_runs(of_line)
        return runs


@lru_cache(maxsize=2)
def printer_of(key: bytes) -> Printer:
    """What takes fingerprints under a key, shared by all runs of a process."""
    return Printer(key)


class Gathered:
    """What was shown and is to be kept; the same text is looked through only once.

    Args:
        key: 16 to 64 secret bytes, the same in every process.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._printer = printer_of(key)
        self._texts: dict[tuple[str, Origin], Prints] = {}
        self._values: dict[tuple[str, Kind, str, Origin], Prints] = {}
        self._new: dict[Source, tuple[set[int], set[int]]] = {}

    def add_text(self, text: str, source: Source) -> None:
        """Gather what a free text shows."""
        sort = source.origin if source.origin in _SIFTED else Origin.ORGANISATION
        known = self._texts.get((text, sort))
        if known is None:
            known = self._texts[text, sort] = self._printer.of_text(text, sort)
        self.add(known, source)

    def add_value(self, value: Given, kind: Kind, namespace: str, source: Source) -> None:
        """Gather what a field that holds one value makes known."""
        if not isinstance(value, str):
            self.add(self._printer.of_value(value, kind, namespace, source.origin), source)
            return
        which = (value, kind, namespace, source.origin)
        known = self._values.get(which)
        if known is None:
            known = self._values[which] = self._printer.of_value(value, kind, namespace, source.origin)
        self.add(known, source)

    def add(self, prints: Prints, source: Source) -> None:
        """Gather fingerprints."""
        known = self._new.get(source)
        if known is not None:
            values, runs = known
            values |= prints.values
            runs |= prints.runs
        elif prints.values or prints.runs:
            self._new[source] = (set(prints.values), set(prints.runs))

    def take(self) -> bytes:
        """What was gathered since the last time, sealed; empty if it was nothing."""
        rows = [Row(source, array("q", values), array("q", runs)) for source, (values, runs) in self._new.items()]
        self._new, self._texts, self._values = {}, {}, {}
        return seal(rows, self._key) if rows else b""


def _values_of(found: Iterable[Found]) -> set[Value]:
    values = {form for each in found for form in each.forms}
    return values | _hosts_of(values)


def _hosts_of(values: Iterable[Value]) -> set[Value]:
    return {host_of(value) for value in values if value.kind is Kind.URL}
