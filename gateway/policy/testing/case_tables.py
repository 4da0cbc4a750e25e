"""Spreads a table of policy tests over its rows, remembering for every value where it stands in the file."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from connectors.contract import Tool
from gateway.policy.language.flow_written import flow_keys
from gateway.policy.problem import Problem, suggest
from gateway.policy.testing.yaml_file import Document, Path

_ARGS, _FLOW = "args.", "flow."


@dataclass(frozen=True, slots=True)
class Written:
    """One case as a file says it.

    Args:
        document: The file.
        path: Where the case, or the row of its table, stands.
        data: What it says, as a case that stands alone would.
        origins: Where the parts of it stand that stand elsewhere.
    """

    document: Document
    path: Path
    data: Mapping[str, Any]
    origins: Mapping[Path, Path] = field(default_factory=dict)

    @property
    def line(self) -> int:
        """The line it starts on, from 1."""
        return self.document.values[self.path][0]

    def problem(self, path: Path, message: str, at_key: bool = False) -> Problem:
        """A problem at a part of the case, such as `("args", "amount")`."""
        for length in range(len(path), 0, -1):
            if origin := self.origins.get(path[:length]):
                return self.document.problem((*origin, *path[length:]), message, at_key)
        return self.document.problem((*self.path, *path), message, at_key)


def rows(
    written: Written, known: Collection[str], tools: Mapping[str, Tool], problems: list[Problem]
) -> Iterator[Written]:
    """The cases of a table (`columns` and `rows`), or the case itself.

    Args:
        written: The case.
        known: What may be a column, besides `args.…` and `flow.…`.
        tools: All tools by name.
        problems: Where every mistake is added.
    """
    columns, lines = written.data.get("columns"), written.data.get("rows")
    if columns is None and lines is None:
        yield written
    elif not (_is_list_of(columns, str) and _is_list_of(lines, list)):
        problems.append(written.problem((), "a table has `columns`, a list of names, and `rows`, a list of lists"))
    elif mistakes := list(_wrong_columns(written, columns, known, tools)):
        problems.extend(mistakes)
    else:
        for position, line in enumerate(lines):
            if len(line) == len(columns):
                yield _row(written, columns, line, (*written.path, "rows", position))
            else:
                message = f"expected {len(columns)} values, one for each column, found {len(line)}"
                problems.append(written.problem(("rows", position), message))


def _is_list_of(value: object, kind: type[Any]) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and bool(value) and all(isinstance(each, kind) for each in value)


def _wrong_columns(
    written: Written, columns: list[str], known: Collection[str], tools: Mapping[str, Tool]
) -> Iterator[Problem]:
    tool = tools.get(str(written.data.get("tool")))
    for position, column in enumerate(columns):
        prefix = next((each for each in (_ARGS, _FLOW) if column.startswith(each)), "")
        name = column.removeprefix(prefix)
        names = _names(prefix, tool, name) if prefix else known
        if column in columns[:position]:
            yield written.problem(("columns", position), f"column `{column}` is already there")
        elif name not in names:
            near = suggest(name, names, prefix=prefix)
            yield written.problem(("columns", position), f"unknown column `{column}`{near}")


def _names(prefix: str, tool: Tool | None, name: str) -> Collection[str]:
    """What may follow a prefix; anything as long as the tool is not known."""
    if tool is None:
        return (name,)
    return flow_keys(tool) if prefix == _FLOW else tool.input.model_fields


def _row(table: Written, columns: list[str], values: list[Any], path: Path) -> Written:
    """What the table says for all rows, and over it what this row says."""
    data = {name: value for name, value in table.data.items() if name not in ("columns", "rows")}
    origins: dict[Path, Path] = {(name,): (*table.path, name) for name in data}
    for position, (column, value) in enumerate(zip(columns, values, strict=True)):
        keys = _place(column)
        data = _with(data, keys, value)
        origins[keys] = (*path, position)
    return Written(table.document, path, data, origins)


def _place(column: str) -> tuple[str, ...]:
    """Where a column's values stand in a case."""
    if column.startswith(_FLOW):
        return tuple(column.split("."))
    return ("args", column.removeprefix(_ARGS)) if column.startswith(_ARGS) else (column,)


def _with(data: Mapping[str, Any], keys: tuple[str, ...], value: object) -> dict[str, Any]:
    name, *rest = keys
    inside = data.get(name)
    return {**data, name: _with(inside if isinstance(inside, Mapping) else {}, tuple(rest), value) if rest else value}
