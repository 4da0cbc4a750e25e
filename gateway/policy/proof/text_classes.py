"""Which texts a set of looks can tell apart: finitely many classes, each with a text that is in it.

Every look is a regular language, so reading a text character by character takes finitely many steps that differ. All
of them are walked, the shortest texts first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from gateway.policy.proof.texts import VIEWS, AnyLook, Form, Length, Look, Neither, Outside, form_of_look


class _Recogniser(Protocol):
    """Steps through a text and tells at its end what it is."""

    start: Any

    def step(self, state: Any, char: str) -> Any: ...  # noqa: ANN401 - each has states of its own

    def accepts(self, state: Any) -> object: ...  # noqa: ANN401


class _Machine:
    """Steps through a text and says whether it is in a language; a state is a set of places as bits of a number."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._memo: dict[tuple[int, str], int] = {}
        self.start = self._skipped(1)
        self._end = 1 << len(form)

    def accepts(self, state: int) -> bool:
        return bool(state & self._end)

    def step(self, state: int, char: str) -> int:
        key = (state, char)
        if key not in self._memo:
            after = 0
            for place, (chars, repeat) in enumerate(self._form):
                if state >> place & 1 and char in chars:
                    after |= 1 << (place if repeat == "any" else place + 1)
            self._memo[key] = self._skipped(after)
        return self._memo[key]

    def _skipped(self, state: int) -> int:
        for place, (_, repeat) in enumerate(self._form):
            if state >> place & 1 and repeat != "once":
                state |= 1 << (place + 1)
        return state


class _Words:
    """Recognises each of many texts at once; a state is the text read so far while it begins one of them.

    Args:
        words: The texts.
        lowered: Whether every character is read in lower case. İ alone becomes two then, which no word has in a row.
    """

    start = ""

    def __init__(self, words: Iterable[str], *, lowered: bool) -> None:
        self._words = frozenset(words)
        self._beginnings = {word[:end] for word in self._words for end in range(len(word) + 1)}
        self._lowered = lowered

    def accepts(self, state: str | None) -> str | None:
        return state if state in self._words else None

    def step(self, state: str | None, char: str) -> str | None:
        longer = None if state is None else state + (char.lower() if self._lowered else char)
        return longer if longer in self._beginnings else None


class _Domains:
    """The same of what stands behind the last at sign; a state also says whether anything was read."""

    start: tuple[bool, str | None] = (False, None)

    def __init__(self, words: Iterable[str]) -> None:
        self._words = _Words(words, lowered=True)

    def accepts(self, state: tuple[bool, str | None]) -> str | None:
        return self._words.accepts(state[1])

    def step(self, state: tuple[bool, str | None], char: str) -> tuple[bool, str | None]:
        is_behind = char == "@" and state[0]
        return True, "" if is_behind else self._words.step(state[1], char)


class _Counter:
    """Counts characters up to a number that no look goes beyond."""

    start = 0

    def __init__(self, most: int) -> None:
        self._most = most

    def accepts(self, state: int) -> int:
        return state

    def step(self, state: int, char: str) -> int:  # noqa: ARG002 - any character counts
        return min(state + 1, self._most)


_MOST_STEPS = 4_000_000
"""Of a machine, each less than a microsecond."""


@dataclass(frozen=True, slots=True)
class TextClass:
    """Texts that no look tells apart: one of them, and the looks that are true of them."""

    text: str
    holds: frozenset[AnyLook]


@cache
def classes(
    form: Form, looks: frozenset[AnyLook], samples: tuple[str, ...] = (), apart: frozenset[str] = frozenset()
) -> tuple[TextClass, ...]:
    """Every class of the texts of a language.

    Args:
        form: The language.
        looks: What is asked about a text.
        samples: Texts of the language that may stand for their classes, being nicer than the shortest.
        apart: Texts that are to be classes of their own.

    Raises:
        Outside: If there are too many to find, or a look cannot be translated.
    """
    told_apart = {part for look in looks for part in (look.looks if isinstance(look, Neither) else [look])}
    machines = _machines(form, told_apart, apart)
    found: dict[tuple[frozenset[AnyLook], str | None], str] = {}
    for text in _distinguished(machines, _alphabet(form, told_apart, apart)):
        holds = frozenset(look for look in looks if look(text))
        found.setdefault((holds, text if text in apart else None), text)
    for sample in samples:
        key = (frozenset(look for look in looks if look(sample)), None)
        if key in found and sample not in apart:
            found[key] = sample
    return tuple(TextClass(text, holds) for (holds, _), text in found.items())


def _machines(form: Form, looks: Iterable[Look | Length], apart: Iterable[str]) -> list[_Recogniser]:
    """One for the language first, one for all whole texts of each view, one for each other look, one for the length."""
    shapes = [look for look in looks if isinstance(look, Look)]
    words = {view: {look.pieces[0] for look in shapes if look.view == view and _is_whole(look)} for view in VIEWS}
    machines: list[_Recogniser] = [_Machine(form), _Words({*words["itself"], *apart}, lowered=False)]
    machines += [_Words(words["lower"], lowered=True)] if words["lower"] else []
    machines += [_Domains(words["domain"])] if words["domain"] else []
    machines += [_Machine(form_of_look(look)) for look in shapes if not _is_whole(look)]
    lengths = [int(look.number) for look in looks if isinstance(look, Length)]
    return [*machines, _Counter(max(*lengths, 0) + 2)] if lengths else machines


def _is_whole(look: Look) -> bool:
    return len(look.pieces) == 1


def _is_plain(look: Look) -> bool:
    return look.view == "itself" and _is_whole(look)


def _distinguished(machines: Sequence[_Recogniser], alphabet: str) -> Iterable[str]:
    """The shortest text for each combination of answers that the machines give on the texts of the first one."""
    texts: dict[tuple[object, ...], str] = {}
    steps = [machine.step for machine in machines]
    start: tuple[object, ...] = tuple(machine.start for machine in machines)
    seen: dict[tuple[object, ...], str] = {start: ""}
    queue = [start]
    for state in queue:  # grows on the way
        answers = tuple(machine.accepts(part) for machine, part in zip(machines, state, strict=True))
        if answers[0]:
            texts.setdefault(answers, seen[state])
        for char in alphabet:
            after = tuple(step(part, char) for step, part in zip(steps, state, strict=True))
            if after[0] and after not in seen:
                seen[after] = seen[state] + char
                queue.append(after)
        if len(queue) * len(alphabet) * len(machines) > _MOST_STEPS:
            raise Outside("the conditions look at this text in too many ways")
    return texts.values()


def _alphabet(form: Form, looks: Iterable[Look | Length], apart: Iterable[str]) -> str:
    """One character for each set that all languages treat alike; letters first."""
    sets = {chars for token in (form, *_forms(looks)) for chars, _ in token}
    plain = {char for word in apart for char in word}
    plain.update(char for look in looks if isinstance(look, Look) and _is_plain(look) for char in look.pieces[0])
    mentioned = plain.union(*(chars.some for chars in sets))
    stranger = next(char for char in "x~•一二三四五六七八九十" if char not in mentioned)
    alike: dict[object, str] = {}
    for char in sorted({*mentioned, stranger}, key=lambda each: (not each.isalpha(), each)):
        alike.setdefault(char if char in plain else tuple(char in chars for chars in sets), char)
    return "".join(alike.values())


def _forms(looks: Iterable[Look | Length]) -> list[Form]:
    return [form_of_look(look) for look in looks if isinstance(look, Look) and not _is_plain(look)]
