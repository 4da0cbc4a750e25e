"""Which records a call wrote into: what is known of its arguments is known of them from then on."""

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.contract import Tool
from gateway.flow.reading import record_name_of, record_names


def written_records(tool: Tool, output: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the records of a write's result that hold a text of its arguments; all of them if one is not found.

    Args:
        tool: What wrote.
        output: Its result.
        arguments: What it was called with.
    """
    wanted = {plain(text) for text in texts(arguments)} - {""}
    found = dict.fromkeys(_holding(tool, output, "", "", wanted))
    holding = tuple(dict.fromkeys(record for record, _ in found if record))
    # A text that a back end put another way may stand anywhere, whatever else stands where.
    is_whole = wanted <= {text for _, text in found}
    return holding if holding and is_whole else record_names(tool, output)


def _holding(tool: Tool, value: Any, path: str, record: str, texts: set[str]) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON data
    """Each text of the arguments with the record that holds it; with none if it is the record's own id."""
    if isinstance(value, Mapping):
        record = record_name_of(tool, value, path) or record
        for key, part in value.items():
            if isinstance(part, str) and record_name_of(tool, {key: part}, path):
                yield "", plain(part)
            else:
                yield from _holding(tool, part, f"{path}.{key}" if path else key, record, texts)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _holding(tool, item, f"{path}[]", record, texts)
    elif isinstance(value, str) and record and plain(value) in texts:
        yield record, plain(value)


def texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - arguments
    """Every text in a call's arguments."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from texts(part)


def plain(text: object) -> str:
    """A text as it is compared: without regard to case and blanks; empty for what is no text."""
    return " ".join(text.split()).casefold() if isinstance(text, str) else ""
