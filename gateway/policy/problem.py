"""What is wrong with a policy, where, and what was probably meant."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum


class Severity(StrEnum):
    """An error keeps a policy from being put in force; a warning is what its author most likely did not mean."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a policy file; `line` and `column` count from 1, the column in characters.

    Args:
        file: The file's name.
        line: Its line.
        column: Where in the line.
        message: What is wrong, and what was probably meant.
        severity: Whether the policy can be put in force nevertheless.
        code: What kind of problem it is, for machines: `mistake` for errors, a key of `lint.CODES` for warnings.
    """

    file: str
    line: int
    column: int
    message: str
    severity: Severity = Severity.ERROR
    code: str = "mistake"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message}"


class PolicyError(Exception):
    """The policy cannot be put in force. Carries every problem found, in the order of the files."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def suggest(wrong: str, known: Iterable[str], prefix: str = "") -> str:
    """` — did you mean …?` when one of the known names is near the wrong one, else an empty string.

    Args:
        wrong: The name as it was written, without the prefix.
        known: The names there are, without the prefix.
        prefix: What all of them start with, so that it does not count as likeness.
    """
    near = get_close_matches(wrong, sorted(known), n=1, cutoff=0.7)
    return f" — did you mean `{prefix}{near[0]}`?" if near else ""
