"""Journals for tests: appended to by the real writer, sealed by a real key."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from gateway.journal import Entry, Journal, Kind
from gateway.journal.note import PublicKey, load_or_make_signer
from gateway.journal.sealing import Sealer

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
ENTRY = Entry("call_1", "larkspur", "agent:triage", NOW, Kind.INTENT, {"tool": "crm_get_contact", "note": "größer"})


@dataclass(frozen=True)
class Kept:
    """A home folder with a journal, its key and its published checkpoints."""

    home: Path

    @property
    def database(self) -> Path:
        return self.home / "remit.db"

    @property
    def folder(self) -> Path:
        return self.home / "checkpoints"

    @property
    def key(self) -> PublicKey:
        return load_or_make_signer(self.home / "journal.key").public

    def sealer(self) -> Sealer:
        return Sealer(self.database, self.folder, load_or_make_signer(self.home / "journal.key"), lambda: NOW, 5)

    def append(self, entries: Iterable[Entry]) -> None:
        async def run() -> None:
            journal = Journal(self.database, timeout=30)
            await asyncio.gather(*(journal.append(entry) for entry in entries))
            journal.close()

        asyncio.run(run())

    def grow(self, *sizes: int) -> None:
        """Append as many entries as each size says, and make a checkpoint after each."""
        for size in sizes:
            self.append(replace(ENTRY, call_id=f"call_{number}") for number in range(size))
            self.sealer().seal()


def change_a_byte(lines: list[bytes], random_: Random) -> list[bytes]:
    """Change, remove or add one byte somewhere."""
    whole = bytearray(b"".join(lines))
    place = random_.randrange(len(whole))
    match random_.randrange(3):
        case 0:
            whole[place] ^= random_.randrange(1, 256)
        case 1:
            del whole[place]
        case 2:
            whole.insert(place, random_.randrange(256))
    return bytes(whole).splitlines(keepends=True)


def change_a_row(lines: list[bytes], random_: Random) -> list[bytes]:
    """Remove, double, move or empty one line, or put another in its place."""
    changed, place = list(lines), random_.randrange(len(lines))
    match random_.randrange(5):
        case 0:
            del changed[place]
        case 1:
            changed.insert(random_.randrange(len(lines)), lines[place])
        case 2:
            changed.insert(random_.randrange(len(lines)), changed.pop(place))
        case 3:
            changed[place] = b"{}\n"
        case 4:
            changed[place] = lines[random_.randrange(len(lines))]
    return changed
