"""Around the back ends: try again what was not done, and leave a back end alone that does not answer.

For each tenant and area on its own. A back end's `Unavailable` means by contract that nothing was done, so such a try
may be made again. After several failures in a row nobody is let through for a while (a circuit breaker); then one
call at a time tries whether the back end is back. Whoever is turned away is turned away before anything is recorded as
begun, so that no key and no approval is used up.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
import stamina
from circuitbreaker import CircuitBreaker

from connectors.contract import Idempotency, Tool
from connectors.errors import ConnectorError, Unavailable

T = TypeVar("T")

_FAILURES = (Unavailable, TimeoutError)
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0


class OutOfService(Exception):
    """The back end is left alone; nothing was done.

    Args:
        area: Whose back end.
        seconds: When to come back.
    """

    def __init__(self, area: str, seconds: int) -> None:
        super().__init__(f"the back end of `{area}` does not answer; nothing was done, come back in {seconds} s")
        self.seconds = seconds


@dataclass
class _Line:
    """The way to one back end."""

    breaker: CircuitBreaker
    probing: bool = False


@dataclass(frozen=True)
class Resilience:
    """How the gateway deals with back ends that do not answer.

    Args:
        tries: How often a call is tried at most, within its time.
        failures: After how many failures in a row a back end is left alone.
        pause: For how many seconds.
    """

    tries: int
    failures: int
    pause: float
    _lines: dict[tuple[str, str], _Line] = field(default_factory=dict)

    @contextmanager
    def admitted(self, tenant: str, tool: Tool) -> Iterator[None]:
        """Let a call through to its back end until the block ends.

        Raises:
            OutOfService: If the back end is left alone, or another call is trying whether it is back.
        """
        line = self._line(tenant, tool)
        if line.breaker.opened:
            raise OutOfService(tool.area, max(line.breaker.open_remaining, 1))
        if line.breaker.closed:
            yield
            return
        if line.probing:
            raise OutOfService(tool.area, 1)
        line.probing = True
        try:
            yield
        finally:
            line.probing = False

    def left_alone(self) -> Counter[str]:
        """How many tenants' back ends nobody is let through to now, by area."""
        return Counter(area for (_tenant, area), line in self._lines.items() if not line.breaker.closed)

    async def run(self, tenant: str, tool: Tool, seconds: float, attempt: Callable[[], Awaitable[T]]) -> T:
        """Make the attempt, and again while the back end is unavailable, where a second one does no harm.

        Args:
            tenant: Whose data it touches.
            tool: What is called.
            seconds: How long all attempts may take together.
            attempt: Calls the back end.

        Raises:
            TimeoutError: If there is no answer in time.
            ConnectorError: What the last attempt raised; other exceptions come through as well.
        """
        breaker = self._line(tenant, tool).breaker
        try:
            with anyio.fail_after(seconds):
                return await self._tried(breaker, tool, attempt)
        except TimeoutError:
            with breaker:
                raise

    async def _tried(self, breaker: CircuitBreaker, tool: Tool, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await _counted(breaker, attempt)
        except Unavailable as error:
            if tool.idempotency is Idempotency.AT_MOST_ONCE or self.tries == 1 or breaker.opened:
                raise
            first = error
        # Only now, since most calls need no second try and each would pay for it.
        async for one in stamina.retry_context(
            on=lambda error: isinstance(error, Unavailable) and not breaker.opened,
            attempts=self.tries,
            timeout=None,
            wait_initial=_FIRST_PAUSE_SECONDS,
            wait_max=_LONGEST_PAUSE_SECONDS,
            wait_jitter=_FIRST_PAUSE_SECONDS,
        ):
            with one:
                if one.num == 1:
                    raise first
                return await _counted(breaker, attempt)
        raise AssertionError("the last try either returns or raises")

    def _line(self, tenant: str, tool: Tool) -> _Line:
        which = tenant, tool.area
        if (line := self._lines.get(which)) is None:
            line = self._lines[which] = _Line(CircuitBreaker(self.failures, self.pause, _FAILURES))
        return line


async def _counted(breaker: CircuitBreaker, attempt: Callable[[], Awaitable[T]]) -> T:
    # What is neither an answer nor a refusal of the back end says nothing about it, a caller who goes away included.
    try:
        output = await attempt()
    except ConnectorError:
        with breaker:
            raise
    with breaker:
        return output
