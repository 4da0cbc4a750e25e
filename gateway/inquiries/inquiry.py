"""An inquiry as it travels: what is asked, and of which call; a client of 2026-07-28 brings it back, sealed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.asking import Given, Passed, Question

_PREFIX = "inquiry:"
LONGEST = 24_000
"""Characters of an inquiry in all, which such a client sends back."""


@dataclass(frozen=True)
class Inquiry:
    """What a call waits for.

    Args:
        call: The name that the call goes by in the journal.
        key: The name that its caller knows it by, if it has one.
        name: The inquiry's own; there is one answer to it.
        round: How many inquiries of the call there were before, and this one.
        area: Whose server asks.
        questions: What it asks, by its names for it.
        state: What the back end wants to be told again.
    """

    call: str
    key: str
    name: str
    round: int
    area: str
    questions: Mapping[str, Question]
    state: str

    def written(self) -> str:
        """The inquiry as text; `inquiry_in` reads it."""
        questions = {name: [each.kind, each.params] for name, each in self.questions.items()}
        told = [self.call, self.key, self.name, self.round, self.area, questions, self.state]
        return _PREFIX + json.dumps(told, separators=(",", ":"))


def inquiry_in(state: str | None) -> Inquiry | None:
    """The inquiry that a client brings back, whose seal is verified; None if that is something else."""
    if state is None or not state.startswith(_PREFIX):
        return None
    call, key, name, number, area, questions, own = json.loads(state.removeprefix(_PREFIX))
    asked = {each: Question(Passed(kind), params) for each, (kind, params) in questions.items()}
    return Inquiry(call, key, name, number, area, asked, own)


@dataclass(frozen=True)
class Resumed:
    """A call that goes on with what its client answered.

    Args:
        inquiry: What was asked.
        answers: What came back, by the names of the questions.
    """

    inquiry: Inquiry
    answers: Mapping[str, Given]


class ClientAsked(Exception):
    """The call's client has to answer first; it is on record that it is asked."""

    def __init__(self, inquiry: Inquiry) -> None:
        super().__init__(f"{inquiry.call} waits for what its client answers")
        self.inquiry = inquiry


@dataclass(frozen=True)
class Client:
    """What the client that makes a call can do for whoever carries it out.

    Args:
        kinds: What it can be asked.
        log_level: From which level on it wants a server's log; empty for nothing of it.
        heard: The lines of a log that are not on record yet: level and words.
        told: Those that are, and may be told.
    """

    kinds: frozenset[Passed] = frozenset()
    log_level: str = ""
    heard: list[tuple[str, str]] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)

    def log(self, level: str, words: str) -> None:
        """Take a line of a server's log."""
        self.heard.append((level, words))

    def release(self) -> None:
        """What was heard is on record: it may be told."""
        self.told.extend(self.heard)
        self.heard.clear()
