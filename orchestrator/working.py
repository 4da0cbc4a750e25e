"""What a worker does with a run: find its workflow, connect to the gateway, go through it; and hear of answers."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urljoin

import anyio
import httpx
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from orchestrator.durable.run import Parked, Run, TryLater
from orchestrator.durable.store import ANYTHING, Fenced, Store
from orchestrator.durable.worker import Unfit
from orchestrator.gateway_client import GatewayClient, GatewayError
from orchestrator.work import Surroundings, Work
from orchestrator.workflow import UnknownWorkflow, Workflows

log = get_logger("remit.worker")

_APPROVAL = "approval:"
_LONGEST_PAUSE = 60.0
_AT_ONCE = 50
_A_SECOND = 20


@dataclass(frozen=True)
class Working:
    """Does the work of runs.

    Args:
        workflows: What the worker knows.
        around: What it works in.
        connect: Makes a connection to the gateway that is not open yet.
    """

    workflows: Workflows
    around: Surroundings
    connect: Callable[[], AbstractAsyncContextManager[GatewayClient]]

    async def __call__(self, run: Run) -> str:
        """Go through a run's workflow; returns its outcome as JSON.

        Raises:
            Unfit: If the worker does not know the workflow, or not this version.
            Parked: If the run waits.
            TryLater: If the gateway does not answer.
        """
        try:
            workflow = self.workflows.find(run.kept.workflow, run.kept.version)
        except UnknownWorkflow as error:
            raise Unfit(str(error)) from None
        given = workflow.input.model_validate_json(run.kept.given)
        ended: BaseException | str = ""
        try:
            async with self.connect() as gateway:
                # What the workflow raises is not the connection's fault, and would leave it in a group of its tasks.
                try:
                    ended = (await workflow.do(Work(run, gateway, self.around, workflow), given)).model_dump_json()
                except (Exception, Parked, Fenced) as error:  # noqa: BLE001 - it is raised again
                    ended = error
        except GatewayError as error:
            raise TryLater(str(error)) from None
        if isinstance(ended, BaseException):
            raise ended
        return ended


async def hear_answers(store: Store, url: str, token: str, seconds: float = 2.0) -> None:
    """Take up runs whose calls a person has answered, until cancelled: asks the gateway what changed since last time.

    Up to where it was heard is kept with the runs: what changes while no worker looks is heard of by the next one.

    Args:
        store: The runs.
        url: The gateway's MCP endpoint; its `/approvals/changes` lies beside it.
        token: The token that the runs' calls are made with.
        seconds: Between two looks; after errors it is more and more.
    """
    kept, pause = f"heard:{sha256(f'{url} {token}'.encode()).hexdigest()[:32]}", seconds
    headers, where = {"Authorization": f"Bearer {token}"}, urljoin(url, "approvals/changes")
    async with httpx.AsyncClient(timeout=10.0, headers=headers) as http:
        while True:
            try:
                pause = 0.0 if await hear_once(store, http, where, kept) else seconds
            except (httpx.HTTPError, SQLAlchemyError, ValueError, KeyError, TypeError) as error:
                pause = min(max(pause, seconds) * 2, _LONGEST_PAUSE)
                log.warning("answers_not_heard", error=f"{type(error).__name__}: {error}"[:200])
            await anyio.sleep(pause)


async def hear_once(store: Store, http: httpx.AsyncClient, where: str, kept: str) -> bool:
    """Look once; where it fails, the next look finds what this one did not.

    Args:
        store: The runs.
        http: Shows the token.
        where: What is asked.
        kept: Under which name it is kept up to where was heard.

    Returns:
        Whether there was something, so that there may be more.
    """
    _, after = await store.event(kept)
    answer = await http.get(where, params={"after": after} if after else {})
    if after and answer.status_code == httpx.codes.BAD_REQUEST:
        after, answer = None, await http.get(where)  # another gateway gave the cursor, or to another caller
    told = answer.raise_for_status().json()
    changed = [f"{_APPROVAL}{each['id']}" for each in told["changes"]]
    await store.wake(changed)
    if not after:
        await _all_look(store)
    if told["next"] != after:
        await store.keep(kept, told["next"])
    return bool(changed)


async def _all_look(store: Store) -> None:
    """Let every run that waits for an approver look for itself, a few at a time: nobody knows what changed."""
    await store.wake([ANYTHING])
    waiting = await store.awaited(_APPROVAL)
    for start in range(0, len(waiting), _AT_ONCE):
        await store.wake_later(waiting[start : start + _AT_ONCE], start / _A_SECOND)
