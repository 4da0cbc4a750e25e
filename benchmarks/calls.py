"""What a call costs through the gateway, beside the same tool on a bare server and behind FastMCP's proxy.

    python benchmarks/calls.py [--rounds 5] [--seconds 2] [--only NAME ...]

Each server runs as a process of its own with the same trivial tool; the load comes from this process over kept
connections with as little Python as possible, so that a client does not hide what a server costs. All servers run at
the same time and are measured in turns, the order drawn anew each round; figures are medians over rounds. `CPU` is
processor time of the server's processes for one call. On two cores, two workers and the load share the cores.
FastMCP is installed at its newest version into an environment of its own.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.postgres import postgres_server
from tests.processes import free_port

SERVERS = Path(__file__).parent / "calls_servers"
ROOT = Path(__file__).parents[1]
WARM_UP_SECONDS = 0.3
BODY = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "echo_say_text",
            "arguments": {"text": "The parcel of order 10482 left the warehouse this morning."},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
).encode()


@dataclass
class Measured:
    """A server and what was seen of it."""

    name: str
    port: int
    process: psutil.Process
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    p50_many: list[float] = field(default_factory=list)
    p99_many: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        return sum(sum(each.cpu_times()[:2]) for each in self.processes)

    def megabytes(self) -> float:
        return sum(each.memory_info().rss for each in self.processes) / 2**20


async def _caller(port: int, until: float, waits: list[float]) -> None:
    reading, writing = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n"
        f"Mcp-Method: tools/call\r\nMcp-Name: echo_say_text\r\nContent-Length: {len(BODY)}\r\n\r\n"
    ).encode()
    while time.perf_counter() < until:
        start = time.perf_counter()
        writing.write(head + BODY)
        answer = await _answer(reading)
        waits.append(time.perf_counter() - start)
        if b"The parcel of order 10482" not in answer:
            raise ValueError(f"no answer: {answer[:500]!r}")
    writing.close()


async def _answer(reading: asyncio.StreamReader) -> bytes:
    head = await reading.readuntil(b"\r\n\r\n")
    lower = head.lower()
    if b"content-length:" in lower:
        length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        return head + await reading.readexactly(length)
    parts = [head]
    while size := int(await reading.readuntil(b"\r\n"), 16):
        parts.append(await reading.readexactly(size))
        await reading.readexactly(2)
    await reading.readexactly(2)
    return b"".join(parts)


async def load(port: int, callers: int, seconds: float) -> tuple[list[float], float]:
    """Seconds that each call took, in rising order, and calls a second."""
    waits: list[float] = []
    start = time.perf_counter()
    await asyncio.gather(*(_caller(port, start + seconds, waits) for _ in range(callers)))
    return sorted(waits), len(waits) / (time.perf_counter() - start)


def measure(server: Measured, seconds: float, many: int) -> None:
    """One round."""
    asyncio.run(load(server.port, 4, WARM_UP_SECONDS))
    before = server.cpu_seconds()
    waits, _ = asyncio.run(load(server.port, 1, seconds))
    server.cpu.append((server.cpu_seconds() - before) / len(waits))
    server.p50.append(waits[len(waits) // 2])
    server.p99.append(waits[len(waits) * 99 // 100])
    waits, rate = asyncio.run(load(server.port, many, seconds))
    server.rate.append(rate)
    server.p50_many.append(waits[len(waits) // 2])
    server.p99_many.append(waits[len(waits) * 99 // 100])


@contextmanager
def started(name: str, command: list[str], port: int) -> Iterator[Measured]:
    """A server as a process, once it answers."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            asyncio.run(_wait(port))
            yield Measured(name, port, psutil.Process(process.pid))
        finally:
            process.terminate()


async def _wait(port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await load(port, 1, 0)
                _, writing = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writing.close()
                return


def fastmcp_python(folder: Path) -> str:
    """The interpreter of a new environment with the newest FastMCP."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "fastmcp"]
    subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
    return python


def _commands(folder: Path, postgres: str, fastmcp: str) -> Iterator[tuple[str, list[str], int]]:
    def python(module: str, *arguments: object, by: str = sys.executable) -> list[str]:
        return [by, str(SERVERS / f"{module}.py"), *map(str, arguments)]

    bare = free_port()
    yield "bare server", python("bare", bare), bare
    port = free_port()
    yield "bare MCPServer", python("high_level", port), port
    port = free_port()
    yield "FastMCP proxy", python("proxy", port, bare, by=fastmcp), port
    for workers in (1, 2):
        port = free_port()
        yield f"Remit, SQLite, {workers}", python("remit", port, folder / f"sqlite{workers}", workers, ""), port
    for workers in (1, 2):
        port = free_port()
        name, home = f"Remit, PostgreSQL, {workers}", folder / f"postgresql{workers}"
        yield name, python("remit", port, home, workers, f"{postgres}"), port


def table(servers: list[Measured]) -> Table:
    """What came out, with ratios to the first."""
    shown = Table(title="one trivial tool, protocol 2026-07-28")
    for column in ("server", "p50 ms", "p99 ms", "x bare", "CPU ms", "p50 at many", "p99", "calls/s", "x bare", "MB"):
        shown.add_column(column, justify="left" if column == "server" else "right")
    median = statistics.median
    first = servers[0]
    for each in servers:
        shown.add_row(
            each.name,
            *(f"{1_000 * median(values):.2f}" for values in (each.p50, each.p99)),
            f"{median(a / b for a, b in zip(each.p50, first.p50, strict=True)):.2f}",
            *(f"{1_000 * median(values):.2f}" for values in (each.cpu, each.p50_many, each.p99_many)),
            f"{median(each.rate):.0f}",
            f"{median(a / b for a, b in zip(each.rate, first.rate, strict=True)):.2f}",
            f"{each.megabytes():.0f}",
        )
    return shown


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--only", nargs="+", default=[], help="servers by a part of their name; the bare one always")
    parser.add_argument("--fastmcp", default="", help="an interpreter that has FastMCP")
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = stack.enter_context(postgres_server())
        wanted = ["bare server", *(given.only or ["Remit", "bare", "FastMCP"])]
        fastmcp = given.fastmcp or (fastmcp_python(folder / "fastmcp") if any("F" in name for name in wanted) else "")
        commands = _commands(folder, server.new_database(), fastmcp)
        servers = [
            stack.enter_context(started(*command))
            for command in commands
            if any(part.lower() in command[0].lower() for part in wanted)
        ]
        for _ in track(range(given.rounds), description="rounds", console=Console(stderr=True)):
            for each in random.sample(servers, len(servers)):
                measure(each, given.seconds, given.callers)
        Console(width=130).print(table(servers))
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()}")


if __name__ == "__main__":
    main()
