"""The session with one upstream server, in a task of its own: connected again and again, its definitions looked at."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
from structlog import get_logger

from connectors.credentials import Credentials, NoCredentials
from connectors.errors import Unavailable
from connectors.mcp_upstream.declaration import Server
from connectors.mcp_upstream.definition import Definition
from connectors.mcp_upstream.failures import NOT_LET_IN, BadServer

if TYPE_CHECKING:
    from connectors.mcp_upstream.client import Connection

log = get_logger("remit.upstream")

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0
_BETWEEN_LOOKS = 0.2


class Session:
    """Keeps a server reachable.

    Args:
        server: Which.
        looked: Told whenever `definitions` was read anew.
        credentials: Where what it is shown comes from.
    """

    def __init__(self, server: Server, looked: Callable[[], None], credentials: Credentials | None = None) -> None:
        self.server = server
        self.credentials = credentials or NoCredentials()
        self.definitions: Mapping[str, Definition] | None = None
        """Its tools by the server's names, as of the last look; None before the first."""
        self.trouble = "not connected yet"
        """Why it cannot be reached; empty while it can."""
        self._looked = looked
        self._connection: Connection | None = None
        self._up = anyio.Event()
        self._look_again = anyio.Event()
        self._places = anyio.CapacityLimiter(server.max_calls)

    async def run(self) -> None:
        """Stay connected. Runs until cancelled."""
        # The protocol's client is heavy, and most commands never connect.
        from connectors.mcp_upstream.client import connected
        from connectors.mcp_upstream.showing import showing

        pause = _FIRST_PAUSE
        while True:
            try:
                shown = showing(self.server, self.credentials, self.server.looks_as)
                async with connected(self.server, self.look_again, shown) as connection:
                    await self._keep(connection)
            except Exception as error:  # noqa: BLE001 - whatever it is, the server is tried again
                if not self.trouble:
                    pause = _FIRST_PAUSE
                self.trouble = _told(error)
                log.warning("upstream_lost", server=self.server.name, why=self.trouble, again_in=pause)
            finally:
                self._connection, self._up = None, anyio.Event() if self._up.is_set() else self._up
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def look_again(self) -> None:
        """Read the definitions anew, soon: something about the server may have changed."""
        self._look_again.set()

    async def _keep(self, connection: "Connection") -> None:
        """Look at the definitions, then let calls through, and look again whenever it is time."""
        while True:
            if not connection.is_open:
                raise BadServer("the connection was lost")
            self._look_again = anyio.Event()
            found = await connection.definitions()
            self.definitions = {definition.name: definition for definition in found}
            if len(self.definitions) < len(found):
                raise BadServer("two of its tools have one name")
            self.trouble = ""
            self._looked()
            self._connection = connection
            self._up.set()
            # A server that announces changes without end is looked at often enough, not without end.
            await anyio.sleep(min(_BETWEEN_LOOKS, self.server.recheck))
            with anyio.move_on_after(self.server.recheck):
                await self._look_again.wait()

    @contextmanager
    def place(self) -> Iterator[anyio.CapacityLimiter]:
        """A place for one call; acquire it.

        Raises:
            Unavailable: If as many calls as run wait already.
        """
        if self._places.statistics().tasks_waiting >= self.server.max_calls:
            raise Unavailable(f"too many calls to `{self.server.name}` wait; nothing was done")
        yield self._places

    async def connection(self) -> "Connection":
        """The open connection; waits for one."""
        while (found := self._connection) is None or not found.is_open:
            if found is not None:
                self._connection, self._up = None, anyio.Event()
                self.look_again()
            await self._up.wait()
        return found


def _told(error: BaseException) -> str:
    """Why a connection failed, in words of the gateway: those of a server could say anything."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    is_own = isinstance(error, BadServer) or getattr(error, "code", None) == NOT_LET_IN
    return str(error) if is_own else type(error).__name__
