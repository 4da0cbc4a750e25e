"""How many attachments a message has, by what the server says of its parts (BODYSTRUCTURE, RFC 9051, section 7.5.2).

Only for messages that are not read whole; for others it is counted in what was read (`mime.py`).
"""

from collections.abc import Iterator, Sequence

_TEXTS = {(b"text", b"plain"), (b"text", b"html")}


def attached_in(structure: object) -> int:
    """The number of parts that are no text of the message.

    Args:
        structure: As IMAPClient gives it: of a container the list of its parts first, of a part its type first.
    """
    return sum(not _is_text(part) for part in _leaves(structure))


def _leaves(structure: object) -> Iterator[Sequence[object]]:
    if isinstance(structure, Sequence) and structure and isinstance(structure[0], list):
        for part in structure[0]:
            yield from _leaves(part)
    elif isinstance(structure, Sequence) and not isinstance(structure, bytes | str):
        yield structure


def _is_text(part: Sequence[object]) -> bool:
    kind = tuple(each.lower() for each in part[:2] if isinstance(each, bytes))
    return kind in _TEXTS and not _has_name(part)


def _has_name(part: Sequence[object]) -> bool:
    """Whether it says somewhere, in its parameters or its disposition, that it is attached or what it is called."""
    names = {each.lower() for each in _words(part[2:])}
    return bool(names & {b"attachment", b"name", b"filename", b"name*", b"filename*"})


def _words(value: object) -> Iterator[bytes]:
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            yield from _words(each)
