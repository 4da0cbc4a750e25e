"""Reads a small, plain part of YAML and remembers where everything stood.

Only what JSON knows is there: texts, numbers, `true`, `false`, `null`, lists and mappings. Dates and words such as `no`
stay texts. Anchors, tags and doubled keys are refused, so a short file cannot become a large one.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

from gateway.policy.problem import Problem

Path: TypeAlias = tuple[str | int, ...]
Place: TypeAlias = tuple[int, int]

MAX_LENGTH = 1_000_000
MAX_DEPTH = 10

_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?")
_WORDS: Mapping[str, object] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, and the line and column (both from 1) of every value and of every key by the value's path."""

    file: str
    data: Any
    values: Mapping[Path, Place]
    keys: Mapping[Path, Place]

    def problem(self, path: Path, message: str, at_key: bool = False) -> Problem:
        """A problem at a value or its key; if there is none at this path, at the nearest value around it."""
        if at_key and path in self.keys:
            return Problem(self.file, *self.keys[path], message)
        while path not in self.values:
            path = path[:-1]
        return Problem(self.file, *self.values[path], message)


def read_yaml(file: str, text: str, problems: list[Problem]) -> Document | None:
    """Read one document.

    Args:
        file: The file's name in problems.
        text: Its text.
        problems: Where every mistake is added.

    Returns:
        The document, or None if there was a mistake.
    """
    before = len(problems)
    if len(text) > MAX_LENGTH:
        problems.append(Problem(file, 1, 1, f"the file has {len(text)} characters, at most {MAX_LENGTH} are allowed"))
        return None
    try:
        problems.extend(_refused(file, text))
        root = yaml.compose(text, Loader=yaml.SafeLoader) if len(problems) == before else None
    except yaml.MarkedYAMLError as error:
        place = _place(error.problem_mark or error.context_mark)
        problems.append(Problem(file, *place, f"this is not YAML: {(error.problem or 'unreadable').lower()}"))
    except yaml.YAMLError:
        problems.append(Problem(file, 1, 1, "this is not YAML: it holds a character that is not allowed"))
    if len(problems) > before:
        return None
    reader = _Reader(file, problems)
    data = reader.plain(root, ()) if root else None
    return Document(file, data, reader.values, reader.keys) if len(problems) == before else None


def _refused(file: str, text: str) -> Iterator[Problem]:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        place = _place(event.start_mark)
        if depth > MAX_DEPTH:
            yield Problem(file, *place, f"this is nested more than {MAX_DEPTH} levels deep")
            return
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            yield Problem(file, *place, "anchors and aliases (`&`, `*`) are not read: put a text in quotes")
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag is not None:
            yield Problem(file, *place, "tags (`!`) are not read: put a text in quotes")


class _Reader:
    """Turns nodes into plain data, noting where they stand and what is wrong with them."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file, self.problems = file, problems
        self.values: dict[Path, Place] = {(): (1, 1)}
        self.keys: dict[Path, Place] = {}

    def plain(self, node: yaml.Node, path: Path) -> Any:  # noqa: ANN401 - JSON data
        self.values[path] = _place(node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(each, (*path, position)) for position, each in enumerate(node.value)]
        return self.mapping(node, path)

    def mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            name, place = key.value, _place(key.start_mark)
            if not isinstance(name, str):
                self.problems.append(Problem(self.file, *place, "a key must be a plain word"))
            elif name in found:
                self.problems.append(Problem(self.file, *place, f"`{name}` is already given"))
            else:
                self.keys[(*path, name)] = place
                found[name] = self.plain(value, (*path, name))
        return found


def _place(mark: Any) -> Place:  # noqa: ANN401 - two kinds of mark, or none
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _scalar(node: yaml.ScalarNode) -> Any:  # noqa: ANN401 - JSON data
    text: str = node.value
    if node.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    return json.loads(text) if _NUMBER.fullmatch(text) else text
