"""The tool behind the gateway: declared, allowed by a rule, decided, traced and recorded like any other."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from starlette.applications import Starlette

from connectors.contract import CallContext, Effect, Input, Output, tool, tools_of
from connectors.fields import SystemText
from connectors.registry import TOOLS, BackEnds
from gateway.app import open_gateway
from gateway.catalog import Catalog
from gateway.cli.serving import Serving, serve_alone, serve_with_workers
from gateway.http import build_http_app
from gateway.policy_source import PolicySource
from gateway.principal import Principal
from gateway.server import build_server
from gateway.settings import SHIPPED_POLICIES, load_settings

CALLER = Principal("larkspur", person="caller@larkspur.example", agent="caller")


class Said(Output):
    """What was said."""

    text: SystemText


class Text(Input):
    """What to say."""

    text: SystemText


class EchoTools(Protocol):
    """The area of one tool."""

    @tool(title="Say", effect=Effect.READ)
    async def echo_say_text(self, call: CallContext, args: Text) -> Said:
        """Say a text."""


class Echo:
    """The back end."""

    async def echo_say_text(self, _call: CallContext, args: Text) -> Said:
        """Say what was given."""
        return Said(text=args.text)


@dataclass(frozen=True)
class _BackEnds(BackEnds):
    echo: Echo


@dataclass(frozen=True)
class EchoServing(Serving):
    """Serves the shipped tools and this one."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Starlette]:
        """The app on a gateway that has the tool."""
        catalog = Catalog([*TOOLS, *tools_of(EchoTools)])
        with self.settings.open_database() as database:
            async with open_gateway(self.settings) as shipped:
                gateway = replace(
                    shipped,
                    catalog=catalog,
                    policy=PolicySource(self.settings.home / "policies", list(catalog.tools.values())),
                    back_ends=_BackEnds(**vars(shipped.back_ends), echo=Echo()),
                )
                server = build_server(gateway, CALLER)
                yield build_http_app(gateway, server, self.settings, self.host, self.port, None, database)


def write_policies(folder: Path) -> None:
    """The shipped policy and what allows the tool."""
    folder.mkdir(parents=True)
    for shipped in SHIPPED_POLICIES.glob("*.c*"):
        (folder / shipped.name).write_bytes(shipped.read_bytes())
    with (folder / "roles.csv").open("a") as roles:
        for party in CALLER.parties:
            roles.write(f"g, {party}, role:echo, {CALLER.tenant}\n")
    with (folder / "rules.csv").open("a") as rules:
        rules.write('p, Z1, role:echo, echo_say_text, "len(args.text) <= 10000", allow, "whoever may echo"\n')


if __name__ == "__main__":
    port, home, workers, database_url = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    write_policies(home / "policies")
    settings = load_settings(home=home, database_url=database_url or None)
    echo = EchoServing(settings, "127.0.0.1", port, no_auth=True)
    if workers == 1:
        serve_alone(echo)
    else:
        serve_with_workers(echo, workers)
