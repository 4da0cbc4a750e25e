"""The reject file: one JSON object a line, with the place, the reason and what stood there."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from connectors.errors import InvalidInput
from connectors.importing.source import Rejected


@contextmanager
def reject_file(path: Path) -> Iterator[Callable[[Rejected], None]]:
    """Gives a function that writes one reject.

    The rejects are written beside `path` and moved there when the block ends well, in place of the last run's; without
    any, no file is left. When the block fails, the last run's file stays.

    Raises:
        InvalidInput: If the file cannot be written; found out before the block begins, as far as that goes.
    """
    draft, count = path.with_name(f"{path.name}.part"), 0
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        file = draft.open("w", encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from error

    def write(rejected: Rejected) -> None:
        nonlocal count
        count += 1
        try:
            file.write(_line(rejected))
        except OSError as error:
            raise _unwritable(path, error) from error

    try:
        with file:
            yield write
        draft.replace(path) if count else path.unlink(missing_ok=True)
    finally:
        draft.unlink(missing_ok=True)


def _line(rejected: Rejected) -> str:
    place = rejected.place
    where = {"file": place.file, "line": place.line, "byte": place.byte}
    text = json.dumps({**where, "reason": rejected.reason, "raw": rejected.raw}, ensure_ascii=False)
    # What UTF-8 cannot say is shown as an escape.
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def _unwritable(path: Path, error: OSError) -> InvalidInput:
    return InvalidInput(f"cannot write `{path}`: {(error.strerror or 'output error').lower()}", field="rejects")
