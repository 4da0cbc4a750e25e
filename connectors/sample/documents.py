"""The 60 knowledge documents, as Markdown files with front matter beside the phrase banks."""

from datetime import UTC, datetime, time

from connectors.records import DocumentRecord
from connectors.sample.words import TEXT


def documents() -> tuple[DocumentRecord, ...]:
    """Every document, by file name."""
    files = sorted((TEXT / "knowledge").iterdir(), key=lambda file: file.name)
    return tuple(_document(file.name, file.read_text("utf-8")) for file in files)


def _document(name: str, text: str) -> DocumentRecord:
    _, front, body = text.split("---\n", 2)
    facts = dict(line.split(": ", 1) for line in front.splitlines())
    updated = datetime.combine(datetime.fromisoformat(facts["updated"]), time(9), UTC)
    return DocumentRecord.model_validate(
        {
            "source_id": f"knowledge/{name}",
            "title": facts["title"],
            "text": body,
            "source": name,
            "origin": facts["origin"],
            "readers": facts["readers"].split(", "),
            "updated_at": updated,
        }
    )
