"""Has imported what `remit` imports, and forks a process for each command: they do not import it all again.

Such a process differs from one that the installed command makes in that, and in not taking it all apart at its end.
"""

import atexit
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
from contextlib import suppress
from importlib import import_module
from typing import NamedTuple

from connectors.registry import TOOLS
from gateway.cli import _command, main, places
from gateway.listing import described

_LATER = (
    "gateway.background",
    "gateway.http",
    "gateway.leaving",
    "gateway.server",
    "httptools",
    "mcp.server.stdio",
    "psycopg",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
)
"""What commands import only once they run."""


class Asked(NamedTuple):
    """What is to be run.

    Args:
        arguments: The command line without its first word.
        environment: The environment.
        folder: The working directory.
    """

    arguments: list[str]
    environment: dict[str, str]
    folder: str


def _serve(listening: socket.socket, alive: int) -> None:
    """Fork for whoever connects; returns in each process that is to run the command, and ends when `alive` does."""
    while True:
        ready, _, _ = select.select([listening.fileno(), alive], [], [])
        if alive in ready:
            sys.exit()
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        client, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            if _keep(client):
                return
        client.close()


def _keep(client: socket.socket) -> bool:
    """Fork once more and tell the client how that process ends; whether this is that process."""
    length, streams, _, _ = socket.recv_fds(client, 8, 3)
    asked = Asked(*json.loads(client.recv(int(length, 16), socket.MSG_WAITALL)))
    if (pid := os.fork()) == 0:
        client.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(asked.environment)
        os.chdir(asked.folder)
        sys.argv = ["remit", *asked.arguments]
        return True
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(pid)
    client.sendall(b"%8d" % pid)
    if ended not in select.select([ended, client.fileno()], [], [])[0]:  # The client is no more.
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with suppress(BrokenPipeError):
        client.send(b"%8d" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _import_all() -> None:
    gc.disable()
    for name, place in places().items():
        _command(name, place)
    for name in _LATER:
        import_module(name)
    for tool in TOOLS:
        described(tool)  # which is remembered, and depends on nothing but the code
    gc.freeze()
    gc.enable()
    sys.path.remove("")  # It would be the folder of whoever runs a command.


def start(listening: int) -> None:
    """Serve whoever connects to a socket, until standard input ends."""
    _import_all()
    _serve(socket.socket(fileno=listening), sys.stdin.fileno())
    _run()


def _run() -> None:
    """Run the command and end, without taking apart all that was imported."""
    status: object = None
    try:
        main()
    except SystemExit as end:
        status = end.code
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))
