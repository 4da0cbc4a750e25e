"""What a worker does with a run: find its workflow, connect to the gateway, go through it; and hear of answers."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from urllib.parse import urljoin

import anyio
import httpx
from structlog import get_logger

from orchestrator.durable.run import Parked, Run, TryLater
from orchestrator.durable.store import Fenced, Store
from orchestrator.durable.worker import Unfit
from orchestrator.gateway_client import GatewayClient, GatewayError
from orchestrator.work import Surroundings, Work
from orchestrator.workflow import UnknownWorkflow, Workflows

log = get_logger("remit.worker")


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
    """Wake runs whose calls a person has answered, until cancelled: asks the gateway what changed since last time.

    Args:
        store: The runs.
        url: The gateway's MCP endpoint; its `/approvals/changes` lies beside it.
        token: The token that the runs' calls are made with.
        seconds: Between two looks.
    """
    where, after = urljoin(url, "approvals/changes"), ""
    async with httpx.AsyncClient(timeout=10.0, headers={"Authorization": f"Bearer {token}"}) as http:
        while True:
            try:
                answer = await http.get(where, params={"after": after} if after else {})
                answer.raise_for_status()
                told = answer.json()
                await store.wake([f"approval:{each['id']}" for each in told["changes"]])
                after = told["next"]
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                log.warning("answers_not_heard", error=f"{type(error).__name__}: {error}"[:200])
            await anyio.sleep(seconds)
