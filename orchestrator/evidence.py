"""Whether what a model says rests on what was read: word-for-word quotes from the record that they name."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.walk import objects, texts

_OWN_IDS = ("id", "document_id", "thread_id")


class Evidence(BaseModel):
    """A word-for-word quote from something that was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    record_id: str = Field(max_length=60, description="Id of the record or document, such as `doc_…`.")
    quote: str = Field(min_length=1, max_length=400, description="Copied word for word.")


def unsupported(evidence: Iterable[Evidence], read: object) -> list[str]:
    """What evidence names that was not read, or quotes that does not stand in what it names, but for case and space.

    Args:
        evidence: The quotes.
        read: All that was read, as JSON in which each record has its id.
    """
    held = held_in(read)
    return [
        each.quote if each.record_id in held else each.record_id
        for each in evidence
        if not stands_in(held, each.record_id, each.quote)
    ]


def held_in(read: object) -> Mapping[str, list[str]]:
    """What each record in JSON says, by its id, for `stands_in`."""
    held = defaultdict[str, list[str]](list)
    for record in objects(read):
        for record_id in (str(record[name]) for name in _OWN_IDS if name in record):
            held[record_id] += map(plain, texts(record))
    return held


def stands_in(held: Mapping[str, list[str]], record_id: str, quote: str) -> bool:
    """Whether a quote stands in the record that it is said to be from, but for case and space."""
    return bool(plain(quote)) and any(plain(quote) in text for text in held.get(record_id, ()))


def plain(text: str) -> str:
    """A text without what case and white space make of it."""
    return " ".join(text.casefold().split())
