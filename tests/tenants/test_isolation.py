"""Nothing that a tenant is answered or shown has anything of another, or depends on what another has or does.

The same calls are made twice: beside others who have little and do nothing, and beside others who have much and do
whatever they can, also with our names, keys and ids. `REMIT_TENANT_EXAMPLES` asks for more of them.
"""

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from gateway.settings import SHIPPED_POLICIES, Settings
from tests.postgres import OWNER, PostgresServer
from tests.tenants.world import APPROVERS, MARK, OURS, ROLES, RULES, THEIRS, World, fill, opened, steps

EXAMPLES = int(os.environ.get("REMIT_TENANT_EXAMPLES", "3"))
_numbers = count()
Copy = Callable[[str], AbstractContextManager[Settings]]


class Prepared:
    """Two filled databases of one kind, of which each example gets copies.

    Args:
        folder: Where everything is.
        server: The PostgreSQL server; None for SQLite.
    """

    def __init__(self, folder: Path, server: PostgresServer | None) -> None:
        self._folder, self._server = folder, server
        policies = folder / "policies"
        policies.mkdir()
        shutil.copy(SHIPPED_POLICIES / "model.conf", policies)
        for name, content in (("roles", ROLES), ("rules", RULES), ("approvers", APPROVERS)):
            (policies / f"{name}.csv").write_text(content)
        self._policies = policies
        self._urls = {name: server.new_database() if server else "" for name in ("quiet", "busy")}
        for name in ("quiet", "busy"):
            self.ids: Mapping[str, list[str]] = asyncio.run(fill(self._settings(name, name), plenty=name == "busy"))

    def _settings(self, name: str, home: str) -> Settings:
        return Settings(home=self._folder / home, policies=self._policies, database_url=SecretStr(self._urls[name]))

    @contextmanager
    def copy(self, name: str) -> Iterator[Settings]:
        """The settings of a gateway on a copy."""
        number = next(_numbers)
        home = self._folder / f"{name}-{number}"
        if self._server is None:
            shutil.copytree(self._folder / name, home)
            yield self._settings(name, home.name)
            shutil.rmtree(home)
            return
        copied, template = f"copy_{number}", self._urls[name].rpartition("?")[0].rpartition("/")[2]
        self._server.run(f"CREATE DATABASE {copied} TEMPLATE {template} OWNER {OWNER}")
        self._urls[copied] = self._server.url(copied, OWNER)
        try:
            yield self._settings(copied, home.name)
        finally:
            self._server.drop_database(self._urls.pop(copied))
            shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def prepared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> Prepared:
    folder = tmp_path_factory.mktemp(request.param)
    return Prepared(folder, postgres if request.param == "postgresql" else None)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(data=st.data())
def test_whatever_others_have_and_do_the_same_calls_are_answered_alike_and_show_nothing_of_it(
    prepared: Prepared, data: st.DataObject
) -> None:
    ours, theirs = data.draw(steps(prepared.ids)), data.draw(steps(prepared.ids))

    async def quiet(settings: Settings) -> list[Any]:
        async with opened(settings) as world:
            answers = [await world.take(OURS, step) for step in ours]
            return [*answers, await world.overview(OURS)]

    async def busy(settings: Settings) -> list[Any]:
        async with opened(settings) as world:
            answers = []
            for step, other in zip(ours, [*theirs, *theirs], strict=False):
                await meddle(world)
                # The same call under the same key, and another one.
                await world.take(THEIRS, step)
                await world.take(THEIRS, replace(other, arguments=marked(other.arguments)))
                answers.append(await world.take(OURS, step))
            return [*answers, await world.overview(OURS)]

    with prepared.copy("quiet") as alone, prepared.copy("busy") as beside:
        undisturbed, disturbed = asyncio.run(quiet(alone)), asyncio.run(busy(beside))
    for step, one, other in zip([*ours, None], undisturbed, disturbed, strict=True):
        assert MARK not in json.dumps(other, default=str), step
        assert one == other, step


async def meddle(world: World) -> None:
    """Their lead answers whatever there is to answer, ours included."""
    await world.approve(THEIRS, [each.question.id for tenant in (OURS, THEIRS) for each in await world.open(tenant)])


def marked(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments with the others' mark in every free text."""
    free = {"name", "title", "subject", "body", "notes", "note", "query"}
    return {name: f"{value} {MARK}"[:200] if name in free else value for name, value in arguments.items()}
