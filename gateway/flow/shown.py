"""What is known about the data that a tool returned: which records it shows, which text outsiders may have written.

A result is a model, with plain JSON inside where a tool cannot say beforehand what it gives. Paths into JSON are
written like paths into models; a key that could be taken for something else stands in quotes, and no declaration names
it.
"""

import json
import re
from collections.abc import Iterator

from pydantic import BaseModel

from connectors.contract import Author, Tool

_MAX_PATHS = 50
_MAX_IDS = 100
_LONGEST_ID = 200
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def untrusted_paths(tool: Tool, output: BaseModel) -> list[str]:
    """List the result's fields that hold text which outsiders may have written and that are not empty here.

    Args:
        tool: The tool that was called; its declaration says who writes which field.
        output: What it returned. Text in plain JSON that the declaration does not name counts as an outsider's.

    Returns:
        Dotted paths within the result, `[]` standing for every item of a list.
    """
    declared = [path for path, author in tool.authors.items() if author is Author.OUTSIDER and _has_text(output, path)]
    return [*declared, *_undeclared(tool, output)]


def texts(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in JSON data that is not empty, with its path; a key that is no plain name is one too."""
    if isinstance(value, str):
        if value:
            yield path, value
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, f"{path}[]")
    elif isinstance(value, dict):
        for name, part in value.items():
            is_plain = _KEY.fullmatch(name)
            inner = f"{path}.{name}" if is_plain else f"{path}.{json.dumps(name[:64])}"
            if not is_plain and name:
                yield inner, name
            yield from texts(part, inner)


def _undeclared(tool: Tool, output: BaseModel) -> list[str]:
    """The paths of texts in plain JSON that the declaration does not name; of very many, what they lie in."""
    found: list[str] = []
    for name, part in output:
        if isinstance(part, dict):
            paths = dict.fromkeys(path for path, _ in texts(part, name) if path not in tool.authors)
            found += paths if len(paths) <= _MAX_PATHS else [name]
    return found


def _has_text(value: object, path: str) -> bool:
    name, _, rest = path.partition(".")
    bare = name.removesuffix("[]")
    inner = value.get(bare) if isinstance(value, dict) else getattr(value, bare, None)
    items = inner if name.endswith("[]") else [inner]
    if not isinstance(items, list):
        return False
    return any(_has_text(item, rest) if rest else bool(item) for item in items if item is not None)


def seen_ids(output: BaseModel) -> list[str]:
    """The ids of the records that a result shows, each once, the first hundred."""
    return list(dict.fromkeys(_ids(output)))[:_MAX_IDS]


def _ids(value: object) -> Iterator[str]:
    if isinstance(value, BaseModel | dict):
        for name, part in value if isinstance(value, BaseModel) else value.items():
            if isinstance(part, str):
                if (name == "id" or name.endswith("_id")) and len(part) <= _LONGEST_ID:
                    yield part
            else:
                yield from _ids(part)
    elif isinstance(value, list):
        for item in value:
            yield from _ids(item)
