"""What a process does that writes a journal until it is killed."""

import asyncio
from dataclasses import replace
from multiprocessing.connection import Connection

from gateway.journal import Journal
from gateway.journal.checkpoints import Checkpoints
from tests.gateway.journals import ENTRY, Kept


def write(kept: Kept, turn: int, told: "Connection[str, str]") -> None:
    """Write with four callers at once, and tell of each entry when it is acknowledged."""
    asyncio.run(_write(kept, turn, told))


async def _write(kept: Kept, turn: int, told: "Connection[str, str]") -> None:
    journal = Journal(kept.database, 10, Checkpoints(kept.sealer(), entries=20, seconds=0.05))

    async def caller(number: int) -> None:
        for n in range(1_000_000):
            call = f"call_{turn}_{number}_{n}"
            await journal.append(replace(ENTRY, call_id=call))
            told.send(call)

    await asyncio.gather(*(caller(number) for number in range(4)))
