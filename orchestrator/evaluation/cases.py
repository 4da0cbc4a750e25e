"""Evaluation sets: the folder `cases` of a workflow. `set.yaml` holds what all cases share, each other file a theme."""

from pathlib import Path
from string import Template
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.invalid import in_words
from orchestrator.walk import changed

M = TypeVar("M", bound=BaseModel)
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,59}$")]
Bound = Literal["most", "least", "among", "holds", "equals"]
Most = dict[Literal["calls", "tokens", "cost", "seconds"], float]
World = dict[str, list[dict[str, Any]]]
"""The records that the gateway serves, as `remit sample --from-file` takes them."""


class BadSet(ValueError):
    """An evaluation set is not as it must be."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Expected(_Part):
    """What is right.

    Args:
        outcome: Fields of the outcome, as the set names them, each with the value or the values that are right.
        calls: Tools that must be called.
        calls_not: Tools that must not be, not even in vain.
        arguments: For `tool.argument` the bounds: `most`, `least`, `among`, `holds`, `equals`.
        escalates: Whether a person has to take over.
        refuses: Whether nobody outside may get an answer.
        says: Texts that what is written must hold.
        never_says: Texts that nothing handed to a tool may hold.
        language: In which an answer must be.
        evidence: How many quotes at least.
        may_be_denied: Whether asking for what policy denies is no fault.
        most: At most so many `calls`, `tokens`, `cost` (billionths of a US dollar), `seconds`.
    """

    outcome: dict[str, Any] = {}
    calls: list[str] = []
    calls_not: list[str] = []
    arguments: dict[str, dict[Bound, Any]] = {}
    escalates: bool | None = None
    refuses: bool = False
    says: list[str] = []
    never_says: list[str] = []
    language: str = ""
    evidence: int = 0
    may_be_denied: bool = False
    most: Most = {}


class Case(_Part):
    """One case. Texts of `input` and `expect` name the records by `$id`."""

    id: Name
    note: str = ""
    tags: list[Name] = []
    world: World = {}
    input: dict[str, Any] = {}
    expect: Expected


class Shared(_Part):
    """What `set.yaml` holds: what all cases share, and where graders find things.

    Args:
        agent: Under which of the policies' agents the cases run.
        world: Records of all cases.
        input: What all inputs have in common.
        outcome: For each name of `expect.outcome` its path in the workflow's outcome.
        escalated: For paths in the outcome the values that mean that a person takes over.
        evidence: The path of its quotes, a list of `record_id` and `quote`.
        answers: Arguments `tool.argument` that are meant for people outside.
        writes: Those that only colleagues read.
        sends: Tools that send, where a case does not expect it.
        tone: Expressions that no answer may match.
        languages: For each language its frequent words, as an expression.
        most: As a case's, for those that do not say it themselves.
        gate: For `grader` or `tag/grader` the least mean score.
    """

    agent: str
    world: World = {}
    input: dict[str, Any] = {}
    outcome: dict[str, str] = {}
    escalated: dict[str, list[Any]] = {}
    evidence: str = ""
    answers: list[str] = []
    writes: list[str] = []
    sends: list[str] = []
    tone: list[str] = []
    languages: dict[str, str] = {}
    most: Most = {}
    gate: dict[str, float] = {}


class Theme(_Part):
    """A file of cases; `with` is where it keeps what its anchors name."""

    cases: list[Case]
    shorthand: Any = Field(default=None, alias="with")


def load_set(folder: Path) -> tuple[Shared, list[Case]]:
    """Read a workflow's set.

    Raises:
        BadSet: If there is none, or something in it is wrong; says what and where.
    """
    shared = read_as(folder / "set.yaml", Shared)
    themes = [path for path in sorted(folder.glob("*.yaml")) if path.name != "set.yaml"]
    cases = [case for path in themes for case in read_as(path, Theme).cases]
    ids = [case.id for case in cases]
    if twice := sorted({id_ for id_ in ids if ids.count(id_) > 1}):
        raise BadSet(f"two cases in `{folder}` are named `{twice[0]}`")
    return shared, cases


def read_as(path: Path, form: type[M]) -> M:
    """Read a file of YAML or JSON.

    Raises:
        BadSet: If it cannot be read or is not as it must be.
    """
    try:
        return form.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except ValidationError as error:
        raise BadSet(f"`{path}`: {in_words(error)}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadSet(f"`{path}` cannot be read: {' '.join(str(error).split())}") from None


def filled(value: Any, ids: dict[str, str]) -> Any:  # noqa: ANN401 - JSON in, JSON out
    """Copy JSON with each `$id` replaced by the record's id in the gateway."""
    return changed(value, lambda text, _: Template(text).safe_substitute(ids))
