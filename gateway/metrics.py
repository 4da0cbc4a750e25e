"""What operators see at `/metrics`, in Prometheus' text form: calls, the journal's pace, and what is wrong just now.

No label grows with what callers send: a tool that does not exist is `unknown`, and so many tenants have their own name.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
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
from connectors.errors import ConnectorError, InDoubt, Unavailable
from gateway.answer import Answer, ErrorKind
from gateway.catalog import UnknownTool
from gateway.database import Database
from gateway.home import utc_now
from gateway.inquiries.inquiry import ClientAsked
from gateway.journal import Journal, JournalUnavailable
from gateway.policy_source import PolicySource
from gateway.upstream.watching import Upstreams

if TYPE_CHECKING:
    from gateway.gateway import Gateway, ToolCall

CONTENT_TYPE = CONTENT_TYPE_LATEST
UNKNOWN_TOOL = "unknown"
OTHER_TENANTS = "other"
_MOST_TENANTS = 200
_CALL_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_FAILURES: Mapping[type[Exception], str] = {
    TimeoutError: "timeout",
    Unavailable: "unavailable",
    InDoubt: "in_doubt",
    ConnectorError: "refused",
}
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
        self._back_end = Histogram(
            "remit_back_end_seconds",
            "From a call of a back end to its answer or failure, second tries included.",
            ["area"],
            registry=self.registry,
            buckets=_CALL_SECONDS,
        )
        self._back_end_failures = Counter(
            "remit_back_end_failures", "Calls of a back end that failed.", ["area", "kind"], registry=self.registry
        )
        self._recovered = Counter(
            "remit_calls_recovered",
            "Calls without an outcome, looked into.",
            ["status"],
            registry=self.registry,
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

    @contextmanager
    def back_end(self, area: str) -> Iterator[None]:
        """Count one call of a back end, made within the block."""
        start = perf_counter()
        try:
            yield
        except (ClientAsked, JournalUnavailable):
            raise  # None of its failures: it asks something back, or the gateway cannot record that.
        except Exception as error:
            self._back_end_failures.labels(area, _failure(error)).inc()
            raise
        finally:
            self._back_end.labels(area).observe(perf_counter() - start)

    def recovered(self, status: str) -> None:
        """Count one call without an outcome that was looked into."""
        self._recovered.labels(status).inc()

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


def _failure(error: Exception) -> str:
    for kind, name in _FAILURES.items():
        if isinstance(error, kind):
            return name
    return "broken"


@dataclass(frozen=True, eq=False)
class State(Collector):
    """What is so at the moment of looking; registered with a gateway's `Metrics`."""

    gateway: "Gateway"
    database: Database

    def collect(self) -> Iterator[Metric]:
        """The present values."""
        gateway = self.gateway
        yield from self._policy(gateway.policy)
        yield from self._journal(gateway.journal)
        yield from self._calls(gateway)
        yield from self._upstreams(gateway.upstreams)
        yield _gauge("remit_stops", "Stops in force.", len(gateway.stops.known(utc_now())))
        yield _gauge("remit_stops_unread", "1 while nothing runs because they cannot be read.", gateway.stops.unread)
        yield from self._connections()

    def _policy(self, policy: PolicySource) -> Iterator[Metric]:
        yield InfoMetricFamily("remit_policy", "The policy in force.", {"version": policy.current.version})
        yield _gauge("remit_policy_in_force_since_seconds", "When it came into force here, Unix time.", policy.since)
        yield _gauge("remit_policy_refused", "1 while the policy folder is refused.", bool(policy.problem))
        yield CounterMetricFamily("remit_policy_refusals", "Times the policy folder was refused.", policy.refusals)

    def _journal(self, journal: Journal) -> Iterator[Metric]:
        yield _gauge("remit_journal_failing", "1 while entries cannot be recorded.", bool(journal.failing))
        yield _gauge("remit_journal_queue", "Entries that wait to be written.", journal.waiting)
        yield _gauge("remit_checkpoints_failing", "1 while none can be made.", bool(journal.unsigned))
        yield _gauge("remit_journal_signed_seconds", "When all entries were signed last, Unix time.", journal.signed_at)

    def _calls(self, gateway: "Gateway") -> Iterator[Metric]:
        yield _gauge("remit_calls_running", "Calls that hold a slot.", gateway.slots.running)
        yield _gauge("remit_calls_waiting", "Calls that wait for a slot.", gateway.slots.waiting)
        yield _gauge("remit_requests_held", "Requests held for a person's answer.", len(gateway.patience.held))
        yield _gauge("remit_calls_lost", "Calls that ended here without a recorded outcome.", len(gateway.running.lost))
        yield _gauge("remit_leaving", "1 once the process is about to end.", gateway.leaving.stage > 0)
        alone = GaugeMetricFamily("remit_back_ends_left_alone", "Back ends nobody is let through to.", labels=["area"])
        for area, number in gateway.resilience.left_alone().items():
            alone.add_metric([area], number)
        yield alone

    def _upstreams(self, upstreams: Upstreams) -> Iterator[Metric]:
        state = upstreams.state()
        yield _gauge("remit_upstreams_unreachable", "Upstream servers that cannot be reached.", state.unreachable)
        yield _gauge("remit_upstream_tools_withheld", "Accepted tools that nobody may call now.", state.withheld)
        yield _gauge("remit_upstream_tools_unreviewed", "Definitions that wait for review.", state.unreviewed)
        up = GaugeMetricFamily("remit_upstream_up", "1 while the server can be reached.", labels=["server"])
        for name, back_end in upstreams.back_ends.items():
            up.add_metric([name], not back_end.session.trouble)
        yield up

    def _connections(self) -> Iterator[Metric]:
        if (pool := self.database.pool) is not None:
            family = GaugeMetricFamily("remit_database_connections", "Connections to the server.", labels=["state"])
            family.add_metric(["in_use"], pool.in_use)
            family.add_metric(["idle"], pool.idle)
            yield family


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
