"""What a worker tells of runs, models' answers and tool calls, by OpenTelemetry's conventions for generative AI.

Nothing while nobody collects it. Of a run only names of workflows, models and tools are told, never what it holds.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from opentelemetry import metrics, trace

from orchestrator.durable.store import Done

_OPERATIONS = {"chat": "client.operation", "embeddings": "client.operation", "execute_tool": "execute_tool"}


@cache
def _histogram(name: str, unit: str) -> metrics.Histogram:
    return metrics.get_meter("remit.orchestrator").create_histogram(f"gen_ai.{name}", unit)


@contextmanager
def told_run(workflow: str, run: str, waits: type[BaseException]) -> Iterator[None]:
    """Tell of a run while a worker has it, which may be several times; that it waits is no error."""
    told, began = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": workflow}, time.monotonic()
    span = trace.get_tracer("remit.orchestrator").start_as_current_span(
        f"invoke_workflow {workflow}",
        attributes={**told, "remit.run.id": run},
        record_exception=False,  # what an error says of itself may hold data
        set_status_on_exception=False,
    )
    with span as telling:
        try:
            yield
        except BaseException as error:
            if not isinstance(error, waits):
                told["error.type"] = type(error).__qualname__
                telling.set_attributes(told)
            raise
        finally:
            _histogram("workflow.duration", "s").record(time.monotonic() - began, told)


def tell_step(workflow: str, done: Done) -> None:
    """Tell of a step that was done, if a model answered or a tool was called in it."""
    facts: dict[str, Any] = done.facts
    told: dict[str, str] = {"gen_ai.workflow.name": workflow}
    if done.kind == "model" and facts["model"]:
        told["gen_ai.operation.name"] = "chat" if facts["prompt"] else "embeddings"
        told["gen_ai.request.model"] = facts["model"]
        told["gen_ai.provider.name"] = facts["model"].rpartition(":")[0] or "remit"
        for kind in ("input", "output"):
            _histogram("client.token.usage", "{token}").record(
                facts[f"{kind}_tokens"], {**told, "gen_ai.token.type": kind}
            )
        _tell(facts["model"], done.milliseconds, told)
    elif done.kind == "call":
        told |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": facts["tool"]}
        told |= {"error.type": "tool_error"} if facts["status"] == "failed" else {}
        _tell(facts["tool"], facts["milliseconds"], told)


def _tell(what: str, milliseconds: int, told: dict[str, str]) -> None:
    operation, now = told["gen_ai.operation.name"], time.time_ns()
    _histogram(f"{_OPERATIONS[operation]}.duration", "s").record(milliseconds / 1_000, told)
    span = trace.get_tracer("remit.orchestrator").start_span(
        f"{operation} {what}", attributes=told, start_time=now - milliseconds * 1_000_000
    )
    span.end(now)
