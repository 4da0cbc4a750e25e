"""The keyed fingerprints of what a text or a field shows, and what one call showed, gathered to be kept."""

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from gateway.flow.copied import LONGEST_LINE, Words, every_run, kept_runs, short_lines
from gateway.flow.evidence import Source
from gateway.flow.finding import Found, find, find_hidden, find_named
from gateway.flow.plain import disguised, is_masked, spaced
from gateway.flow.remembered import Remembered
from gateway.flow.rows import Row, seal
from gateway.flow.values import Given, Kind, Value, forms, host_of
from gateway.policy.language.flow import Origin

_SIXTY_BITS = (1 << 60) - 1
_SIFTED = frozenset({Origin.REQUEST, Origin.OUTSIDER})
"""Whose texts are also looked through in another way than the rest."""
_MOST_REMEMBERED = 4_000_000
"""Bytes of fingerprints of texts, and again of lines and of values."""
_ENTRY_SIZE = 400
_LONGEST_REMEMBERED = 200
_NONE = array("q")


class Prints(NamedTuple):
    """The fingerprints of typed values, and of runs of words."""

    values: "array[int]"
    runs: "array[int]"

    @property
    def size(self) -> int:
        """About how many bytes it takes, with what it is found by."""
        return _ENTRY_SIZE + 8 * (len(self.values) + len(self.runs))


class Printer:
    """Takes fingerprints; they are the same for the same key in every process.

    The same records are read again and again: the fingerprints of a text are remembered by a keyed hash of it.

    Args:
        key: 16 to 64 secret bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._hash = hashlib.blake2b(digest_size=8, key=key)
        self.words = Words(key)
        self._texts: Remembered[tuple[bytes | str, Origin], Prints] = Remembered(_MOST_REMEMBERED)
        self._lines: Remembered[str, Sequence[int]] = Remembered(_MOST_REMEMBERED)
        self._values: Remembered[tuple[str, Kind, str, bool], Prints] = Remembered(_MOST_REMEMBERED)

    def of_text(self, text: str, origin: Origin) -> Prints:
        """The typed values and the runs of words of a free text.

        Args:
            text: What was shown, whole: a value cut in two is no value.
            origin: Who wrote it.
        """
        sort = origin if origin in _SIFTED else Origin.ORGANISATION
        which = (text if len(text) <= _LONGEST_REMEMBERED else self._digest(text), sort)
        known = self._texts.get(which)
        if known is None:
            known = self._of_text(text, sort)
            self._texts.put(which, known, known.size)
        return known

    def _of_text(self, text: str, origin: Origin) -> Prints:
        plain = spaced(text)
        chunks, marked, words = self.words.take_apart(plain.split())
        runs = every_run(words) if origin is Origin.REQUEST else self._kept(plain, words)
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
        if isinstance(value, (int, float, Decimal)):
            value = str(value)  # which is what it is read as
        if not isinstance(value, str) or len(value) > _LONGEST_REMEMBERED:
            return self._of_value(value, kind, namespace, is_outsiders=origin is Origin.OUTSIDER)
        which = (value, kind, namespace, origin is Origin.OUTSIDER)
        known = self._values.get(which)
        if known is None:
            known = self._of_value(value, kind, namespace, is_outsiders=which[3])
            self._values.put(which, known, known.size)
        return known

    def _of_value(self, value: Given, kind: Kind, namespace: str, *, is_outsiders: bool) -> Prints:
        values = forms(value, kind, namespace)
        if kind is Kind.IDENTIFIER and not is_outsiders:
            return Prints(array("q", map(self.of, values)), _NONE)
        if is_outsiders:
            for hidden in disguised(str(value)):
                values |= forms(hidden, kind, namespace)
        if kind is Kind.TEXT:
            return self._prints(values, self._kept("", self.words.read(str(value)).words))
        return self._prints(values | _hosts_of(values) if kind is Kind.URL else values, ())

    def of(self, value: Value) -> int:
        """The fingerprint of a value in normal form."""
        keyed = self._hash.copy()  # the key is worked in already
        keyed.update("\x1f".join(value).encode(errors="surrogatepass"))
        return int.from_bytes(keyed.digest(), "little") & _SIXTY_BITS

    def _digest(self, text: str) -> bytes:
        whole = text.encode(errors="surrogatepass")
        return hashlib.blake2b(whole, digest_size=16, key=self._key, person=b"whole text").digest()

    def _prints(self, values: Iterable[Value], runs: Iterable[int]) -> Prints:
        return Prints(array("q", map(self.of, values)), array("q", dict.fromkeys(runs)))

    def _kept(self, plain: str, words: list[int]) -> Iterable[int]:
        runs = kept_runs(words)
        for line in short_lines(plain):
            of_line = self._lines.get(line)
            if of_line is None:
                of_line = self._of_line(line)
                self._lines.put(line, of_line, _ENTRY_SIZE + len(line))
            runs += of_line
        return runs

    def _of_line(self, line: str) -> Sequence[int]:
        words = self.words.take_apart(line.split()).words
        return kept_runs(words) if len(words) <= LONGEST_LINE else ()


@lru_cache(maxsize=2)
def printer_of(key: bytes) -> Printer:
    """What takes fingerprints under a key, shared by all runs of a process."""
    return Printer(key)


class Gathered:
    """What was shown and is to be kept.

    Args:
        key: 16 to 64 secret bytes, the same in every process.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._printer = printer_of(key)
        self._rows: list[Row] = []

    def add_text(self, text: str, source: Source) -> None:
        """Gather what a free text shows."""
        self.add((self._printer.of_text(text, source.origin),), source)

    def add_value(self, value: Given, kind: Kind, namespace: str, source: Source) -> None:
        """Gather what a field that holds one value makes known."""
        self.add((self._printer.of_value(value, kind, namespace, source.origin),), source)

    def add(self, shown: Sequence[Prints], source: Source) -> None:
        """Gather the fingerprints of what stands in one place."""
        values, runs = shown[0] if len(shown) == 1 else _joined(shown)
        if values or runs:
            self._rows.append(Row(source, values, runs))

    def take(self) -> bytes:
        """What was gathered since the last time, sealed; empty if it was nothing."""
        rows, self._rows = self._rows, []
        return seal(rows, self._key) if rows else b""


def _joined(shown: Iterable[Prints]) -> Prints:
    values, runs = array("q"), array("q")
    for prints in shown:
        values += prints.values
        runs += prints.runs
    return Prints(values, runs)


def _values_of(found: Iterable[Found]) -> set[Value]:
    values = {form for each in found for form in each.forms}
    return values | _hosts_of(values)


def _hosts_of(values: Iterable[Value]) -> set[Value]:
    return {host_of(value) for value in values if value.kind is Kind.URL}
