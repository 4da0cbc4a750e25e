"""Splitting a document into passages that are small enough to quote and keep the headings they stand under."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_PASSAGE = 1_200
MAX_HEADING = 200

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_BLANK_LINES = re.compile(r"\n[ \t]*\n")
_SENTENCE_END = re.compile(r"[.!?…]['\"”)]?\s+|\n")


@dataclass(frozen=True)
class Chunk:
    """A passage; `heading` is the path of headings above it, such as `Refunds › Late returns`."""

    heading: str
    text: str


def split(text: str) -> list[Chunk]:
    """Split plain text or Markdown at its `#` headings, and what is longer than `MAX_PASSAGE` between paragraphs.

    Args:
        text: The document.

    Returns:
        The passages in order, at least one.
    """
    chunks = [Chunk(heading, part) for heading, body in _sections(text) for part in _parts(body)]
    return chunks or [Chunk("", "")]


def _sections(text: str) -> Iterator[tuple[str, str]]:
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    fence = ""
    for line in text.splitlines():
        if mark := _FENCE.match(line):
            fence = "" if fence == mark.group(1) else fence or mark.group(1)
        found = None if fence else _HEADING.fullmatch(line)
        if not found:
            lines.append(line)
            continue
        level = len(found.group(1))
        # A heading with nothing below it but smaller headings is kept in their paths.
        if any(map(str.strip, lines)) or (path and level <= path[-1][0]):
            yield _path(path), "\n".join(lines)
        path = [*(above for above in path if above[0] < level), (level, found.group(2))]
        lines = []
    if path or any(map(str.strip, lines)):
        yield _path(path), "\n".join(lines)


def _path(path: list[tuple[int, str]]) -> str:
    return " › ".join(title for _, title in path if title)[:MAX_HEADING]


def _parts(body: str) -> list[str]:
    """Whole paragraphs, as many as fit together; a longer one is split after a sentence, or else a word."""
    parts = [""]
    for paragraph in _BLANK_LINES.split(body):
        for piece in _pieces(paragraph.strip()):
            joined = f"{parts[-1]}\n\n{piece}".strip()
            if len(joined) <= MAX_PASSAGE:
                parts[-1] = joined
            else:
                parts.append(piece)
    return parts


def _pieces(paragraph: str) -> Iterator[str]:
    while len(paragraph) > MAX_PASSAGE:
        ends = [found.end() for found in _SENTENCE_END.finditer(paragraph, 0, MAX_PASSAGE)]
        end = ends[-1] if ends else paragraph.rfind(" ", 1, MAX_PASSAGE)
        end = end if end > 0 else MAX_PASSAGE
        yield paragraph[:end].rstrip()
        paragraph = paragraph[end:].lstrip()
    yield paragraph
