"""Keeps text that outsiders wrote apart from instructions, as marked and bounded data.

Each run draws its own marks. An outsider who does not know them cannot close the fence, and whatever looks like a
mark inside the text is defused.
"""

import re
from collections.abc import Iterator
from typing import Any

MAX_TEXT = 4_000
"""How much of one piece of text a model gets to see, in characters."""

_LOOKALIKE = re.compile(r"<(?=/?outside)", re.IGNORECASE)
_FENCED = re.compile(r"<outside-[0-9a-f]{12}>(.*?)</outside-[0-9a-f]{12}>", re.DOTALL)


def fence_text(text: str, mark: str) -> str:
    """Put one piece of outside text between marks."""
    return f"<outside-{mark}>{_cut(_LOOKALIKE.sub('‹', text))}</outside-{mark}>"


def fence(result: Any, untrusted: list[str] | None, mark: str) -> Any:  # noqa: ANN401 - JSON in, JSON out
    """Copy a tool's result with every outsider-written text fenced.

    Args:
        result: JSON of any shape.
        untrusted: Paths as the gateway names them, such as `messages[].body`; None fences every text.
        mark: The run's mark.
    """
    return _walk(result, "", None if untrusted is None else frozenset(untrusted), mark)


def _walk(value: Any, path: str, untrusted: frozenset[str] | None, mark: str) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {key: _walk(each, f"{path}.{key}" if path else key, untrusted, mark) for key, each in value.items()}
    if isinstance(value, list):
        return [_walk(each, f"{path}[]", untrusted, mark) for each in value]
    if isinstance(value, str):
        outside = value and (untrusted is None or path in untrusted)
        return fence_text(value, mark) if outside else _cut(value)
    return value


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} … [{len(text) - MAX_TEXT} characters left out]"


def unfence(value: Any) -> Any:  # noqa: ANN401 - JSON in, JSON out
    """Copy JSON with the marks taken off again."""
    if isinstance(value, dict):
        return {key: unfence(each) for key, each in value.items()}
    if isinstance(value, list):
        return [unfence(each) for each in value]
    return _FENCED.sub(r"\1", value) if isinstance(value, str) else value


def texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Yield every text in a piece of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)


_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]+")


def for_terminal(text: str, width: int) -> str:
    """Make outside text safe to print in one line of at most `width` characters: no control characters."""
    line = " ".join(_UNSHOWABLE.sub(" ", text).split())
    return line if len(line) <= width else f"{line[: width - 1]}…"
