"""Everything that an examination looks at. Whoever has something to add adds a function here."""

from collections.abc import AsyncIterator

import anyio

from gateway.doctor.back_ends import back_ends
from gateway.doctor.credentials import credentials
from gateway.doctor.database import database
from gateway.doctor.finding import Check, Finding, wrong
from gateway.doctor.home import home
from gateway.doctor.issuers import issuers
from gateway.doctor.journal import journal
from gateway.doctor.outside import console, notices, telemetry
from gateway.doctor.rules import policy, upstreams
from gateway.doctor.waiting import doubts, stops, tokens
from gateway.settings import Settings
from gateway.visible_text import visible

CHECKS: tuple[Check, ...] = (
    home,
    database,
    journal,
    policy,
    upstreams,
    issuers,
    credentials,
    back_ends,
    console,
    notices,
    telemetry,
    doubts,
    stops,
    tokens,
)
_PATIENCE_SECONDS = 30.0


async def examine(settings: Settings, checks: tuple[Check, ...] = CHECKS) -> AsyncIterator[Finding]:
    """Make all checks, one after the other; what a check itself cannot do is something wrong too."""
    for check in checks:
        name = getattr(check, "__name__", "check")
        try:
            with anyio.fail_after(_PATIENCE_SECONDS):
                found = await check(settings)
        except TimeoutError:
            found = [wrong(name, f"no answer within {_PATIENCE_SECONDS:g} s", "is what it looks at overloaded?")]
        except Exception as error:  # noqa: BLE001 - one check that fails keeps nobody from the others
            found = [wrong(name, visible(f"{type(error).__name__}: {error}".splitlines()[0])[:300], "mend that first")]
        for finding in found:
            yield finding
