"""`remit demo`: a sample company, a real gateway, triage over it, and four calls that are stopped."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import anyio
from rich.console import Console
from rich.text import Text

from orchestrator.durable.database import UnfitDatabase
from orchestrator.gateway_client import GatewayError, connect
from orchestrator.grants import Issuer
from orchestrator.local_gateway import CommandFailed, remit_command, run_remit, serving
from orchestrator.models.choosing import choose_model
from orchestrator.workflows.triage.command import Setup, triage_on_screen
from orchestrator.workflows.triage.display import show_summary
from orchestrator.workflows.triage.scenes import (
    MAILBOX,
    SceneFailed,
    Stage,
    denied_call,
    injected_call,
    pending_call,
    strayed_call,
)

MARKER = ".remit-demo"
PERSON = "ana.ruiz@larkspur.example"


class DemoFailed(ValueError):
    """Something of the demo did not happen as it must."""


def run_demo(home: Path, policies: Path, items: int, model: str) -> None:
    """Run the whole demo on a fresh home.

    Args:
        home: Folder for the demo's data; wiped if it is an earlier demo's.
        policies: Folder of policy files.
        items: How many items to triage.
        model: A model's name as `choose_model` takes it.

    Raises:
        DemoFailed: If anything did not happen as it must; the message says what.
    """
    console, started = Console(highlight=False), time.monotonic()
    # Without this, being told to stop would leave the gateway running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        chosen = choose_model(model, os.environ)
        fresh_home(home)
        console.print(f"Generating the sample company Larkspur Instruments in {home} …", soft_wrap=True)
        run_remit("sample", "--home", str(home))
        token, grant_token = _token(home), _token(home, "--may-grant")
        with serving(home, policies) as address:
            console.print(f"The gateway runs at {address}/mcp with the policies in {policies}.\n", soft_wrap=True)
            issuer = Issuer(f"{address}/mcp", grant_token)
            setup = Setup(connect(url=issuer.url, token=token), f"sqlite:///{home / 'orchestrator.db'}", chosen, issuer)
            call_ids = anyio.run(_show, setup, issuer, home, items, console)
        _check_journal(home, call_ids)
    except (CommandFailed, GatewayError, UnfitDatabase, SceneFailed, ValueError, OSError) as error:
        raise DemoFailed(str(error)) from None
    _point_onwards(console, home, policies, call_ids[-1])
    console.print(f"\nAll of this really happened, in {time.monotonic() - started:.0f} s.")


def fresh_home(home: Path) -> None:
    """Make an empty folder for a demo, wiping an earlier demo's.

    Raises:
        DemoFailed: If the folder holds anything else.
    """
    if home.is_symlink() or (home.exists() and any(home.iterdir()) and not (home / MARKER).exists()):
        raise DemoFailed(f"`{home}` is not an earlier demo's folder, so it is left alone; choose another with --home")
    if home.exists():
        shutil.rmtree(home)
    home.mkdir(parents=True)
    (home / MARKER).touch()


def _token(home: Path, *more: str) -> str:
    created = run_remit("token", "create", "--home", str(home), "--agent", "triage", "--tenant", "larkspur", *more)
    return created.split()[-1]


async def _show(setup: Setup, issuer: Issuer, home: Path, limit: int, console: Console) -> list[str]:
    store, started = setup.store(), time.monotonic()
    async with setup.gateway as client:
        batch = setup.batch(store, client)
        total = await batch.begin(MAILBOX, limit)
        if total < limit:
            raise DemoFailed(f"the sample has {total} open items where the demo needs {limit}")
        await triage_on_screen(batch, total, setup.note, console)
        store.database.close()
        show_summary(console, batch.reports, setup.chosen.note, time.monotonic() - started)
        if broken := next((report for report in batch.reports if report.effect == "failed"), None):
            raise DemoFailed(f"{broken.kind} {broken.item} was not triaged: {broken.stopped}")
        console.print("\nNow four calls that a model might make, and what the gateway makes of them.\n")
        stage = Stage(client, home, console, f"{batch.run}-demo", issuer)
        for scene in (denied_call, pending_call, injected_call, strayed_call):
            await scene(stage)
        return stage.call_ids


def _check_journal(home: Path, call_ids: list[str]) -> None:
    for call_id, kind in zip(call_ids, ("denied", "pending", "denied", "denied"), strict=True):
        if f'"kind": "{kind}"' not in run_remit("journal", "show", call_id, "--home", str(home)):
            raise DemoFailed(f"the journal does not show call `{call_id}` as {kind}")


def _point_onwards(console: Console, home: Path, policies: Path, call_id: str) -> None:
    arguments = ["serve", "--stdio", "--as", f"person:{PERSON}", "--home", str(home.resolve())]
    server = {"command": remit_command(), "args": [*arguments, "--policies", str(policies.resolve())]}
    lines = [
        "Where to look next",
        f"  the journal      remit journal list --home {home}",
        f"                   remit journal show {call_id} --home {home}",
        f"  the outbox       {home / 'outbox'} (empty: triage sends nothing, and nothing ever leaves this machine)",
        f"  the policies     {policies}: move the limit in rule T06 of rules.csv and run the demo again",
        f"  who sees what    remit tools --as agent:triage and remit tools --as person:{PERSON}",
        "  your own model   OPENAI_API_KEY=… remit demo (or OPENAI_BASE_URL, ANTHROPIC_API_KEY)",
        "  your assistant   add this to its MCP servers and ask it about the support mailbox:",
    ]
    console.print()
    for line in (*lines, json.dumps({"mcpServers": {"remit": server}}, indent=2)):
        console.print(Text(line), soft_wrap=True)
