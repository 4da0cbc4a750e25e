"""Beside the calls: finishes what was recorded as erased, and erases what policy no longer lets the journal keep."""

from collections.abc import Callable
from datetime import datetime, timedelta

import anyio
import anyio.to_thread
from structlog import get_logger

from gateway.database import Database
from gateway.erasing.erasure import carry_out, erasures, record
from gateway.erasing.retention import due
from gateway.journal import Journal, JournalUnavailable
from gateway.policy.judge import Policy

log = get_logger("remit.erasing")

EVERY_SECONDS = 6 * 3_600.0


async def erase_what_is_due(
    journal: Journal,
    database: Database,
    policy: Policy,
    now: datetime,
    at_least: timedelta,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Record and erase what policy no longer lets the journal keep, and finish what was recorded before.

    Args:
        journal: Where it is recorded.
        database: The journal's.
        policy: The policy in force.
        now: The time.
        at_least: What is younger is kept whatever policy says.
        progress: Told, from another thread, how many positions of how many are looked at.

    Returns:
        How many entries can no longer be read.

    Raises:
        JournalUnavailable: If something cannot be read, recorded or destroyed.
    """
    for erasure in await anyio.to_thread.run_sync(
        # Looking alone changes nothing: who ends the process does not wait for it.
        due,
        database,
        policy,
        now,
        at_least,
        progress,
        abandon_on_cancel=True,
    ):
        await record(journal, erasure, now)
    return await anyio.to_thread.run_sync(lambda: carry_out(database, erasures(database)))


async def keep_to_policy(
    journal: Journal,
    database: Database,
    policy: Callable[[], Policy],
    now: Callable[[], datetime],
    at_least: timedelta,
    every: float = EVERY_SECONDS,
) -> None:
    """Erase what is due, again and again. Runs until cancelled.

    Args:
        journal: Where it is recorded.
        database: The journal's.
        policy: Gives the policy in force.
        now: The time.
        at_least: What is younger is kept whatever policy says.
        every: Seconds between two looks.
    """
    while True:
        try:
            erased = await erase_what_is_due(journal, database, policy(), now(), at_least)
        except JournalUnavailable as error:
            log.error("not_erased", error=str(error))
        else:
            if erased:
                log.info("erased", entries=erased, policy=policy().version)
        await anyio.sleep(every)
