"""TOML files that an operator writes, read strictly.

What is unknown, missing or of a wrong type is told with file, line where it can be found, and a suggestion.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


class BadFile(Exception):
    """A file cannot be used; names every problem, one a line."""


def read_toml(path: Path, model: type[M], tables: Mapping[str, type[BaseModel]] | None = None) -> M:
    """Read a file.

    Args:
        path: The file.
        model: What it must hold.
        tables: The models of the tables in it, by their keys, for suggestions.

    Raises:
        BadFile: Names every problem.
    """
    try:
        text = path.read_text("utf-8")
        given = json.dumps(tomllib.loads(text), allow_nan=False)
    except (OSError, ValueError, TypeError) as error:
        raise BadFile(f"{path}: {error}") from None
    try:
        # By way of JSON, so that strict types still accept an enum's value.
        return model.model_validate_json(given)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise BadFile("\n".join(_told(path, text, each, model, tables or {}) for each in problems)) from None


def _told(
    path: Path, text: str, found: Mapping[str, Any], model: type[BaseModel], tables: Mapping[str, type[BaseModel]]
) -> str:
    names = [str(part) for part in found["loc"]]
    where = ".".join(names)
    message = str(found["msg"]).removeprefix("Value error, ")
    if found["type"] == "extra_forbidden":
        message = f"unknown field{near(names[-1], _fields(found['loc'], model, tables))}"
    elif found["type"] == "missing":
        message = "missing"
    told = f"`{where}`: {message[0].lower()}{message[1:]}" if where else message
    return f"{path}:{line_of(text, names)}: {told}"


def near(wrong: str, known: Iterable[str]) -> str:
    """` — did you mean …?`, or which names there are."""
    names = sorted(known)
    found = get_close_matches(wrong, names, n=1)
    if found:
        return f" — did you mean `{found[0]}`?"
    return f": there is {', '.join(f'`{name}`' for name in names[:12])}" if names else ""


def line_of(text: str, names: list[str]) -> int:
    """The line where a field most likely stands: of its own name, or else of the nearest one around it."""
    lines = text.splitlines()
    for name in reversed(names):
        # A key, or part of a table's header.
        wanted = re.compile(rf"""^\s*(\[+[^#]*?)?["']?{re.escape(name)}["']?\s*([=.\]]|$)""")
        for number, line in enumerate(lines, 1):
            if wanted.match(line) or f"{name} =" in line:
                return number
    return 1


def _fields(location: tuple[Any, ...], model: type[BaseModel], tables: Mapping[str, type[BaseModel]]) -> Iterator[str]:
    """The fields that there are at the place of an unknown one."""
    for part in location[:-1]:
        model = tables.get(str(part), model)
    yield from model.model_fields
