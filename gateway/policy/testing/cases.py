"""Reads policy tests: `tests/*.yaml` beside the policy say who calls which tool, and what is to be decided."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path as FilePath
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from connectors.contract import Tool
from gateway.catalog import InvalidArguments, validate
from gateway.policy.decision import Verdict
from gateway.policy.files.lines import read_text
from gateway.policy.language import patterns
from gateway.policy.language.flow import Flow
from gateway.policy.language.flow_written import assumed, read_flow
from gateway.policy.language.history import EMPTY, History
from gateway.policy.language.wording import shortened
from gateway.policy.limiting import Past
from gateway.policy.problem import PolicyError, Problem, suggest
from gateway.policy.testing.case_tables import Written, rows
from gateway.policy.testing.yaml_file import Document, Path, read_yaml
from gateway.principal import Principal, parse_principal

FOLDER = "tests"
TENANT = "larkspur"
NO_RULES = "none"
"""How a test says that no rule made the decision: nothing allows the call."""
_USUAL_TIME = "2026-03-02T09:30:00Z"


@dataclass(frozen=True, slots=True)
class Case:
    """One call and what is to be decided.

    Args:
        file: The file that says so, such as `tests/refunds.yaml`.
        line: Its line, from 1.
        name: What it is about, for people.
        principal: Who calls.
        now: When.
        tool: The tool's name.
        args: The tool's validated input as Python values.
        history: What the run was allowed before.
        past: The same with what others did and when, for limits.
        flow: What is known of the data that flow into the call.
        expect: The verdict.
        rules: The ids of the rules that make it, in the order of the file; None when any may.
    """

    file: str
    line: int
    name: str
    principal: Principal
    now: datetime
    tool: str
    args: Mapping[str, object]
    history: History
    past: tuple[Past, ...]
    flow: Flow
    expect: Verdict
    rules: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Sight:
    """Which tools someone is to see, and which not; both are names or beginnings followed by `*`."""

    file: str
    line: int
    name: str
    principal: Principal
    now: datetime
    visible: tuple[str, ...]
    hidden: tuple[str, ...]


AnyCase: TypeAlias = Case | Sight


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Earlier(_Strict):
    tool: str
    args: dict[str, Any] = {}
    times: int = Field(1, ge=1, le=10_000)
    who: str = ""
    ago: str = Field("", pattern=r"^([1-9][0-9]{0,6}[smhd])?$")


class _Entry(_Strict):
    """One case as written, or one row of a table with what its table says for all rows."""

    name: str = ""
    who: str
    at: str = ""
    tool: str = ""
    args: dict[str, Any] = {}
    history: list[_Earlier] = []
    flow: dict[str, Any] = {}
    expect: str = ""
    rules: str | None = None
    visible: list[str] = []
    hidden: list[str] = []


class _File(_Strict):
    tenant: str = Field(TENANT, min_length=1)
    at: str = _USUAL_TIME
    who: dict[str, str] = {}
    defaults: dict[str, dict[str, Any]] = {}
    cases: list[dict[str, Any]]


def load_cases(directory: FilePath, tools: Iterable[Tool]) -> tuple[AnyCase, ...]:
    """Read all policy tests of a policy folder, in the order of the files' names.

    Args:
        directory: The policy folder; its tests are in `tests/*.yaml`.
        tools: Every tool that a test may name.

    Raises:
        PolicyError: With the place of every mistake.
    """
    problems: list[Problem] = []
    known = {tool.name: tool for tool in tools}
    found: list[AnyCase] = []
    for path in sorted((directory / FOLDER).glob("*.yaml")):
        unread: list[Problem] = []
        text = read_text(path, unread)
        name = f"{FOLDER}/{path.name}"
        problems += [replace(problem, file=name) for problem in unread]
        found += cases_from_text(name, text, known, problems)
    if problems:
        raise PolicyError(problems)
    return tuple(found)


def cases_from_text(file: str, text: str, tools: Mapping[str, Tool], problems: list[Problem]) -> list[AnyCase]:
    """Read one file's text; every mistake is added to `problems`."""
    document = read_yaml(file, text, problems)
    if document is None:
        return []
    try:
        content = _File.model_validate({} if document.data is None else document.data)
    except ValidationError as error:
        problems += [_problem(Written(document, (), {}), each, _File) for each in error.errors()]
        return []
    return _FileReader(document, content, tools, problems).cases()


