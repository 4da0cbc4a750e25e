"""What is known about the data that a tool returns: which records it shows, which text outsiders may have written."""

from collections.abc import Iterator

from pydantic import BaseModel

from connectors.contract import Author, Tool


def untrusted_paths(tool: Tool, output: BaseModel) -> list[str]:
    """List the result's fields that hold text which outsiders may have written and that are not empty here.

    Args:
        tool: The tool that was called; its declaration says who writes which field.
        output: What it returned.

    Returns:
        Dotted paths within the result, `[]` standing for every item of a list.
    """
    return [path for path, author in tool.authors.items() if author is Author.OUTSIDER and _has_text(output, path)]


def _has_text(value: object, path: str) -> bool:
    name, _, rest = path.partition(".")
    inner = getattr(value, name.removesuffix("[]"), None)
    items = inner if name.endswith("[]") else [inner]
    if not isinstance(items, list):
        return False
    return any(_has_text(item, rest) if rest else bool(item) for item in items if item is not None)


_MAX_IDS = 100


def seen_ids(output: BaseModel) -> list[str]:
    """The ids of the records that a result shows, each once, the first hundred."""
    return list(dict.fromkeys(_ids(output)))[:_MAX_IDS]


def _ids(value: object) -> Iterator[str]:
    if isinstance(value, BaseModel):
        for name, part in value:
            if isinstance(part, str):
                if name == "id" or name.endswith("_id"):
                    yield part
            else:
                yield from _ids(part)
    elif isinstance(value, list):
        for item in value:
            yield from _ids(item)
