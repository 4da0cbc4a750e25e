"""A folder in which people find every message that was sent, as a file that any mail program opens."""

import os
from contextlib import suppress
from pathlib import Path

from connectors.email.tools import SentMessage
from connectors.errors import Unavailable


class Outbox:
    """Writes each sent message once, as `<utc time>-<id>.eml`.

    A file is staged under a hidden name before the sending is committed and gets its name after: what cannot be
    written is not sent, and no file tells of a message that was not sent.

    Args:
        folder: Where to; made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def stage(self, sent: SentMessage, raw: bytes) -> None:
        """Write the file under its hidden name.

        Raises:
            Unavailable: If it cannot be written.
        """
        try:
            with self._staged(sent).open("wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(f"the outbox folder cannot be written ({error.strerror}); nothing was sent") from error

    def publish(self, sent: SentMessage) -> None:
        """Give a staged file its name; one that has it already keeps it."""
        with suppress(FileNotFoundError):
            self._staged(sent).replace(self._folder / _name(sent))

    def _staged(self, sent: SentMessage) -> Path:
        return self._folder / f".{_name(sent)}.part"


def _name(sent: SentMessage) -> str:
    return f"{sent.sent_at:%Y%m%dT%H%M%SZ}-{sent.id}.eml"
