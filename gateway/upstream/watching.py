"""Upstream servers while the gateway runs: their sessions, and which tools are withheld for what they define now."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import anyio.to_thread
from structlog import get_logger

from connectors.contract import Tool
from connectors.credentials import Credentials
from connectors.mcp_upstream.back_end import UpstreamBackEnd
from connectors.mcp_upstream.declaration import BadUpstream, Server
from connectors.mcp_upstream.session import Session
from gateway.upstream.catalogue import Pinned, read_pinned
from gateway.upstream.pins import Pin

log = get_logger("remit.upstream")

CHANGED = "its definition changed and waits for review"
GONE = "its server no longer defines it"
_LOOKS_BEFORE_A_RETRY = 10

Renew = Callable[[tuple[Tool, ...], Callable[[], None]], Awaitable[bool]]
"""Puts a catalogue in force with the policy for it, and calls back at that moment; says whether it went well."""


@dataclass(frozen=True)
class State:
    """How the upstream servers stand.

    Args:
        unreachable: How many cannot be reached.
        withheld: How many accepted tools nobody may call now.
        unreviewed: How many definitions nobody has accepted or refused yet.
        problem: Why the folder's present state is not in force; empty while it is.
    """

    unreachable: int = 0
    withheld: int = 0
    unreviewed: int = 0
    problem: str = ""

    def __str__(self) -> str:
        told = {"not reached": self.unreachable, "tools withheld": self.withheld, "to review": self.unreviewed}
        counts = [f"{number} {what}" for what, number in told.items() if number]
        return ", ".join((["files refused, previous in force"] if self.problem else []) + counts) or "ok"


class Upstreams:
    """The upstream servers of one gateway.

    Args:
        folder: Where their files are.
        credentials: Where what they are shown comes from.

    Raises:
        BadUpstream: If a file cannot be used.
    """

    def __init__(self, folder: Path, credentials: Credentials | None = None) -> None:
        self._folder = folder
        self._seen = _look(folder)
        self._looks_to_skip = 0
        self._pinned = read_pinned(folder)
        self.problem = ""
        """Why the folder's present state is not in force; empty while it is."""
        self.withheld: Mapping[str, str] = self._pinned.withheld
        """Why a tool of the catalogue may be neither seen nor called now, by its name here."""
        self.back_ends = {
            server.name: UpstreamBackEnd(Session(server, self._compare, credentials), self._pinned.tools[server.name])
            for server in self._pinned.servers
        }

    @property
    def catalogue(self) -> tuple[Tool, ...]:
        """Every tool that policy may speak of."""
        return self._pinned.catalogue

    async def run(self, every: float, renew: Renew) -> None:
        """Keep the sessions, and take up what was accepted or refused. Runs until cancelled.

        Args:
            every: Seconds between looks at the folder.
            renew: Puts a changed catalogue in force.
        """
        async with anyio.create_task_group() as tasks:
            for back_end in self.back_ends.values():
                tasks.start_soon(back_end.run)
            while self.back_ends:
                await anyio.sleep(every)
                await self._take_up(renew)

    async def _take_up(self, renew: Renew) -> None:
        if self._looks_to_skip:
            self._looks_to_skip -= 1
            return
        state = await anyio.to_thread.run_sync(_look, self._folder)
        if state == self._seen:
            return
        self._seen = state
        try:
            read = await anyio.to_thread.run_sync(read_pinned, self._folder)
        except BadUpstream as error:
            self.problem = str(error)
            log.error("upstreams_refused", problems=self.problem.splitlines())
            return
        # A server that was added, or is to be reached otherwise, takes a new start.
        pinned = _of_these(read, self._pinned.servers)

        def in_force() -> None:
            self._pinned, self.problem = pinned, ""
            for name, back_end in self.back_ends.items():
                back_end.tools = pinned.tools.get(name, {})
            self._compare()

        if not await renew(pinned.catalogue, in_force):
            # What was refused since is withheld all the same.
            self.problem = "policy does not go with the changed catalogue: the previous one stays in force"
            self._pinned = replace(self._pinned, withheld={**self._pinned.withheld, **pinned.withheld})
            self._seen, self._looks_to_skip = (), _LOOKS_BEFORE_A_RETRY
            self._compare()

    def _compare(self) -> None:
        """Withhold what a server defines otherwise than it was accepted."""
        withheld = {**self._pinned.withheld, **dict(self._changed())}
        for name in withheld.keys() - self.withheld.keys():
            log.warning("upstream_tool_withheld", tool=name, why=withheld[name])
        for name in self.withheld.keys() - withheld.keys():
            log.info("upstream_tool_in_force", tool=name)
        self.withheld = withheld

    def _changed(self) -> Iterator[tuple[str, str]]:
        for server, tools in self._pinned.tools.items():
            back_end = self.back_ends.get(server)
            now = back_end.session.definitions if back_end else None
            for name, tool in tools.items():
                if now is None:
                    continue
                defined = now.get(tool.definition.name)
                if defined is None:
                    yield name, GONE
                elif defined.hash != tool.definition.hash:
                    yield name, CHANGED

    def state(self) -> State:
        """How the servers stand at this moment."""
        unreachable = sum(bool(back_end.session.trouble) for back_end in self.back_ends.values())
        unreviewed = sum(
            not _is_known(self._pinned.pins.get(name, {}).get(each.name), each.hash)
            for name, back_end in self.back_ends.items()
            for each in (back_end.session.definitions or {}).values()
        )
        return State(unreachable, len(self.withheld), unreviewed, self.problem)


def _is_known(pin: Pin | None, definition: str) -> bool:
    return pin is not None and (pin.hash == definition or definition in pin.refused)


def _of_these(read: Pinned, servers: tuple[Server, ...]) -> Pinned:
    """What was read, for these servers only."""
    names = {server.name for server in servers}
    tools = {name: made for name, made in read.tools.items() if name in names}
    return Pinned(servers, read.pins, tools, read.withheld)


def _look(folder: Path) -> tuple[tuple[str, int, int], ...]:
    found = [(path.name, path.stat()) for path in sorted(folder.glob("*")) if path.suffix in {".toml", ".json"}]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)
