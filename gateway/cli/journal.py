"""`remit journal`: read what was asked, decided and done."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.cli.journal_erase import erase, retain
from gateway.cli.journal_export import export
from gateway.cli.journal_verify import show_key, verify
from gateway.cli.options import Home, OneTenant, whose
from gateway.erasing.erasure import erased_by, erasures
from gateway.journal import Entry, read_journal
from gateway.journal.reading import read_whole_call
from gateway.settings import load_settings
from gateway.visible_text import visible

app = typer.Typer(help="Read the record of every call.", no_args_is_help=True)
app.command("key")(show_key)
app.command("verify")(verify)
app.command("export")(export)
app.command("erase")(erase)
app.command("retain")(retain)


@app.command("list")
def list_entries(
    last: Annotated[int, typer.Option(min=1, max=100_000, help="How many of the newest entries.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    home: Home = None,
    tenant: OneTenant = None,
) -> None:
    """List the newest entries, oldest first."""
    with load_settings(home=home).open_database() as database:
        entries = list(read_journal(database, whose(tenant), last=last))
    if as_json:
        for entry in entries:
            typer.echo(_json(entry))
        return
    table = Table("position", "time", "call", "who", "tool", "what", "why")
    for entry in entries:
        who = " for ".join(str(part) for part in (entry.body.get("agent"), entry.body.get("person")) if part)
        why = entry.body.get("reason") or entry.body.get("error") or entry.body.get("status") or ""
        why = f"{why} (what it was about is erased)".strip() if entry.erased else why
        tool = entry.body.get("tool", "")
        cells = (f"{entry.at:%m-%d %H:%M:%S}", entry.call_id, who, tool, entry.kind.value, str(why))
        table.add_row(str(entry.position), *(escape(visible(cell)) for cell in cells))
    Console().print(table)


@app.command()
def show(
    call_id: Annotated[str, typer.Argument(help="A call's id, as its answer gave it.")],
    home: Home = None,
    tenant: OneTenant = None,
) -> None:
    """Show every entry of one call."""
    with load_settings(home=home).open_database() as database:
        entries = list(read_journal(database, whose(tenant), call_id=call_id))
    if not entries:
        raise typer.BadParameter(f"the journal has no call `{call_id}`")
    for entry in entries:
        typer.echo(json.dumps(json.loads(_json(entry)), indent=2))


@app.command()
def why(
    call_id: Annotated[str, typer.Argument(help="A call's id, or an approval's (`apr_…`).")],
    home: Home = None,
    tenant: OneTenant = None,
) -> None:
    """Tell on one page why a call came out as it did: asked, decided, approved, done, seen."""
    from gateway.journal.telling import why as told

    with load_settings(home=home).open_database() as database:
        entries = read_whole_call(database, whose(tenant), call_id)
        recorded = erasures(database) if any(entry.erased for entry in entries) else []
    if not entries:
        raise typer.BadParameter(f"the journal has no call `{call_id}`")
    for line in told(entries, {entry.position: each.why for entry in entries for each in erased_by(entry, recorded)}):
        typer.echo(line)


def _json(entry: Entry) -> str:
    # ASCII only: what outsiders wrote must not reach a terminal as control characters.
    head = {"position": entry.position, "at": entry.at.isoformat(), "call_id": entry.call_id, "tenant": entry.tenant}
    return json.dumps({**head, "kind": entry.kind, **entry.body, **({"erased": True} if entry.erased else {})})
