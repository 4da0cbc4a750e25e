"""Runs of words: what of a text was copied from another.

A text is a row of words, each a keyed 60-bit number. Of a text that was seen every fourth run of five words is kept, as
a hash; of a text to be written every run of five words is looked up. So eight words copied in a row are always found,
and five to seven with luck. A short line is kept whole, so that a copied title is found. Of the person's request, which
is short, every run is kept.

What is paraphrased cannot be found, nor what was translated or cut into pieces of less than five words: policy has the
run's own label for that. In scripts that put no blanks between words each character counts as one.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from gateway.flow.courtesy import COMMON
from gateway.flow.plain import spaced, word

RUN = 5
"""Words in a run."""
STRIDE = 4
ALWAYS_FOUND = RUN + STRIDE - 1
"""A copy of so many words in a row is always found."""
SHORT = 3
"""Words in the runs by which a text is known as the request's own."""

LONGEST_LINE = ALWAYS_FOUND - 1
"""Words in a line that is kept as a whole."""
_LINE_SIZE = 80
_SIXTY_BITS = ((1 << 60) - 1).__and__
_MOST_WORDS = 100_000
_LONGEST_WORD = 24
_MOST_MARKED = 1_000
_LONGEST_MARKED = 80
_APOSTROPHE = re.compile("(?<=[^\\W_])['’](?=[^\\W_])")
_CHARACTERS = re.compile(r"[぀-ヿ㐀-鿿가-힯豈-﫿]|[^\W_぀-ヿ㐀-鿿가-힯豈-﫿]+")
_MAY_HOLD_VALUE = re.compile(r"[\d@%]|[.:/＠．․。][^\s.]")


_T = TypeVar("_T")


class Parts(NamedTuple):
    """A text taken apart: its chunks, which of them may hold a value, and its words as numbers."""

    chunks: list[str]
    marked: list[int]
    words: list[int]


class Words:
    """Numbers for words, the same for the same key in every process; nobody finds words with equal runs without it.

    Args:
        key: 16 to 64 secret bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._plain: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self._split: dict[str, tuple[int, ...]] = {}
        self._marked: dict[str, tuple[int, ...]] = {}
        self.common = frozenset(map(self._number, COMMON))

    def read(self, text: str) -> Parts:
        """Take a text apart; the cost is in proportion to its length.

        Args:
            text: Any text; quotes and markup separate words.
        """
        return self.take_apart(spaced(text).split())

    def take_apart(self, chunks: list[str]) -> Parts:
        """The same for a text that is spaced and divided at its blanks."""
        words: list[int] = []
        marked: list[int] = []
        ids: list[int | None] = list(map(self._plain.get, chunks))
        if None not in ids:
            return Parts(chunks, marked, ids)  # type: ignore[arg-type]
        start = 0
        while True:
            try:
                at = ids.index(None, start)
            except ValueError:
                break
            words += ids[start:at]  # type: ignore[arg-type]  # None stands nowhere before `at`
            words += self._odd(chunks[at], at, marked)
            start = at + 1
        words += ids[start:]  # type: ignore[arg-type]
        return Parts(chunks, marked, words)

    def _odd(self, chunk: str, at: int, marked: list[int]) -> tuple[int, ...]:
        """The words of a chunk that is not known as one plain word."""
        if (known := self._split.get(chunk)) is not None:
            return known
        if (known := self._marked.get(chunk)) is not None:
            marked.append(at)
            return known
        parts = tuple(map(self._number, _CHARACTERS.findall(_APOSTROPHE.sub("", word(chunk)))))
        if len(chunk) > _LONGEST_WORD or _MAY_HOLD_VALUE.search(chunk):
            marked.append(at)
            if len(chunk) <= _LONGEST_MARKED:
                _remember(self._marked, chunk, parts, _MOST_MARKED)
        elif len(parts) == 1:
            _remember(self._plain, chunk, parts[0])
        else:
            _remember(self._split, chunk, parts)
        return parts

    def _number(self, text: str) -> int:
        if (known := self._numbers.get(text)) is not None:
            return known
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8, key=self._key).digest()
        number = int.from_bytes(digest, "little") >> 4
        if len(text) <= _LONGEST_WORD:
            _remember(self._numbers, text, number)
        return number


def _remember(known: dict[str, _T], chunk: str, value: _T, most: int = _MOST_WORDS) -> None:
    if len(known) >= most:
        known.clear()
    known[chunk] = value


def kept_runs(words: Sequence[int]) -> list[int]:
    """The hashes kept of a text that was seen: every fourth run, the last one, and a short text as a whole.

    Args:
        words: The text, or one of its short lines.
    """
    runs = _hashes(*(words[at::STRIDE] for at in range(RUN))) if len(words) >= RUN else []
    runs.append(whole_hash(words[-RUN:]))
    return runs


def every_run(words: Sequence[int]) -> set[int]:
    """The hashes of all runs of one to five words: what makes a text the request's own."""
    return {each for length in range(1, RUN + 1) for each in run_hashes(words, length)}


def run_hashes(words: Sequence[int], length: int) -> list[int]:
    """The hash of each run of so many words, in order."""
    return _hashes(*(islice(words, at, None) for at in range(length)))


def _hashes(*rows: Iterable[int]) -> list[int]:
    # A tuple's hash is not keyed: the words in it are. Sixty bits, because Python keeps them in less memory.
    return list(map(_SIXTY_BITS, map(hash, zip(*rows, strict=False))))


def whole_hash(words: Sequence[int]) -> int:
    """The hash of a run as it is: of a short text, all of it."""
    return _SIXTY_BITS(hash(tuple(words)))


def short_lines(text: str) -> list[str]:
    """The lines of a text that may be titles or one short sentence."""
    if "\n" not in text:
        return []
    return [line for line in text.splitlines() if len(line) <= _LINE_SIZE and 0 < line.count(" ") <= LONGEST_LINE]
