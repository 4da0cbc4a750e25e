"""One connection to the gateway for everything that a worker does: to open one takes longer than most calls."""

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import anyio
from structlog import get_logger

from orchestrator.gateway_client import GatewayClient, GatewayError

log = get_logger("remit.worker")

Connect = Callable[[], AbstractAsyncContextManager[GatewayClient]]


@dataclass
class _Connection:
    """One that is being opened, is open, or has ended."""

    client: GatewayClient | None = None
    why: str = ""
    users: int = 0
    settled: anyio.Event = field(default_factory=anyio.Event)
    unused: anyio.Event = field(default_factory=anyio.Event)

    @property
    def is_good(self) -> bool:
        return not self.why and (self.client is None or self.client.is_sound)

    def close_unless_used(self) -> None:
        if not self.users:
            self.unused.set()


@dataclass
class SharedConnection:
    """Called as `connect` is, it gives the connection that is open already, or opens it.

    After a call that the gateway did not answer, the next user gets a new connection; who still uses the old one may
    finish with it.

    Args:
        connect: Makes a connection that is not open yet.
    """

    connect: Connect
    _newest: _Connection | None = None
    _wanted: deque[_Connection] = field(default_factory=deque)
    _is_wanted: anyio.Event = field(default_factory=anyio.Event)

    async def hold(self) -> None:
        """Hold the connections until cancelled: one belongs to the task that opens it, which its users must not end."""
        async with anyio.create_task_group() as tasks:
            while True:
                while self._wanted:
                    tasks.start_soon(self._hold, self._wanted.popleft())
                self._is_wanted = anyio.Event()
                await self._is_wanted.wait()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[GatewayClient]:
        """The connection, to be used until the block ends.

        Raises:
            GatewayError: If there is no gateway to talk to.
        """
        connection = self._good()
        connection.users += 1
        try:
            await connection.settled.wait()
            if connection.client is None:
                raise GatewayError(connection.why)
            yield connection.client
        finally:
            connection.users -= 1
            if connection is not self._newest:
                connection.close_unless_used()

    def _good(self) -> _Connection:
        if self._newest and self._newest.is_good:
            return self._newest
        if self._newest:
            self._newest.close_unless_used()
        self._newest = _Connection()
        self._wanted.append(self._newest)
        self._is_wanted.set()
        return self._newest

    async def _hold(self, connection: _Connection) -> None:
        try:
            async with self.connect() as connection.client:
                connection.settled.set()
                await connection.unused.wait()
        except Exception as error:  # noqa: BLE001 - whoever uses it is told; the worker outlives it
            connection.why = str(error) if isinstance(error, GatewayError) else f"no connection: {type(error).__name__}"
            log.warning("gateway_lost", why=connection.why)
        finally:
            connection.why = connection.why or "the connection is closed"
            connection.settled.set()
