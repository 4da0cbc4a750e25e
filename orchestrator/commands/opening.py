"""What every command of the orchestrator begins with: its parts, its log, and an error told in one line."""

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
import typer
from typer.core import TyperGroup

from orchestrator.assembling import Orchestrator, assembled
from orchestrator.durable.database import UnfitDatabase
from orchestrator.fence import for_terminal
from orchestrator.gateway_client import GatewayError
from orchestrator.local_gateway import CommandFailed

_WIDTH = 2_000


@contextmanager
def opened() -> Iterator[Orchestrator]:
    """The orchestrator's parts until the block ends; what people can put right ends the command with code 1.

    The log goes to standard error as JSON.
    """
    before = structlog.get_config()
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    structlog.configure(
        processors=[structlog.processors.add_log_level, stamp, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        with plainly(), assembled() as orchestrator:
            yield orchestrator
    finally:
        structlog.configure(**before)


@contextmanager
def plainly() -> Iterator[None]:
    """What people can put right ends the command with code 1 and one line, which steers no terminal."""
    try:
        yield
    except (CommandFailed, GatewayError, UnfitDatabase, ValueError) as error:
        typer.echo(f"error: {for_terminal(str(error), _WIDTH)}", err=True)
        raise typer.Exit(1) from None


def who() -> str:
    """Whoever is logged in; in a container that may be somebody without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def unless_named(command: str) -> type[TyperGroup]:
    """A group in which a name that is no command of its own is the first argument of this one."""

    class Group(TyperGroup):
        def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - as typer has it
            return super().resolve_command(ctx, args if self.get_command(ctx, args[0]) else [command, *args])

    return Group
