"""Whether a process should get calls, for whoever sends them: a load balancer, an orchestrator of containers."""

from contextlib import suppress
from dataclasses import dataclass, field

import anyio

from gateway.gateway import Gateway
from gateway.journal import JournalUnavailable
from gateway.leaving import Stage

_TRY_AGAIN_SECONDS = 1.0
_PATIENCE_SECONDS = 1.0


@dataclass
class Readiness:
    """Looks whether a gateway can serve.

    While the journal fails, a look tries whether it can be written again: nobody else may, once no calls come. At most
    one look in a second does, and for a second at most.
    """

    gateway: Gateway
    _tried: float = field(default=float("-inf"))

    async def look(self) -> tuple[bool, dict[str, str]]:
        """Whether it is ready, and how its parts are."""
        await self._try_journal()
        gateway = self.gateway
        # Calls go on without checkpoints, which will cover what they record as soon as they can be made again.
        journal = "failing" if gateway.journal.failing else "no checkpoints" if gateway.journal.unsigned else "ok"
        # A refused policy folder leaves the previous policy in force: shown, but no reason to take the gateway out.
        policy = "refused, previous in force" if gateway.policy.problem else "ok"
        leaves = gateway.leaving.stage is not Stage.SERVING
        is_ready = not (gateway.journal.failing or leaves)
        status = "shutting down" if leaves else "ready" if is_ready else "not ready"
        return is_ready, {
            "status": status,
            "journal": journal,
            "policy": policy,
            "upstreams": str(gateway.upstreams.state()),
        }

    async def _try_journal(self) -> None:
        now = anyio.current_time()
        if not self.gateway.journal.failing or now < self._tried + _TRY_AGAIN_SECONDS:
            return
        self._tried = now
        with anyio.move_on_after(_PATIENCE_SECONDS), suppress(JournalUnavailable):
            await self.gateway.journal.prove_writable()
