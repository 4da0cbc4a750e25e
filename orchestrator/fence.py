"""Keeps text that outsiders wrote apart from instructions, as marked and bounded data.

Each run draws its own marks. An outsider who does not know them cannot close the fence, and whatever looks like a
mark inside the text is defused.
"""

import re
from typing import Any

from orchestrator.walk import changed

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
    paths = None if untrusted is None else frozenset(untrusted)

    def fenced(text: str, path: str) -> str:
        return fence_text(text, mark) if text and (paths is None or path in paths) else _cut(text)

    return changed(result, fenced)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]} … [{len(text) - MAX_TEXT} characters left out]"


def unfence(value: Any) -> Any:  # noqa: ANN401 - JSON in, JSON out
    """Copy JSON with the marks taken off again."""
    return changed(value, lambda text, _: _FENCED.sub(r"\1", text))


_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]+")


def for_terminal(text: str, width: int) -> str:
    """Make outside text safe to print in one line of at most `width` characters: no control characters."""
    line = " ".join(_UNSHOWABLE.sub(" ", text).split())
    return line if len(line) <= width else f"{line[: width - 1]}…"
