"""What waits for people: open questions and doubts, counted beside the calls for whoever watches the gateway."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import anyio
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from structlog import get_logger

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.gateway import Gateway
from gateway.journal import JournalUnavailable

log = get_logger("remit.backlog")


@dataclass(frozen=True)
class Waiting:
    """What waits, as of one moment.

    Args:
        read_at: When that was.
        approvals: How many questions are open.
        oldest: When the oldest of them was asked; None if none is open.
        doubts: Of how many calls nobody knows whether they took effect.
    """

    read_at: datetime
    approvals: int = 0
    oldest: datetime | None = None
    doubts: int = 0


class Backlog(Collector):
    """Counts what waits, in all tenants; registered with a gateway's metrics.

    Args:
        gateway: Whose database is read.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self.waiting = Waiting(gateway.now())

    async def watch(self, every: float) -> None:
        """Count every so many seconds. Runs until cancelled."""
        while True:
            try:
                await self.read()
            except JournalUnavailable as error:
                log.error("backlog_unread", error=str(error))
            await anyio.sleep(every)

    async def read(self) -> None:
        """Count now.

        Raises:
            JournalUnavailable: If it cannot be read.
        """
        gateway, now = self._gateway, self._gateway.now()
        asked = [approval.question.asked_at for approval in await gateway.approvals.open(now, EVERY_TENANT)]
        doubts = await gateway.recorded.count_doubts()
        self.waiting = Waiting(now, len(asked), min(asked, default=None), doubts)

    def collect(self) -> Iterator[Metric]:
        """The values of the last look."""
        waiting = self.waiting
        oldest = (waiting.read_at - waiting.oldest).total_seconds() if waiting.oldest else 0
        yield GaugeMetricFamily("remit_approvals_open", "Questions that wait for a person.", waiting.approvals)
        yield GaugeMetricFamily("remit_approvals_oldest_seconds", "For how long the oldest of them waits.", oldest)
        yield GaugeMetricFamily("remit_doubts", "Calls of which nobody knows whether they took effect.", waiting.doubts)
        yield GaugeMetricFamily(
            "remit_backlog_read_seconds", "When these were counted, Unix time.", waiting.read_at.timestamp()
        )
