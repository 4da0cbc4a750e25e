"""What a backup says of itself, and what may be in one."""

from datetime import datetime
from hashlib import file_digest
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict

NAME = "backup.json"
JOURNAL, COMPANY, KEY, CONFIG = "remit.db", "company.db", "journal.key", "remit.toml"
FILES = frozenset({JOURNAL, COMPANY, KEY, CONFIG})
FOLDERS = frozenset({"checkpoints", "policies", "upstreams", "outbox"})


class BadBackup(Exception):
    """A backup cannot be made, or this is none that can be used; says why and what to do."""


class Manifest(BaseModel):
    """A backup's table of contents.

    Args:
        form: How it is written.
        made_at: The moment as of which everything in it is.
        remit: The version that made it.
        entries: How many entries its journal has; None if that is on a server and not in here.
        files: The SHA-256 of each file, in hexadecimal.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    form: Literal[1] = 1
    made_at: datetime
    remit: str
    entries: int | None
    files: dict[str, str]


def may_be_in(name: str) -> bool:
    """Whether a file of this name may be in a backup: it must lead nowhere else."""
    path = PurePosixPath(name)
    inside = not path.is_absolute() and ".." not in path.parts and str(path) == name and not {"\\", "\0"} & set(name)
    return inside and (name in FILES or (len(path.parts) > 1 and path.parts[0] in FOLDERS))


def digest_of(path: Path) -> str:
    """A file's SHA-256 in hexadecimal.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
