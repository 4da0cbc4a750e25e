"""What begins runs by itself: new tickets, new mail, the clock, and webhooks. Each item begins one run ever.

A run's id is made of the trigger and the item, so that several workers begin it once; that it was begun is remembered
for longer than the run.
"""

import hashlib
import secrets
import tomllib
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import anyio
from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from orchestrator.durable.store import Store
from orchestrator.durable.tables import now_ms, remembered
from orchestrator.gateway_client import Declared, GatewayClient, GatewayError, Ok
from orchestrator.grants import Issuer, Task
from orchestrator.invalid import in_words
from orchestrator.workflow import BadInput, Workflows

log = get_logger("remit.triggers")

_TOOLS = {"ticket": "ticket_search_tickets", "mail": "email_search_messages"}
_PAGE, _PAGES = 50, 20
_CLOCK_SECONDS = 5.0


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class BadTriggers(ValueError):
    """The file of triggers is not as it must be."""


def _cron(expression: str) -> str:
    try:
        CronSim(expression, utc_now())
    except CronSimError as error:
        raise ValueError(f"`{expression}` is no cron expression: {error}") from None
    return expression


class _Begins(BaseModel):
    """Which workflow is begun with what: a text `$name` in the input stands for a fact about the item."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    workflow: str
    input: dict[str, Any] = {}
    about: str = ""


class Search(_Begins):
    """New tickets or new mail: looked for every so many seconds with the arguments of the gateway's search."""

    kind: Literal["ticket", "mail"]
    query: dict[str, Any]
    every: Annotated[float, Field(ge=1, le=86_400)] = 30.0


class Schedule(_Begins):
    """The clock, by a cron expression."""

    kind: Literal["schedule"]
    cron: Annotated[str, Field(max_length=100), AfterValidator(_cron)]
    timezone: ZoneInfo = ZoneInfo("UTC")


class Hook(_Begins):
    """Whoever knows a secret of at least 24 characters, which the environment has under a name."""

    kind: Literal["webhook"]
    secret: Annotated[SecretStr, Field(min_length=24)]


Trigger = Annotated[Search | Schedule | Hook, Field(discriminator="kind")]
Name = Annotated[str, Field(pattern="^[a-z][a-z0-9-]{0,23}$")]
_FILE: TypeAdapter[dict[str, Trigger]] = TypeAdapter(dict[Name, Trigger])


def load_triggers(path: Path | None, workflows: Workflows, environment: Mapping[str, str]) -> dict[str, Trigger]:
    """Read `triggers.toml`: a table per trigger, by its name.

    Args:
        path: The file; None if there is none.
        workflows: What may be begun.
        environment: Where the secrets of webhooks are.

    Raises:
        BadTriggers: If it is not as it must be; says where.
    """
    if path is None:
        return {}
    try:
        told = tomllib.loads(path.read_text("utf-8"))
        for each in told.values():
            if isinstance(each, dict) and "secret" in each:
                each["secret"] = environment.get(str(each["secret"]), "")
        found = _FILE.validate_python(told)
        for trigger in found.values():
            workflows.find(trigger.workflow)
    except ValidationError as error:
        raise BadTriggers(f"triggers `{path}`: {in_words(error)}") from None
    except (OSError, ValueError) as error:
        raise BadTriggers(f"triggers `{path}`: {error}") from None
    return found


