"""Runs cases: the real workflow, durably, against a real gateway that serves their records."""

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.durable.database import Database
from orchestrator.durable.run import Run
from orchestrator.durable.store import Store
from orchestrator.durable.worker import Worker, Works
from orchestrator.evaluation.cases import Case, Expected, Shared, filled
from orchestrator.gateway_client import Declared, Denied, Failed, GatewayClient, Ok, Pending, connect
from orchestrator.grants import Issuer
from orchestrator.local_gateway import run_remit, serving
from orchestrator.models.asking import Account, Models
from orchestrator.work import Surroundings
from orchestrator.workflow import Workflow, Workflows
from orchestrator.working import Working

IN_A_WORLD = 60
"""The shipped policies stop an agent at 600 calls a minute; a case takes ten at most."""


@dataclass(frozen=True, slots=True)
class Called:
    """One call to the gateway, as it was made and as it ended."""

    tool: str
    arguments: dict[str, Any]
    status: str
    why: str = ""


@dataclass(slots=True)
class Seen:
    """What a case's run did.

    Args:
        expect: What is right, with the ids of the gateway's records.
        read: What the run got to see.
        outcome: The workflow's, and under `steps` what each step gave.
        taken: What it took: `calls`, `tokens`, `cost`, `seconds` of work.
        labels: The models and prompts that took part.
    """

    expect: Expected
    state: str = ""
    why: str = ""
    outcome: Any = None
    calls: list[Called] = field(default_factory=list)
    read: list[Any] = field(default_factory=list)
    taken: dict[str, float] = field(default_factory=dict)
    labels: set[str] = field(default_factory=set)


class _Watched(GatewayClient):
    """Notes what was asked for and what came back: a run itself keeps no more of a call than how it ended."""

    def __init__(self, inner: GatewayClient, seen: dict[str, Seen]) -> None:
        super().__init__(inner._client)  # noqa: SLF001 - the same connection, watched
        self._seen = seen

    async def call(self, tool: str, arguments: dict[str, Any], declared: Declared) -> Ok | Denied | Pending | Failed:
        outcome = await super().call(tool, arguments, declared)
        seen = self._seen[declared.run]
        why = outcome.reason if isinstance(outcome, Denied) else ""
        seen.calls.append(Called(tool, arguments, outcome.status, why))
        seen.read += [outcome.result] if isinstance(outcome, Ok) else []
        return outcome


async def observe(
    workflow: Workflow,
    shared: Shared,
    cases: Sequence[Case],
    make_models: Callable[[Database], Models],
    policies: Path,
    folder: Path,
    tell: Callable[[], None] = lambda: None,
) -> dict[str, Seen]:
    """Run cases, several at once.

    Args:
        workflow: What is evaluated.
        shared: What the cases have in common.
        cases: The cases.
        make_models: Makes what asks models, given the database of the runs.
        policies: The folder of policy files.
        folder: An empty folder for the gateways' data and the runs.
        tell: Called whenever a run has ended or waits for a person.

    Returns:
        What each case's run did, by the case's id.

    Raises:
        CommandFailed: If the gateway does not start or does not take a record.
    """
    seen: dict[str, Seen] = {}
    for start in range(0, len(cases), IN_A_WORLD):
        some, home = cases[start : start + IN_A_WORLD], folder / f"world-{start}"
        home.mkdir(parents=True)
        (home / "records.json").write_text(json.dumps({"": shared.world} | {case.id: case.world for case in some}))
        at = ("--home", str(home))
        ids = json.loads(run_remit("sample", "--from-file", str(home / "records.json"), *at))
        who = ("--agent", shared.agent, "--tenant", "larkspur")
        token, grant_token = (
            run_remit("token", "create", *at, *who, *more).split()[-1] for more in ((), ("--may-grant",))
        )
        for case in some:
            ids[case.id] = ids.get("", {}) | ids.get(case.id, {})
            seen[case.id] = Seen(Expected.model_validate(filled(case.expect.model_dump(), ids[case.id])))
        database = Database(f"sqlite:///{home / 'runs.db'}")
        try:
            database.prepare()
            store = Store(database)
            for case in some:
                given = filled({**shared.input, **case.input}, ids[case.id])
                await store.begin(workflow.begin(given, run_id=case.id))
            with serving(home, policies) as address:
                around = Surroundings(make_models(database), Issuer(f"{address}/mcp", grant_token), hears=True)
                # One connection for all runs: to open one takes longer than all the calls of a case.
                async with connect(url=f"{address}/mcp", token=token) as client:
                    working = Working(Workflows([workflow]), around, _kept_open(client, seen))
                    await _work(store, Worker(store, _told(working, tell), at_once=8))
            for case in some:
                await _look(store, case.id, seen[case.id])
        finally:
            database.close()
    return seen


def _kept_open(client: GatewayClient, seen: dict[str, Seen]) -> Callable[[], nullcontext[GatewayClient]]:
    return lambda: nullcontext(_Watched(client, seen))


async def _work(store: Store, worker: Worker) -> None:
    """Work on all runs; where one asks a person, the person accepts. Approvals of the gateway are left open."""
    answer = {"choice": "accept", "note": "", "by": "evaluation"}
    await worker.run(until_idle=True)
    while [each for each in await store.awaited("answer:") if await store.tell(each, answer)]:
        await worker.run(until_idle=True)


def _told(work: Working, tell: Callable[[], None]) -> Works:
    async def one(run: Run) -> str:
        try:
            return await work(run)
        finally:
            tell()

    return one


async def _look(store: Store, run: str, seen: Seen) -> None:
    kept, steps = await store.find(run)
    accounts = [Account.model_validate(step.facts) for step in steps.values() if step.kind == "model"]
    seen.state, seen.why = kept.state, kept.why
    outputs = {step.name: json.loads(step.output) for step in steps.values()}
    seen.outcome = json.loads(kept.result or "{}") | {"steps": outputs}
    seen.labels = {label for each in accounts for label in (each.model, each.prompt) if label}
    seen.taken = {
        "calls": len(seen.calls),
        "tokens": sum(each.input_tokens + each.output_tokens for each in accounts),
        "cost": sum(each.cost for each in accounts),
        "seconds": sum(step.milliseconds for step in steps.values()) / 1_000,
    }
