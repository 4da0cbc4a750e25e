"""The reject file: one JSON object a line, with the place, the reason and what stood there."""

import json
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TextIO

from connectors.errors import InvalidInput
from connectors.importing.source import Rejected


class RejectFile:
    """Writes rejects beside their final place and moves them there at the end, if the import came to one.

    A run replaces the file of the last one; a run without rejects leaves none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(f"{path.name}.part")
        self._file: TextIO | None = None

    def __enter__(self) -> "RejectFile":
        return self

    def write(self, rejected: Rejected) -> None:
        """Add one reject.

        Raises:
            InvalidInput: If the file cannot be written.
        """
        place = rejected.place
        entry = {
            "file": place.file,
            "line": place.line,
            "byte": place.byte,
            "reason": rejected.reason,
            "raw": rejected.raw,
        }
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._draft.open("w", encoding="utf-8")
            # A file name or a broken export may hold what UTF-8 cannot say: then it is escaped.
            line = json.dumps(entry, ensure_ascii=False)
            self._file.write((line if _is_utf8(line) else json.dumps(entry)) + "\n")
        except OSError as error:
            raise InvalidInput(
                f"cannot write the reject file: {(error.strerror or 'output error').lower()}; name another",
                field="rejects",
            ) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        with suppress(FileNotFoundError):
            if kind is None and self._file is not None:
                self._draft.replace(self._path)
            elif kind is None:
                self._path.unlink()
            else:
                self._draft.unlink()


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
