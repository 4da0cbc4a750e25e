"""Puts the orchestrator's parts together, as the settings say: every command and worker begins here."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from orchestrator.durable.database import Database
from orchestrator.durable.store import Store
from orchestrator.durable.worker import Worker
from orchestrator.gateway_client import connect
from orchestrator.grants import Issuer
from orchestrator.settings import Settings, load_settings, taken_apart
from orchestrator.shared_connection import Connect
from orchestrator.work import Surroundings
from orchestrator.workflow import Workflows, shipped_and_own
from orchestrator.working import Working, hear_answers

if TYPE_CHECKING:
    from orchestrator.models.asking import Ask
    from orchestrator.models.registry import Registry


@dataclass(frozen=True)
class Orchestrator:
    """The parts that stand, and those that are made when they are wanted.

    Args:
        settings: How it is set up.
        store: Its runs.
    """

    settings: Settings
    store: Store

    @cached_property
    def workflows(self) -> Workflows:
        """The workflows that it knows."""
        return shipped_and_own(self.settings.workflows)

    @cached_property
    def models(self) -> "Registry":
        """The registry of models."""
        from orchestrator.models.registry import open_registry

        return open_registry(self.settings.models, self.store.database, stand_in(self.workflows))

    @cached_property
    def issuer(self) -> Issuer | None:
        """Where grants are issued, if they are."""
        token = self.settings.grant_token.get_secret_value()
        return Issuer(self.settings.url, token) if token else None

    @property
    def connect(self) -> Connect:
        """Makes connections to the gateway."""
        kept = self.settings
        command = taken_apart(kept.command) or None
        return partial(connect, url=kept.url, token=kept.token.get_secret_value(), command=command)

    def worker(self, connect: Connect, only: str = "") -> Worker:
        """A worker for whatever is due, or `only` for one run and its children; `connect` connects its runs."""
        around = Surroundings(self.models, self.issuer, hears=not self.settings.command)
        work = Working(self.workflows, around, connect)
        return Worker(self.store, work, self.settings.at_once, self.settings.lease, only=only)

    async def hear_answers(self) -> None:
        """Wake runs whose calls a person has answered; a gateway over stdio is asked by its runs themselves."""
        if not self.settings.command:
            await hear_answers(self.store, self.settings.url, self.settings.token.get_secret_value())


@contextmanager
def assembled(**given: Any) -> Iterator[Orchestrator]:  # noqa: ANN401 - one value per setting
    """Open what the settings name, until the block ends.

    Raises:
        BadSettings: If a setting is wrong.
        UnfitDatabase: If the database cannot be used.
    """
    settings = load_settings(**given)
    database = Database(settings.database_url)
    try:
        database.prepare()
        yield Orchestrator(settings, Store(database))
    finally:
        database.close()


def stand_in(workflows: Workflows) -> "Callable[[Ask], Any]":
    """What answers in the place of a model: the function `respond` of the module `stand_in` beside the workflow."""

    def respond(ask: "Ask") -> Any:  # noqa: ANN401 - a pydantic-ai `ModelResponse`
        package = sys.modules[workflows.find(ask.payer.workflow).do.__module__].__package__
        rules = importlib.import_module(f"{package}.stand_in")
        return rules.respond(ask.prompt.partition("@")[0], ask.messages, ask.parameters)

    return respond