def parse_time(text: str) -> datetime:
    """Read a time with its zone, such as `2026-03-02T09:30:00Z`.

    Raises:
        ValueError: Says what was expected.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ValueError(f"`{text}` is not a time with its zone, such as `2026-03-02T09:30:00Z`")
    return found


class _FileReader:
    """Turns a file's entries into cases, noting every mistake at its place."""

    def __init__(self, document: Document, content: _File, tools: Mapping[str, Tool], problems: list[Problem]) -> None:
        self.document, self.content, self.tools, self.problems = document, content, tools, problems

    def refuse(self, written: Written, path: Path, message: str) -> None:
        self.problems.append(written.problem(path, message))

    def cases(self) -> list[AnyCase]:
        if mistakes := list(self.mistakes_ahead()):
            self.problems.extend(mistakes)
            return []
        entries = (Written(self.document, ("cases", at), data) for at, data in enumerate(self.content.cases))
        lines = (row for entry in entries for row in rows(entry, _Entry.model_fields, self.tools, self.problems))
        return [case for line in lines if (case := self.case(line))]

    def mistakes_ahead(self) -> Iterator[Problem]:
        """What is wrong in the part of the file that all cases share."""
        for name, read in (("tenant", lambda tenant: Principal(tenant, person="?")), ("at", parse_time)):
            try:
                read(getattr(self.content, name))
            except ValueError as error:
                yield self.document.problem((name,), str(error))
        for name, spelled in self.content.who.items():
            try:
                parse_principal(spelled, self.content.tenant)
            except ValueError as error:
                yield self.document.problem(("who", name), str(error))
        for tool in self.content.defaults.keys() - self.tools.keys():
            near = suggest(tool, self.tools)
            yield self.document.problem(("defaults", tool), f"unknown tool `{tool}`{near}", at_key=True)

    def case(self, written: Written) -> AnyCase | None:
        try:
            entry = _Entry.model_validate(written.data)
        except ValidationError as error:
            self.problems += [_problem(written, each, _Entry) for each in error.errors()]
            return None
        before = len(self.problems)
        read = self.call if entry.tool else self.sight
        made = read(written, entry, self.principal(written, entry.who), self.time(written, entry.at))
        return made if len(self.problems) == before else None

    def principal(self, written: Written, who: str, path: Path = ("who",)) -> Principal:
        agent, acting, person = who.rpartition(" for ")
        spelled = "+".join(self.content.who.get(name, name) for name in ((agent, person) if acting else (who,)))
        try:
            return parse_principal(spelled, self.content.tenant)
        except ValueError as error:
            near = suggest(who, self.content.who)
            self.refuse(written, path, f"unknown `{who}`{near}" if near else str(error))
            return Principal(TENANT, person="?")

    def time(self, written: Written, at: str) -> datetime:
        try:
            return parse_time(at or self.content.at)
        except ValueError as error:
            self.refuse(written, ("at",), str(error))
            return parse_time(_USUAL_TIME)

    def sight(self, written: Written, entry: _Entry, principal: Principal, now: datetime) -> Sight:
        if (
            not (entry.visible or entry.hidden)
            or entry.args
            or entry.expect
            or entry.rules
            or entry.history
            or entry.flow
        ):
            self.refuse(written, (), "a case needs `who`, `tool` and `expect`, or `who` and `visible` or `hidden`")
        for side in ("visible", "hidden"):
            for position, pattern in enumerate(getattr(entry, side)):
                if message := patterns.mistake(pattern, self.tools):
                    self.refuse(written, (side, position), message)
        name = entry.name or f"what {entry.who} sees"
        return Sight(self.document.file, written.line, name, principal, now, tuple(entry.visible), tuple(entry.hidden))

    def call(self, written: Written, entry: _Entry, principal: Principal, now: datetime) -> Case | None:
        if entry.visible or entry.hidden:
            self.refuse(written, (), "a case has either `tool` or `visible` and `hidden`")
        if entry.expect not in set(Verdict):
            near = suggest(entry.expect.lower(), Verdict) or ": it must be `allow`, `ask` or `deny`"
            message = f"unknown verdict `{entry.expect}`{near}" if entry.expect else "`expect` is missing"
            self.refuse(written, ("expect",), message)
            return None
        called = self.args(written, ("args",), entry.tool, entry.args)
        past = [each for at in range(len(entry.history)) for each in self.past(written, entry, at, principal, now)]
        history: dict[str, list[Mapping[str, object]]] = defaultdict(list)
        for each in past:
            if each.principal == principal:
                history[each.tool].append(each.args)
        given = ", ".join(f"{name} {shortened(value)}" for name, value in entry.args.items())
        name = entry.name or f"{entry.who} calls {entry.tool}{f' with {given}' if given else ''}"
        ids = None if entry.rules is None else tuple(() if entry.rules == NO_RULES else entry.rules.split())
        earlier = History(dict(history)) if history else EMPTY
        return Case(
            self.document.file,
            written.line,
            name,
            principal,
            now,
            entry.tool,
            called,
            earlier,
            tuple(past),
            self.flow(written, entry, called),
            Verdict(entry.expect),
            ids,
        )

    def past(self, written: Written, entry: _Entry, at: int, caller: Principal, now: datetime) -> list[Past]:
        """The calls that one part of the history stands for."""
        each = entry.history[at]
        args = self.args(written, ("history", at, "args"), each.tool, each.args)
        who = self.principal(written, each.who, ("history", at, "who")) if each.who else caller
        return [Past(who, each.tool, args, now - _length(each.ago))] * each.times

    def flow(self, written: Written, entry: _Entry, args: Mapping[str, object]) -> Flow:
        """What is said of the data flow, over that of a run that has seen nothing."""
        tool = self.tools.get(entry.tool)
        flow, mistakes = read_flow(entry.flow, tool)
        for path, message in mistakes:
            self.refuse(written, ("flow", *path), message)
        return assumed(flow, tool, args) if tool else flow

    def args(self, written: Written, path: Path, tool: str, given: Mapping[str, Any]) -> Mapping[str, object]:
        """The file's defaults for the tool and over them what is given, as the tool reads it."""
        if tool not in self.tools:
            self.refuse(written, (*path[:-1], "tool"), f"unknown tool `{tool}`{suggest(tool, self.tools)}")
            return {}
        try:
            return validate(self.tools[tool], {**self.content.defaults.get(tool, {}), **given}).model_dump()
        except InvalidArguments as error:
            at = (*path, error.field) if error.field in given else path
            self.refuse(written, at, f"the input of `{tool}` is wrong: {error.message}")
            return {}


def _length(ago: str) -> timedelta:
    return timedelta(**{_UNITS[ago[-1]]: int(ago[:-1])}) if ago else timedelta()


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_NEEDED = {"string_type": "a text", "int_type": "a whole number", "list_type": "a list"}
_NEEDED |= {"string_pattern_mismatch": "a length of time such as `90s`, `5m`, `23h` or `2d`"}
_NEEDED |= {"dict_type": "a mapping", "model_type": "a mapping"}


def _problem(written: Written, found: ErrorDetails, model: type[BaseModel]) -> Problem:
    path = found["loc"]
    name = f"`{path[-1]}`" if path and isinstance(path[-1], str) else "this"
    if found["type"] == "extra_forbidden":
        known = _Earlier.model_fields if path[0] == "history" else model.model_fields
        return written.problem(path, f"unknown field {name}{suggest(str(path[-1]), known)}", at_key=True)
    if found["type"] == "missing":
        return written.problem(path, f"{name} is missing")
    needed = _NEEDED.get(found["type"]) or found["msg"].removeprefix("Input should be ")
    return written.problem(path, f"{name} must be {needed}")
