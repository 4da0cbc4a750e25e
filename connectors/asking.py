"""What a back end may ask of the client that made a call, in the course of that call, and what comes back.

A back end that needs something raises `Asked` and is called again with the answers: nothing is held open for a person
who thinks. Only other MCP servers ask, and only for what their file passes on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from connectors.errors import InvalidInput

MOST_LOGGED = 100
"""Lines of its log that a back end may tell the caller, for each time that it is called."""


class Passed(StrEnum):
    """What a tool's server may send to the client that made a call, or ask of it."""

    LOG = "log"
    FORM = "form"
    """Ask its user to fill in a form (elicitation)."""
    PAGE = "page"
    """Ask its user to open a page (elicitation in URL mode)."""
    SAMPLING = "sampling"
    """Ask its model."""
    ROOTS = "roots"
    """Ask for the folders that it works on."""


ASKING = frozenset(Passed) - {Passed.LOG}
"""Of these, what is answered: the answer leaves for the server."""


@dataclass(frozen=True)
class Question:
    """One thing asked.

    Args:
        kind: What is asked for.
        params: How, as the protocol has it in JSON, checked and bounded; its words are an outsider's.
    """

    kind: Passed
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """What the client gave for a question.

    Args:
        kind: What was asked for.
        result: As the protocol has it in JSON; None if the client refused.
    """

    kind: Passed
    result: Mapping[str, Any] | None


class Asked(Exception):
    """The call cannot go on before its client has answered.

    Args:
        questions: What is asked, by the back end's name for each; at least one.
        state: What the back end wants to be told again with the answers; it may be long and is nobody else's business.
        is_held: Whether the call waits at the back end; otherwise nothing has happened there yet.
    """

    def __init__(self, questions: Mapping[str, Question], state: str, *, is_held: bool) -> None:
        super().__init__("the client that made the call has to answer first")
        self.questions = questions
        self.state = state
        self.is_held = is_held


class LacksCapability(InvalidInput):
    """The server needs what the client that made the call cannot do.

    Args:
        kinds: What that is.
    """

    def __init__(self, message: str, kinds: frozenset[Passed]) -> None:
        super().__init__(message)
        self.kinds = kinds


@dataclass(frozen=True)
class Asking:
    """What the client that made a call can be asked, and what it has answered.

    Args:
        kinds: What it can be asked.
        log_level: From which level on it wants the server's log; empty for nothing of it.
        log: Takes a line of the log: its level and its words. They reach the client before the answer.
        answers: Its answers by the names of the questions; None when the call begins.
        state: The state that came with the questions.
        seconds: How long a question may wait for its answer.
    """

    kinds: frozenset[Passed] = frozenset()
    log_level: str = ""
    log: Callable[[str, str], None] = lambda _level, _words: None
    answers: Mapping[str, Given] | None = None
    state: str = ""
    seconds: float = 0.0


NOBODY = Asking()
"""Whoever made the call can be asked nothing."""
