"""Which records a result shows."""

from collections.abc import Iterator

from pydantic import BaseModel

_MAX_IDS = 100
_LONGEST_ID = 200


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
