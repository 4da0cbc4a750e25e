"""What operators see at `/metrics`, in Prometheus' text form: calls, the journal's pace, and what is wrong just now.

No label grows with what callers send: a tool that does not exist is `unknown`, and so many tenants have their own name.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from time import perf_counter
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from connectors.asking import LacksCapability
from gateway.answer import Answer, ErrorKind
from gateway.catalog import UnknownTool
from gateway.home import utc_now
from gateway.inquiries.inquiry import ClientAsked
from gateway.journal import Journal
from gateway.policy_source import PolicySource
from gateway.slots import Slots
from gateway.stopping.in_force import StopsInForce
from gateway.upstream.watching import Upstreams

if TYPE_CHECKING:
    from gateway.gateway import Gateway, ToolCall

CONTENT_TYPE = CONTENT_TYPE_LATEST
UNKNOWN_TOOL = "unknown"
OTHER_TENANTS = "other"
_MOST_TENANTS = 200
_CALL_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_APPEND_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.25, 1, 5)

# When each series began would be one more line for each. (The library has no types for this function.)
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """Counts the calls of one gateway.

    Args:
        tools: The names of all tools; a mapping may change.
    """

    def __init__(self, tools: Iterable[str]) -> None:
        self.registry = CollectorRegistry()
        self._tools = tools if isinstance(tools, Mapping) else frozenset(tools)
        self._tenants: dict[str, str] = {}
        labels = ("tenant", "tool", "status", "error")
        self._calls = Counter("remit_calls", "Tool calls by what became of them.", labels, registry=self.registry)
        self._seconds = Histogram(
            "remit_call_seconds",
            "From a call's arrival to its answer, waiting included.",
            ["tool"],
            registry=self.registry,
            buckets=_CALL_SECONDS,
        )
        self._append = Histogram(
            "remit_journal_append_seconds",
            "From an entry to its durability, or to the refusal.",
            registry=self.registry,
            buckets=_APPEND_SECONDS,
        )
        self._stopped = Counter(
            "remit_calls_stopped", "Calls refused because they are stopped.", registry=self.registry
        )
        self._limited = Counter(
            "remit_calls_limited", "Calls refused because a limit is reached.", ["limit"], registry=self.registry
        )
        ProcessCollector(registry=self.registry)

    def called(self, tenant: str, tool: str, status: str, error: str, seconds: float) -> None:
        """Count one call.

        Args:
            tenant: The caller's tenant.
            tool: What the caller named.
            status: The answer's status.
            error: Why a call failed; empty for the others.
            seconds: How long it took.
        """
        tool = tool if tool in self._tools else UNKNOWN_TOOL
        self._calls.labels(self._tenant(tenant), tool, status, error).inc()
        self._seconds.labels(tool).observe(seconds)

    def appended(self, seconds: float) -> None:
        """Count one entry that was handed to the journal."""
        self._append.observe(seconds)

    def refused_by_stop(self) -> None:
        """Count one call that was refused because it is stopped."""
        self._stopped.inc()

    def refused_by_limit(self, limits: Iterable[str]) -> None:
        """Count one call that was refused because these limits are reached."""
        for limit in limits:
            self._limited.labels(limit).inc()

    def written(self) -> bytes:
        """Everything in Prometheus' text form."""
        return generate_latest(self.registry)

    def _tenant(self, name: str) -> str:
        if (label := self._tenants.get(name)) is None:
            if len(self._tenants) >= _MOST_TENANTS:
                return OTHER_TENANTS
            # Half of a surrogate pair could not be sent, and would take all the rest with it.
            label = self._tenants[name] = name.encode("utf-8", "backslashreplace").decode()
        return label


@dataclass(frozen=True)
class State(Collector):
    """What is so at the moment of looking; registered with a gateway's `Metrics`."""

    policy: PolicySource
    journal: Journal
    slots: Slots
    upstreams: Upstreams
    stops: StopsInForce

    def collect(self) -> Iterator[Metric]:
        """The present values."""
        yield InfoMetricFamily("remit_policy", "The policy in force.", {"version": self.policy.current.version})
        yield _gauge("remit_policy_refused", "1 while the policy folder is refused.", bool(self.policy.problem))
        yield CounterMetricFamily("remit_policy_refusals", "Times the policy folder was refused.", self.policy.refusals)
        yield _gauge("remit_journal_failing", "1 while entries cannot be recorded.", bool(self.journal.failing))
        yield _gauge("remit_checkpoints_failing", "1 while none can be made.", bool(self.journal.unsigned))
        yield _gauge("remit_calls_running", "Calls that hold a slot.", self.slots.running)
        yield _gauge("remit_calls_waiting", "Calls that wait for a slot.", self.slots.waiting)
        state = self.upstreams.state()
        yield _gauge("remit_upstreams_unreachable", "Upstream servers that cannot be reached.", state.unreachable)
        yield _gauge("remit_upstream_tools_withheld", "Accepted tools that nobody may call now.", state.withheld)
        yield _gauge("remit_upstream_tools_unreviewed", "Definitions that wait for review.", state.unreviewed)
        yield _gauge("remit_stops", "Stops in force.", len(self.stops.known(utc_now())))
        yield _gauge("remit_stops_unread", "1 while nothing runs because they cannot be read.", self.stops.unread)


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(name, told, value)


_CallTool = Callable[["Gateway", "ToolCall"], Awaitable[Answer[Any]]]


def counted(call_tool: _CallTool) -> _CallTool:
    """Count each call once, however it ends."""

    @wraps(call_tool)
    async def call_and_count(gateway: "Gateway", call: "ToolCall") -> Answer[Any]:
        # What is not an answer by the end: the caller went away.
        start, status, error = perf_counter(), "failed", "cancelled"
        try:
            answer = await call_tool(gateway, call)
            status, error = answer.status, answer.error.kind.value if answer.error else ""
        except UnknownTool:
            error = "unknown_tool"
            raise
        except ClientAsked:
            status, error = "inquired", ""
            raise
        except LacksCapability:
            error = ErrorKind.INVALID_INPUT
            raise
        else:
            return answer
        finally:
            gateway.metrics.called(call.principal.tenant, call.tool, status, error, perf_counter() - start)

    return call_and_count