@dataclass(frozen=True)
class Triggers:
    """Begins runs, whichever of several workers comes first.

    Args:
        known: The triggers by name.
        store: The runs.
        workflows: What may be begun.
        connect: Makes a connection to the gateway, to look for what is new.
        issuer: Where the looks get their grants; None works without.
        now: The clock.
    """

    known: Mapping[str, Trigger]
    store: Store
    workflows: Workflows
    connect: Callable[[], AbstractAsyncContextManager[GatewayClient]]
    issuer: Issuer | None = None
    now: Callable[[], datetime] = utc_now

    async def watch(self, name: str, trigger: Search | Schedule) -> None:
        """Look for what is new, or at the clock, until cancelled."""
        while True:
            try:
                await self.look(name, trigger)
            except (GatewayError, BadInput, SQLAlchemyError) as error:
                told = str(error) if isinstance(error, GatewayError | BadInput) else ""
                log.warning("trigger_failed", trigger=name, error=type(error).__name__, told=told)
            await anyio.sleep(trigger.every if isinstance(trigger, Search) else _CLOCK_SECONDS)

    async def look(self, name: str, trigger: Search | Schedule) -> None:
        """Begin what is to be begun now.

        Raises:
            GatewayError: If the gateway does not answer, or does not let it look.
            BadInput: If the workflow of a schedule does not take what it would be begun with.
        """
        if isinstance(trigger, Schedule):
            await self._look_at_clock(name, trigger)
        elif await self._is_turn(name, trigger.every):
            async with self.connect() as gateway:
                found = await self._search(gateway, name, trigger)
            led: set[str] = set()
            for record in found:  # the latest first: a conversation's earlier messages are read with it
                group = str(record.get("thread_id") or record["id"])
                begins = None if group in led else trigger
                try:
                    await self.begin(name, begins, str(record["id"]), {**trigger.query, **record})
                except BadInput as error:  # the others are begun all the same
                    log.warning("item_unfit", trigger=name, told=str(error))
                led.add(group)

    async def begin(self, name: str, begins: _Begins | None, item: str, facts: Mapping[str, Any]) -> str:
        """Begin the run of an item unless it was begun before, and remember it; returns the run's id.

        Args:
            name: The trigger's name.
            begins: What is begun; None only remembers the item.
            item: What it is about, such as a ticket's id.
            facts: What is known of it, for the workflow's input.

        Raises:
            BadInput: If the workflow does not take it.
        """
        run = f"{name}-{hashlib.sha256(item.encode()).hexdigest()[:20]}"
        if await self._remembered(run) is None:
            if begins:
                given = _filled(begins.input, facts)
                wanted = self.workflows.find(begins.workflow).begin(given, run, begins.about or f"{name}: {item}")
                try:
                    await self.store.begin(wanted)
                except ValueError as error:
                    raise BadInput(str(error)) from None
            await self._remember(run)
        return run

    async def _look_at_clock(self, name: str, trigger: Schedule) -> None:
        now = self.now().astimezone(trigger.timezone)
        moment = next(CronSim(trigger.cron, now, reverse=True)).astimezone(UTC)
        known = f"{name}:{trigger.cron}:{trigger.timezone.key}"
        since = await self._remembered(known)
        if since is None:  # what was before a schedule was there is not made up for
            await self._remember(known)
        elif moment.timestamp() * 1_000 > since:
            await self.begin(name, trigger, moment.isoformat(), {"at": moment.isoformat()})

    async def _search(self, gateway: GatewayClient, name: str, trigger: Search) -> list[dict[str, Any]]:
        tool, look = _TOOLS[trigger.kind], f"{name}:{secrets.token_hex(8)}"
        task = Task(f"Look for what is new, for the trigger {name}.", [tool])
        grant = (await self.issuer.grant(task)).token if self.issuer else ""
        found, cursor = list[dict[str, Any]](), ""
        for page in range(_PAGES):
            arguments = {**trigger.query, "limit": _PAGE, "cursor": cursor}
            outcome = await gateway.call(tool, arguments, Declared(look, "", "", f"{look}:{page}", grant))
            if not isinstance(outcome, Ok):
                raise GatewayError(f"`{tool}` may not be looked through: {outcome.status}")
            found += next(part for part in outcome.result.values() if isinstance(part, list))
            if not (cursor := outcome.result.get("next_cursor", "")):
                break
        return found

    async def _is_turn(self, name: str, seconds: float) -> bool:
        """Whether this worker is the one to look, of all that would: by the database's clock, which is one."""
        is_due = remembered.c.at <= now_ms() - int(seconds * 900)
        row = insert(remembered).values(id=f"look:{name}", at=now_ms())
        taken = row.on_conflict_do_update(index_elements=["id"], set_={"at": now_ms()}, where=is_due)
        return await self._changes(taken)

    async def _remembered(self, name: str) -> int | None:
        query = select(remembered.c.at).where(remembered.c.id == name)
        return await self.store.database.run(lambda connection: connection.scalar(query))

    async def _remember(self, name: str) -> None:
        row = insert(remembered).values(id=name, at=int(self.now().timestamp() * 1_000))
        await self._changes(row.on_conflict_do_nothing())

    async def _changes(self, write: Insert) -> bool:
        found = write.returning(remembered.c.id)
        return await self.store.database.run(lambda connection: connection.scalar(found) is not None)


def _filled(value: Any, facts: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON in, JSON out
    if isinstance(value, dict):
        return {name: _filled(each, facts) for name, each in value.items()}
    if isinstance(value, str) and value.startswith("$"):
        try:
            return reduce(lambda part, name: part[name], value[1:].split("."), facts)
        except (KeyError, TypeError):
            raise BadInput(f"there is no `{value}` in what the trigger was told") from None
    return value
