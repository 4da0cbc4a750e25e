"""Declared back ends: whether each system is reached, lets the gateway in, and is fit for its tools."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from connectors.contract import CallContext
from connectors.declared import KINDS, open_declared, read_declared
from connectors.embedded.company import COMPANY
from connectors.embedded.database import Database
from connectors.embedded.engine import make_engine
from connectors.embedded.schema import UnfitTables, check_form
from connectors.embedded.tenancy import EVERY_TENANT
from connectors.errors import ConnectorError
from connectors.toml_files import BadFile
from connectors.vendor.kinds import Declarable, Declared, Surroundings
from gateway.app import open_credentials
from gateway.doctor.finding import Finding, ok, warning, wrong
from gateway.home import utc_now
from gateway.settings import Settings
from gateway.visible_text import visible

_PATIENCE_SECONDS = 20.0
_LONGEST = 300
_AREAS = {kind.name: kind.area for kind in KINDS}


async def back_ends(settings: Settings) -> Sequence[Finding]:
    """Ask each declared system whether it can be used; nothing is changed there."""
    try:
        declared = read_declared(settings.back_ends_file)
    except BadFile as error:
        then = "mend the file: a start is refused until then"
        return [wrong("back ends", visible(line)[:_LONGEST], then) for line in str(error).splitlines()]
    try:
        if not declared or not await anyio.to_thread.run_sync(_has_tables, settings):
            return [warning("back ends", "not looked at before the first start", "`remit serve`")] if declared else []
        return await _looked_at(settings, declared)
    except (SQLAlchemyError, UnfitTables):
        return []  # Told of elsewhere.


def _has_tables(settings: Settings) -> bool:
    """Whether all tables are there already: an examination makes none."""
    with settings.open_database() as database:
        if not database.may_exist or not _may_exist(settings.company_database):
            return False
        with database.looking(EVERY_TENANT):
            pass
    engine = make_engine(settings.company_database)
    try:
        return check_form(engine, COMPANY)
    finally:
        engine.dispose()


def _may_exist(url: URL) -> bool:
    return url.get_backend_name() != "sqlite" or Path(url.database or "").exists()


async def _looked_at(settings: Settings, declared: Sequence[Declared]) -> Sequence[Finding]:
    found: list[Finding] = []
    with open_credentials(settings) as credentials, closing(Database(settings.company_database)) as company:
        async with (
            open_declared(declared, Surroundings(credentials, company)) as made,
            anyio.create_task_group() as tasks,
        ):
            for each in declared:
                tasks.start_soon(_look, each, made[each.tenant, _AREAS[each.kind]], found)
    return sorted(found, key=lambda finding: finding.about)


async def _look(declared: Declared, back_end: Declarable, found: list[Finding]) -> None:
    about = visible(f"{declared.kind} of {declared.tenant}")
    try:
        with anyio.fail_after(_PATIENCE_SECONDS):
            told = await back_end.look(CallContext(declared.tenant, "remit", f"look at {about}", utc_now()))
    except TimeoutError:
        found.append(wrong(about, f"no answer within {_PATIENCE_SECONDS:g} s", "is the system reached from here?"))
    except ConnectorError as error:
        then = "docs/back-ends.md says what it must be set up with"
        found.append(wrong(about, visible(error.message)[:_LONGEST], then))
    else:
        found.append(ok(about, visible(told)[:_LONGEST]))
