"""Walks through JSON: every text, every object, and a copy with its texts changed."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any


def texts(data: object) -> Iterator[str]:
    """Yield every text in a piece of JSON."""
    if isinstance(data, str):
        yield data
    for each in _parts(data):
        yield from texts(each)


def objects(data: object) -> Iterator[dict[str, Any]]:
    """Yield every object in a piece of JSON, also those within others."""
    if isinstance(data, dict):
        yield data
    for each in _parts(data):
        yield from objects(each)


def changed(data: Any, change: Callable[[str, str], Any], path: str = "") -> Any:  # noqa: ANN401 - JSON in, JSON out
    """Copy JSON with each text changed, by a function of the text and its path, such as `messages[].body`."""
    if isinstance(data, dict):
        return {key: changed(each, change, f"{path}.{key}" if path else key) for key, each in data.items()}
    if isinstance(data, list):
        return [changed(each, change, f"{path}[]") for each in data]
    return change(data, path) if isinstance(data, str) else data


def _parts(data: object) -> Iterable[object]:
    return data.values() if isinstance(data, dict) else data if isinstance(data, list | tuple) else ()
