"""A run in words: one line of it for a list, or its whole story."""

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from orchestrator.durable.store import Done, Kept, State
from orchestrator.fence import for_terminal
from orchestrator.workflow import UnknownWorkflow, Workflows

_WIDTH, _WHOLE = 240, 20_000
_LATE_MS = 60_000


def hidden(kept: Kept, workflows: Workflows) -> str:
    """What holds a run up without anybody being told; empty if nothing does."""
    now = time.time_ns() // 1_000_000
    late = now - (kept.due or now) > _LATE_MS
    if kept.state is State.RUNNING and late:
        return "stuck: its worker is silent, and no other takes it over; start `remit worker`"
    if kept.state is State.READY and late:
        return "stuck: no worker takes it up; start `remit worker`"
    if kept.state in (State.READY, State.RUNNING, State.WAITING):
        try:
            workflows.find(kept.workflow, kept.version)
        except UnknownWorkflow as error:
            return f"unknown here: {error}"
    return f"put off {kept.tries} times" if kept.tries else ""


def line_of(kept: Kept, trouble: str) -> str:
    """One line about a run."""
    parts = [kept.id, f"{kept.workflow}@{kept.version}", kept.state, _at(kept.changed), kept.about, kept.why, trouble]
    return "  ".join(for_terminal(part, _WIDTH) for part in parts if part)


def story(kept: Kept, steps: Iterable[Done], trouble: str, full: bool = False) -> Iterator[str]:
    """A run from its beginning to where it stands, a line a step; what is proposed to people in full, or everything."""
    yield line_of(kept, "")
    account = {"team": kept.team, "customer": kept.customer, "person": kept.person}
    yield f"begun {_at(kept.begun)}" + "".join(f", {name} {value}" for name, value in account.items() if value)
    cost = 0
    for step in steps:
        cost += step.facts.get("cost", 0)
        parts = [_at(step.at), f"{step.kind:8}", step.name, *_told(step)]
        yield "  ".join(for_terminal(part, _WIDTH) for part in parts if part)
        if full or step.name.endswith(".proposal"):
            yield f"    {for_terminal(step.output, _WHOLE)}"
    yield f"cost {_dollars(cost)}"
    if kept.state is State.DONE:
        yield f"result: {for_terminal(kept.result, _WHOLE)}"
    elif kept.why:
        until = f", until {_at(kept.due)}" if kept.state is State.WAITING and kept.due else ""
        yield f"{kept.state} since {_at(kept.changed)}{until}: {for_terminal(kept.why, 400)}"
    if trouble:
        yield for_terminal(trouble, _WIDTH)


def _told(step: Done) -> Iterator[str]:
    facts: dict[str, Any] = step.facts
    if step.kind == "model":
        yield f"{facts['model'] or 'no model'} {facts['prompt']}{' from the cache' if facts['from_cache'] else ''}"
        yield f"{facts['input_tokens']} tokens in, {facts['output_tokens']} out, {_dollars(facts['cost'])}"
        yield from (f"{each['model']} failed: {each['error']}" for each in facts["failed"])
    elif step.kind == "call":
        yield f"{facts['tool']} {facts['status']}, call {facts['call']}"
        yield " ".join([*facts.get("rules", []), facts.get("reason", "")])
    else:
        yield ", ".join(f"{name} {value}" for name, value in facts.items() if value)
    yield f"{step.milliseconds} ms"


def _at(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _dollars(billionths: int) -> str:
    return f"${billionths / 1e9:.6f}".rstrip("0").rstrip(".")
