"""Checks a journal against its key: is it what was written, in the order it was written, and all of it?

Needs nothing but the entries, the signed notes and the public key; neither database nor private key.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.journal.chain import GENESIS, Key, Stored, Tree
from gateway.journal.checkpoint import Checkpoint, open_checkpoint
from gateway.journal.entry import opens
from gateway.journal.findings import Finding, Problem, diagnose, readable, rewritten
from gateway.journal.lines import Heading, Unreadable
from gateway.journal.note import BadNote, PublicKey


@dataclass(frozen=True)
class Report:
    """What checking a journal gave.

    Args:
        entries: How many entries were good, from the first on.
        checkpoints: How many signed checkpoints agreed with them.
        signed: How many of the entries the newest of these covers.
        finding: What is wrong after them; None if nothing is.
    """

    entries: int
    checkpoints: int
    signed: int
    finding: Finding | None


def check(items: Iterable[Stored | str], key: PublicKey, published: Iterable[Checkpoint] = ()) -> Report:
    """Check entries in their order, with the notes that stand between them.

    Args:
        items: The entries, and each checkpoint's note after the entries that it covers. Reading them may raise
            `Unreadable`.
        key: The journal's public key.
        published: Checkpoints that were kept elsewhere, their signatures checked.
    """
    return _Walk(iter(items), key, published).to_the_end()


def check_file(
    items: Iterator[Heading | Stored | Key | str], key: PublicKey, published: Iterable[Checkpoint] = ()
) -> Report:
    """Check an exported file: as `check`, and that it has all that it says and ends with a checkpoint.

    Args:
        items: What `from_lines` gives.
        key: The journal's public key.
        published: Checkpoints that were kept elsewhere, their signatures checked.
    """
    try:
        heading = next(items)
    except Unreadable as error:
        return Report(0, 0, 0, Finding(1, Problem.UNREADABLE, str(error)))
    if not isinstance(heading, Heading) or (heading.remit_journal, heading.key) != (1, str(key)):
        return Report(0, 0, 0, Finding(1, Problem.UNSIGNED, "its first line names another key, or it is no export"))
    keys = _Keys()
    report = check(keys.checked(items), key, published)
    return report if report.finding else _complete(report, heading, keys.count)


class _Keys:
    """Looks whether each key opens the entry before it; no hash covers keys."""

    def __init__(self) -> None:
        self.count = 0

    def checked(self, items: Iterable[Heading | Stored | Key | str]) -> Iterator[Stored | str]:
        """Yield what is no key.

        Raises:
            Unreadable: At a key that opens nothing.
        """
        before: Stored | None = None
        for item in items:
            # The heading's type is one of the file's first line only; `from_lines` makes no other.
            if isinstance(item, Stored | str):
                before = item if isinstance(item, Stored) else None
                yield item
            elif isinstance(item, Key):
                if before is None or before.position != item.position or not opens(before.row, item.key):
                    raise Unreadable(f"what should open entry {item.position} does not")
                self.count, before = self.count + 1, None


def _complete(report: Report, heading: Heading, keys: int) -> Report:
    said, found = (heading.entries, heading.checkpoints), (report.entries, report.checkpoints)
    finding = None
    if said != found:
        what = f"it says that it has {said[0]} entries and {said[1]} checkpoints and has {found[0]} and {found[1]}"
        finding = Finding(min(report.entries, heading.entries) + 1, Problem.TRUNCATED, what)
    elif (heading.keys or 0) != keys:
        what = f"it says that it has {heading.keys or 0} keys and has {keys}"
        finding = Finding(1, Problem.MISSING, what)
    elif report.signed != report.entries:
        finding = Finding(report.signed + 1, Problem.UNSIGNED, "it does not end with a checkpoint of all its entries")
    return Report(report.entries, report.checkpoints, report.signed, finding)


class _Wrong(Exception):
    """Carries the finding that ends a walk."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding


class _Walk:
    """One pass over a journal."""

    def __init__(self, items: Iterator[Stored | str], key: PublicKey, published: Iterable[Checkpoint]) -> None:
        self._items = items
        self._key = key
        self._published = _by_size(published)
        self._tree = Tree()
        self._head = GENESIS
        self._checkpoints = 0
        self._signed = 0
        self._other: Finding | None = None
        """Says that a published checkpoint is of other entries."""

    def to_the_end(self) -> Report:
        try:
            for item in self._items:
                if isinstance(item, Stored):
                    self._entry(item)
                else:
                    self._note(item)
            self._end()
        except Unreadable as error:
            finding: Finding | None = Finding(self._tree.size + 1, Problem.UNREADABLE, str(error))
        except _Wrong as wrong:
            finding = wrong.finding
        else:
            finding = None
        if self._other and (finding is None or self._other.position <= finding.position):
            finding = self._other
        return Report(self._tree.size, self._checkpoints, self._signed, finding)

    def _entry(self, stored: Stored) -> None:
        expected = self._tree.size + 1
        # In this order: a position that no journal has cannot be hashed.
        if stored.position != expected or stored.previous != self._head or stored.own_hash != stored.hash:
            raise _Wrong(diagnose(expected, self._head, stored, self._items))
        self._head = stored.hash
        self._tree.append(stored.hash)
        if self._published and expected in self._published and self._other is None:
            self._compare(self._published[expected])

    def _compare(self, published: Sequence[Checkpoint]) -> None:
        if all(checkpoint.root == self._tree.root for checkpoint in published):
            self._signed = self._tree.size
            return
        self._other = rewritten(self._signed, self._tree.size)

    def _note(self, note: str) -> None:
        size = self._tree.size
        try:
            checkpoint = open_checkpoint(note, self._key)
        except BadNote as error:
            raise _Wrong(
                Finding(max(size, 1), Problem.UNSIGNED, f"the checkpoint after entry {size}: {error}")
            ) from None
        if checkpoint.size > size:
            problem = (
                Problem.MISSING
                if any(isinstance(item, Stored) for item in readable(self._items))
                else Problem.TRUNCATED
            )
            raise _Wrong(
                Finding(size + 1, problem, f"entries {size + 1} to {checkpoint.size} were signed and are missing")
            )
        if checkpoint.size < size:
            what = f"the checkpoint of {checkpoint.size} entries stands after entry {size}"
            raise _Wrong(Finding(checkpoint.size + 1, Problem.REORDERED, what))
        if checkpoint.root != self._tree.root:
            raise _Wrong(rewritten(self._signed, size))
        self._checkpoints += 1
        self._signed = size
        if self._other:
            what = (
                f"{self._other.detail}; yet entries up to {size} are signed with the same key: there are two journals"
            )
            self._other = Finding(self._other.position, Problem.FORKED, what)

    def _end(self) -> None:
        size, newest = self._tree.size, max(self._published, default=0)
        if newest > size:
            what = f"entries {size + 1} to {newest} were signed and are missing"
            raise _Wrong(Finding(size + 1, Problem.TRUNCATED, what))


def _by_size(checkpoints: Iterable[Checkpoint]) -> Mapping[int, list[Checkpoint]]:
    sizes: dict[int, list[Checkpoint]] = defaultdict(list)
    for checkpoint in checkpoints:
        sizes[checkpoint.size].append(checkpoint)
    return dict(sizes)
