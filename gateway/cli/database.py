"""`remit database`: the form of the tables, and who may do what with them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from sqlalchemy import Engine

from connectors.embedded.company import COMPANY
from connectors.embedded.engine import is_postgresql, make_engine
from connectors.embedded.schema import Schema, bring_up_to_date, form_there
from gateway.cli.options import Home
from gateway.home import make_home
from gateway.roles import is_above_row_security, parting
from gateway.settings import Settings, load_settings
from gateway.tables import GATEWAY

app = typer.Typer(
    help="See the form of the database's tables, bring it up to date, and part its users' rights.",
    no_args_is_help=True,
)

_ROLE = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
_EVERYBODY_OR_WHOEVER_RUNS_IT = {"public", "none", "user", "current_user", "current_role", "session_user"}


@app.command()
def status(home: Home = None) -> None:
    """Say of which form the tables are, and whether row-level security holds; exit status 1 if something is to do."""
    fit = [_told(engine, schema) for engine, schema in _databases(load_settings(home=home))]
    if not all(fit):
        raise typer.Exit(1)


@app.command()
def upgrade(home: Home = None) -> None:
    """Bring the tables to the form that this version works with, all of it or nothing; there is no way back.

    A gateway does the same when it starts. Make a backup first.
    """
    settings = load_settings(home=home)
    make_home(settings)
    for engine, schema in _databases(settings):
        bring_up_to_date(engine, schema)
        typer.echo(f"{schema.name}: form {schema.newest}")


@app.command()
def roles(
    owner: Annotated[str, typer.Option(help="Who owns the tables and brings them up to date.")] = "remit_owner",
    gateway: Annotated[str, typer.Option(help="Who the gateway is on the server.")] = "remit",
) -> None:
    """Print the SQL by which a PostgreSQL administrator parts the rights; run it in the gateway's database."""
    for role in (owner, gateway):
        if not _ROLE.fullmatch(role) or role in _EVERYBODY_OR_WHOEVER_RUNS_IT:
            raise typer.BadParameter(f"`{role}` is no plain name of a role: write lower-case letters, digits and `_`")
    if owner == gateway:
        raise typer.BadParameter("owner and gateway must be two roles, or nothing is parted")
    typer.echo("\n".join(parting(owner, gateway)))


def _told(engine: Engine, schema: Schema) -> bool:
    with engine.connect() as connection:
        form = form_there(connection, schema)
        above = is_postgresql(connection) and is_above_row_security(connection)
    needs = "" if form == schema.newest else f"; `remit database upgrade` brings form {schema.newest}"
    typer.echo(f"{schema.name}: {f'form {form}' if form else 'no tables'}{needs}")
    if above:
        typer.echo(f"{schema.name}: this database user is above row-level security; see `remit database roles`")
    return not needs and not above


def _databases(settings: Settings) -> Iterator[tuple[Engine, Schema]]:
    for url, schema in ((settings.gateway_database, GATEWAY), (settings.company_database, COMPANY)):
        with _opened(make_engine(url)) as engine:
            yield engine, schema


@contextmanager
def _opened(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()
