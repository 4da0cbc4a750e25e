"""Reads `labels.csv`: what the security team knows better than a tool's declaration about who writes a field."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from connectors.contract import Author, Confidentiality, Tool, walk
from gateway.policy.files.lines import Cell, Line, read_lines
from gateway.policy.problem import Problem, suggest

FILE = "labels.csv"
UNCHANGED = "-"
_COLUMNS = "label, tool, field, author, confidentiality, note"
_OPEN = ("structured.", "content[]")
"""What upstream servers give is not known field by field."""


@dataclass(frozen=True, slots=True)
class Relabel:
    """One line: a field of a tool's results has another author or another confidentiality than declared.

    Args:
        tool: The tool's name.
        path: The field, dotted, `[]` standing for every item of a list.
        author: Who writes it; None leaves it as declared.
        confidentiality: Who may see it; None leaves it as declared.
        note: Why.
    """

    tool: str
    path: str
    author: Author | None
    confidentiality: Confidentiality | None
    note: str


def relabelled(tool: Tool, lines: Iterable[Relabel]) -> Tool:
    """A tool as policy declares its results."""
    own = [line for line in lines if line.tool == tool.name]
    if not own:
        return tool
    authors = {line.path: line.author for line in own if line.author}
    levels = {line.path: line.confidentiality for line in own if line.confidentiality}
    # Beside a field that policy gives to outsiders no field of the record says otherwise.
    doubted = {_record(path) for path, author in authors.items() if author is Author.OUTSIDER}
    return replace(
        tool,
        authors=tool.authors | authors,
        confidentiality=tool.confidentiality | levels,
        written_by={path: by for path, by in tool.written_by.items() if _record(path) not in doubted},
        kept=tool.kept - {path for path, author in authors.items() if author is Author.OUTSIDER},
    )


def _record(path: str) -> str:
    return path.rpartition(".")[0]


def read_labels(text: str, tools: Iterable[Tool], problems: list[Problem]) -> tuple[Relabel, ...]:
    """Read the file's text; every mistake is added to `problems`.

    Args:
        text: The text.
        tools: All tools.
        problems: Where mistakes go.

    Returns:
        What the lines say, in the order of the file.
    """
    known, found = {tool.name: tool for tool in tools}, dict[tuple[str, str], Relabel]()
    for line in read_lines(FILE, text, problems):
        mistakes = [line.problem(cell, message) for cell, message in _mistakes(line, known)]
        problems.extend(mistakes)
        if mistakes:
            continue
        _, tool, path, author, level, note = line.cells
        if (tool.text, path.text) in found:
            problems.append(line.problem(path, f"`{path.text}` of `{tool.text}` has a line already"))
            continue
        found[tool.text, path.text] = Relabel(
            tool.text,
            path.text,
            None if author.text == UNCHANGED else Author(author.text),
            None if level.text == UNCHANGED else Confidentiality(level.text),
            note.text,
        )
    return tuple(found.values())


def _mistakes(line: Line, known: Mapping[str, Tool]) -> Iterator[tuple[Cell, str]]:
    kind, *rest = line.cells
    if kind.text != "label":
        yield kind, f"unknown line type `{kind.text}`: lines of labels.csv start with `label`"
        return
    if len(rest) != 5:
        yield kind, f"expected 6 columns ({_COLUMNS}), found {len(line.cells)}"
        return
    name, path, author, level, note = rest
    if (tool := known.get(name.text)) is None:
        yield name, f"unknown tool `{name.text}`{suggest(name.text, known)}"
    elif not _has(tool, path.text):
        texts = [leaf.path for leaf in walk(tool.output) if leaf.is_text]
        yield path, f"`{name.text}` gives no text `{path.text}`{suggest(path.text, texts)}"
    if author.text not in {UNCHANGED, *Author}:
        yield author, f"unknown author `{author.text}`: one of {', '.join(Author)}, or `-` to leave it"
    if level.text not in {UNCHANGED, *Confidentiality}:
        yield level, f"unknown confidentiality `{level.text}`: one of {', '.join(Confidentiality)}, or `-` to leave it"
    if author.text == level.text == UNCHANGED:
        yield author, "the line changes nothing: say an author or a confidentiality"
    if not note.text:
        yield note, "say in the note why"


def _has(tool: Tool, path: str) -> bool:
    is_open = any(leaf.path == "structured" for leaf in walk(tool.output))
    return path in tool.authors or (is_open and path.startswith(_OPEN))
