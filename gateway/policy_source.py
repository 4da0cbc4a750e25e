"""The policy in force: loaded from its folder, looked at for changes, and swapped whole."""

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
import anyio.to_thread
from structlog import get_logger

from connectors.contract import Tool
from gateway.policy.judge import Policy
from gateway.policy.load import load_policy
from gateway.policy.problem import PolicyError

log = get_logger("remit.policy")

_State = tuple[tuple[str, int, int], ...]
Changed = Callable[[Policy], Awaitable[None]]


async def _nobody_cares(_policy: Policy) -> None:
    pass


class PolicySource:
    """Holds the current policy. A folder that cannot be loaded leaves the previous good policy in force.

    Args:
        directory: The policy folder.
        tools: Every tool that rules may speak of.

    Raises:
        PolicyError: If the folder cannot be loaded at the start: there is no good policy to fall back to.
    """

    def __init__(self, directory: Path, tools: Sequence[Tool]) -> None:
        self._directory = directory
        self._tools = tools
        self._one_at_a_time = anyio.Lock()
        self._state = _look(directory)
        self.current: Policy = load_policy(directory, tools)
        self.since = time.time()
        """When the current policy came into force, in seconds of Unix time."""
        self.problem: str = ""
        """Why the folder's present state is not in force; empty while it is."""
        self.refusals = 0
        """How many states of the folder were refused."""

    async def watch(self, every: float, changed: Changed = _nobody_cares) -> None:
        """Look at the folder every so many seconds and load it when it changed. Runs until cancelled.

        Args:
            every: Seconds between two looks.
            changed: Told of each policy that came into force.

        A change is taken up once two looks in a row see the same: a file that is still being written is a shorter
        policy, perhaps without its last denies.
        """
        before, told = self._state, self.current
        while True:
            await anyio.sleep(every)
            state = await anyio.to_thread.run_sync(_look, self._directory)
            if state != self._state and state == before:
                async with self._one_at_a_time:
                    await self._reload(state)
            if self.current is not told:
                told = self.current
                await changed(told)
            before = state

    async def renew(self, tools: Sequence[Tool], in_force: Callable[[], None]) -> bool:
        """Load the folder anew for other tools, and put both in force at the same moment.

        Args:
            tools: Every tool that rules may speak of from now on.
            in_force: Called at that moment.

        Returns:
            Whether it is in force; otherwise the previous policy is, for the previous tools.
        """
        async with self._one_at_a_time:
            try:
                loaded = await anyio.to_thread.run_sync(load_policy, self._directory, tools)
            except PolicyError as error:
                self.problem, self.refusals = str(error), self.refusals + 1
                log.error("policy_refused", problems=str(error).splitlines(), still_in_force=self.current.version)
                return False
            self._tools, self.current, self.problem, self.since = tools, loaded, "", time.time()
            in_force()
            log.info("policy_in_force", version=loaded.version, tools=len(tools))
            return True

    async def _reload(self, state: _State) -> None:
        try:
            loaded = await anyio.to_thread.run_sync(load_policy, self._directory, self._tools)
        except PolicyError as error:
            self._state, self.problem, self.refusals = state, str(error), self.refusals + 1
            log.error("policy_refused", problems=str(error).splitlines(), still_in_force=self.current.version)
        else:
            if await anyio.to_thread.run_sync(_look, self._directory) != state:
                return  # It changed while it was read.
            self._state, self.current, self.problem, self.since = state, loaded, "", time.time()
            log.info("policy_in_force", version=loaded.version)


def _look(directory: Path) -> _State:
    try:
        stats = [(path.name, path.stat()) for path in sorted(directory.glob("*")) if path.is_file()]
    except OSError:
        return ()
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
