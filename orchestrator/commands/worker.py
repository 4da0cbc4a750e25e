"""`remit worker`: works on runs, and begins those that triggers ask for, until it is told to stop."""

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import anyio
import structlog
import typer
import uvicorn
from anyio.abc import TaskGroup
from sqlalchemy.exc import SQLAlchemyError

from orchestrator.assembling import Orchestrator
from orchestrator.commands.opening import opened
from orchestrator.durable.store import Store
from orchestrator.durable.worker import Worker
from orchestrator.hooks import hooks_app
from orchestrator.page.routes import page_routes
from orchestrator.shared_connection import SharedConnection
from orchestrator.triggers import Hook, Trigger, Triggers, load_triggers

_LAST_PORT = 65_535
log = structlog.get_logger("remit.worker")


def work(
    http: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Take webhooks and show the page `/measures` at this address.")
    ] = "",
) -> None:
    """Work on runs, and begin those that triggers ask for, until told to stop by SIGTERM or Ctrl-C.

    What is under way then may come to rest for `REMIT_PATIENCE` seconds; the rest another worker takes up at once.
    """
    with opened() as orchestrator:
        known = load_triggers(orchestrator.settings.triggers_file, orchestrator.workflows, os.environ)
        with _listening(http) as listener:
            anyio.run(_work, orchestrator, known, listener)


async def _work(orchestrator: Orchestrator, known: Mapping[str, Trigger], listener: socket.socket | None) -> None:
    kept, connect = orchestrator.settings, SharedConnection(orchestrator.connect)
    worker = orchestrator.worker(connect)
    triggers = Triggers(known, orchestrator.store, orchestrator.workflows, connect, orchestrator.issuer)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(connect.hold)
        tasks.start_soon(_stop_when_told, worker, kept.patience, tasks)
        tasks.start_soon(forget, orchestrator.store, kept.keep_days)
        tasks.start_soon(orchestrator.hear_answers)
        for name, trigger in known.items():
            if not isinstance(trigger, Hook):
                tasks.start_soon(triggers.watch, name, trigger)
        if listener:
            page = page_routes(orchestrator.store, orchestrator.workflows, kept.page_token.get_secret_value())
            config = uvicorn.Config(
                hooks_app(triggers, page), log_config=None, server_header=False, ws="none", lifespan="off"
            )
            tasks.start_soon(_Server(config).serve, [listener])
        log.info("worker_begins", worker=worker.name, at_once=worker.at_once, triggers=len(known))
        await worker.run()
        tasks.cancel_scope.cancel()
    await orchestrator.models.aclose()
    log.info("worker_ends", worker=worker.name)


async def _stop_when_told(worker: Worker, patience: float, tasks: TaskGroup) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as told:
        async for number in told:
            log.info("worker_stops", signal=signal.Signals(number).name)
            worker.stop()
            tasks.cancel_scope.deadline = min(tasks.cancel_scope.deadline, anyio.current_time() + patience)


async def forget(store: Store, days: float) -> None:
    """Forget every hour what ended so many days ago."""
    while True:
        try:
            if forgotten := await store.forget(days):
                log.info("runs_forgotten", runs=forgotten)
        except SQLAlchemyError as error:
            log.warning("runs_not_forgotten", error=type(error).__name__)
        await anyio.sleep(3_600)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are the worker's


@contextmanager
def _listening(address: str) -> Iterator[socket.socket | None]:
    host, _, port = address.rpartition(":")
    if not address:
        yield None
        return
    if not host or not port.isdecimal() or int(port) > _LAST_PORT:
        raise ValueError(f"`{address}` is no address; give HOST:PORT, such as 127.0.0.1:8901")
    try:
        listener = socket.create_server(
            (host.strip("[]"), int(port)), family=socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        )
    except OSError as error:
        raise ValueError(f"nothing can listen at `{address}`: {error.strerror}") from None
    with listener:
        yield listener
