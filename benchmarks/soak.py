"""Ten minutes at 80 % of what two workers on PostgreSQL can do, over back ends that stall and fail, with kills.

    python benchmarks/soak.py [--minutes 10] [--callers 24]

Callers of two tenants read and write without pause and without trouble first: that is the capacity. Then they come at
80 % of it, while the back ends fail before and after they did what they were told, stall, and stop for six seconds each
minute, and one of the two workers is killed every 30 seconds. A caller repeats a write under its key until it is told
what became of it. In the end everything is counted in the database: each write answered `ok` is there once, none
is there twice, each that was begun has its end in the journal, the journal verifies, nobody saw or touched anything
of the other tenant, and memory did not grow. Exits with 1 if anything of this does not hold.
"""

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil
import psycopg
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.fuzzing.model import CALLERS
from benchmarks.fuzzing.world import MARKERS, calls_by_kind, fill, ids_of, write_policies
from benchmarks.soaking.server import FAULTS
from connectors.embedded.database import Database as CompanyDatabase
from connectors.embedded.tenancy import EVERY_TENANT_OPTION
from connectors.registry import embedded
from gateway.home import utc_now
from gateway.journal import Kind
from gateway.principal import Principal
from gateway.settings import Settings, load_settings
from gateway.tokens import Tokens
from tests.postgres import postgres_server
from tests.processes import free_port

ROOT = Path(__file__).parents[1]
WORKERS = 2
LOAD = 0.8
MEASURED_SECONDS, KILL_SECONDS, SETTLE_SECONDS = 20.0, 30.0, 120.0
WHO = (CALLERS[0], CALLERS[5])
_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "soak", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass
class Seen:
    """What the callers saw."""

    answers: Counter[str] = field(default_factory=Counter)
    done: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)


@dataclass
class Callers:
    """What calls.

    Args:
        url: The gateway's.
        tokens: The callers' secrets.
        contacts: Ids of contacts of each tenant.
        pace: Seconds between the calls of one caller; 0 for none.
    """

    url: str
    tokens: dict[Principal, str]
    contacts: dict[str, list[str]]
    pace: float = 0.0
    seen: Seen = field(default_factory=Seen)

    async def for_seconds(self, callers: int, seconds: float) -> float:
        """Call for so long; return the calls a second."""
        self.seen, until = Seen(), time.monotonic() + seconds
        async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=callers)) as http:
            await asyncio.gather(*(self._caller(http, WHO[n % 2], until) for n in range(callers)))
        return self.seen.answers.total() / seconds

    async def _caller(self, http: httpx.AsyncClient, who: Principal, until: float) -> None:
        await asyncio.sleep(random.random() * self.pace)
        while (start := time.monotonic()) < until:
            contact = random.choice(self.contacts[who.tenant])
            if random.random() < 0.5:
                await self._called(http, who, "crm_get_contact", {"contact_id": contact})
            else:
                await self._written(http, who, contact, until)
            self.seen.waits.append(time.monotonic() - start)
            await asyncio.sleep(max(0.0, self.pace - (time.monotonic() - start)))

    async def _written(self, http: httpx.AsyncClient, who: Principal, contact: str, until: float) -> None:
        """Write something once, and repeat it under its key until it is known what became of it."""
        name = f"soak {random.getrandbits(64):016x}"
        arguments = {"kind": "note", "subject": name, "contact_id": contact}
        while True:
            status = await self._called(http, who, "crm_log_activity", arguments, name.replace(" ", "-"))
            if status == "ok":
                self.seen.done.append(name)
                return
            if status in {"not_done", "in_doubt"}:  # the same answer each time: it is settled, or a person has to
                self.seen.given_up.append(name)
                return
            if time.monotonic() > until + SETTLE_SECONDS / 2:
                self.seen.given_up.append(name)
                return
            await asyncio.sleep(0.2 + random.random())

    async def _called(
        self, http: httpx.AsyncClient, who: Principal, tool: str, arguments: dict[str, str], key: str = ""
    ) -> str:
        meta = {**_META, **({"remit/key": key} if key else {})}
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        headers = {
            "Authorization": f"Bearer {self.tokens[who]}",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": tool,
        }
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        try:
            response = await http.post(self.url, json=message, headers=headers)
            content = response.json()["result"]["structuredContent"]
            status = content["error"]["kind"] if content["status"] == "failed" else content["status"]
        except httpx.HTTPError:
            status = "no connection"
        except (ValueError, KeyError):
            status = f"HTTP {response.status_code}"
        else:
            if any(mark in response.text for tenant, mark in MARKERS.items() if tenant != who.tenant):
                self.seen.foreign.append(response.text[:300])
        self.seen.answers[status] += 1
        return str(status)


@contextmanager
def _gateway(settings: Settings, port: int, url: str) -> Iterator[psutil.Process]:
    log = (settings.home / "log").open("w")
    command = [sys.executable, "-m", "benchmarks.soaking.server", str(port), str(settings.home), str(WORKERS), url]
    with subprocess.Popen(command, cwd=ROOT, stderr=log, stdout=log) as process:
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(60)


def _workers(parent: psutil.Process) -> list[psutil.Process]:
    return [each for each in parent.children() if _is_worker(each)]


def _is_worker(child: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(child.cmdline())
    except psutil.Error:  # It has ended meanwhile.
        return False


async def _kill_now_and_then(parent: psutil.Process, killed: list[int]) -> None:
    while True:
        await asyncio.sleep(KILL_SECONDS)
        with suppress(psutil.Error):  # It may end of itself.
            # The one that lives longest, so that each lives for a minute.
            if longest := min(_workers(parent), key=lambda each: each.create_time(), default=None):
                longest.kill()
                killed.append(longest.pid)


async def _watch(parent: psutil.Process, memory: list[float], progress: Progress, seconds: float) -> None:
    task, start = progress.add_task("soaking", total=seconds), time.monotonic()
    while True:
        await asyncio.sleep(1)
        try:
            memory.append(sum(each.memory_info().rss for each in [parent, *_workers(parent)]) / 2**20)
        except psutil.NoSuchProcess:
            continue
        progress.update(task, completed=min(seconds, time.monotonic() - start))


def _prepared(settings: Settings) -> tuple[dict[Principal, str], dict[str, list[str]]]:
    write_policies(settings.policies)
    company = CompanyDatabase(settings.company_database)
    try:
        back_ends = embedded(company)

        async def filled() -> dict[str, list[str]]:
            for tenant in MARKERS:
                await fill(back_ends, tenant)
            return {tenant: (await ids_of(back_ends, tenant))["con"] for tenant in MARKERS}

        contacts = asyncio.run(filled())
    finally:
        company.close()
    with settings.open_database() as database:
        tokens, now = Tokens(database), utc_now()
        return {who: tokens.create(who, now, now + timedelta(days=1))[0] for who in WHO}, contacts


@contextmanager
def _troubled(faults: Path) -> Iterator[None]:
    """While the file is there, the back end stalls and fails."""
    faults.touch()
    try:
        yield
    finally:
        faults.unlink()


async def _soaked(
    callers: Callers, parent: psutil.Process, faults: Path, count: int, minutes: float, shown: Console
) -> dict[str, Any]:
    async with httpx.AsyncClient() as http:
        ready = callers.url.replace("/mcp", "/readyz")
        for _ in range(600):
            try:
                if (await http.get(ready)).status_code == 200 and len(_workers(parent)) == WORKERS:
                    break
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.1)
    await callers.for_seconds(count, 5)
    capacity = await callers.for_seconds(count, MEASURED_SECONDS)
    callers.pace = count / (LOAD * capacity)
    memory: list[float] = []
    killed: list[int] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with _troubled(faults), Progress(*columns, console=shown) as progress:
        beside = [
            asyncio.create_task(_watch(parent, memory, progress, minutes * 60)),
            asyncio.create_task(_kill_now_and_then(parent, killed)),
        ]
        rate = await callers.for_seconds(count, minutes * 60)
        for task in beside:
            if task.done():
                task.result()
            task.cancel()
    return {"capacity": capacity, "rate": rate, "memory": memory, "killed": len(killed)}


def _counted(settings: Settings, url: str, seen: Seen) -> tuple[dict[str, int], list[str]]:
    """What is in the database, and what is wrong with it."""
    wrong = [f"seen of the other tenant: {text}" for text in seen.foreign[:3]]
    with psycopg.connect(url, options=EVERY_TENANT_OPTION) as connection:
        rows = connection.execute(
            "SELECT subject, count(*) FROM crm_activities WHERE subject LIKE 'soak %' GROUP BY subject"
        )
        found: dict[str, int] = dict(rows)
        foreign = connection.execute(
            "SELECT count(*) FROM crm_activities a JOIN crm_contacts c ON c.id = a.contact_id AND a.tenant <> c.tenant"
        ).fetchone()
    wrong += [f"there {count} times: {name}" for name, count in found.items() if count > 1]
    wrong += [f"answered `ok` and not there: {name}" for name in seen.done if name not in found]
    if foreign != (0,):
        wrong.append(f"{foreign} rows lie across tenants")
    with settings.open_database() as database:
        kinds = calls_by_kind(database)
    begun, ended = kinds.get(Kind.INTENT, Counter()), kinds.get(Kind.OUTCOME, Counter())
    wrong += [f"begun and not ended: {call}" for call in list(begun - ended)[:5]]
    counts = {kind.value: calls.total() for kind, calls in kinds.items()}
    return {"notes": len(found), **{f"journal: {kind}": count for kind, count in sorted(counts.items())}}, wrong


def _verified(settings: Settings) -> list[str]:
    command = [str(Path(sys.executable).with_name("remit")), "journal", "verify", "--home", str(settings.home)]
    environment = {**os.environ, "REMIT_DATABASE_URL": settings.database_url.get_secret_value()}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return [] if ran.returncode == 0 else [f"the journal does not verify: {ran.stdout}{ran.stderr}"]


def _growth(memory: list[float]) -> float:
    """By how much the last third exceeds the middle one; the first is still warming up."""
    third = len(memory) // 3
    return statistics.median(memory[2 * third :]) / statistics.median(memory[third : 2 * third]) if third else 1.0


def main() -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--callers", type=int, default=24)
    given = parser.parse_args()
    console = Console()
    with postgres_server(fsync=True) as postgres, TemporaryDirectory() as folder:
        url = postgres.new_database()
        home = Path(folder) / "home"
        settings = load_settings(home=home, policies=home / "policies", database_url=url)
        tokens, contacts = _prepared(settings)
        port = free_port()
        callers = Callers(f"http://127.0.0.1:{port}/mcp", tokens, contacts)
        with _gateway(settings, port, url) as parent:
            result = asyncio.run(_soaked(callers, parent, home / FAULTS, given.callers, given.minutes, console))
            time.sleep(SETTLE_SECONDS / 4)  # what a killed worker left is looked up by the other one
            counts, wrong = _counted(settings, url, callers.seen)
        wrong += _verified(settings)
        if result["killed"] < given.minutes * 60 / KILL_SECONDS - 2:
            wrong.append(f"only {result['killed']} workers were killed")
        if (growth := _growth(result["memory"])) > 1.1:
            wrong.append(f"memory grew by {growth - 1:.0%}")
        console.print(_shown(callers.seen, result, counts, growth))
        for each in wrong:
            console.print(each, markup=False, style="red")
        if wrong:
            console.print((home / "log").read_text()[-3_000:], markup=False)
    return 1 if wrong else 0


def _shown(seen: Seen, result: dict[str, Any], counts: dict[str, int], growth: float) -> Table:
    table = Table(title="soak", title_justify="left")
    table.add_column("what")
    table.add_column("figure", justify="right")
    waits = sorted(seen.waits) or [0.0]
    rows = {
        "capacity, calls a second": f"{result['capacity']:,.0f}",
        "asked for while soaking, calls a second": f"{LOAD * result['capacity']:,.0f}",
        "answered, calls a second": f"{result['rate']:,.0f}",
        "workers killed": str(result["killed"]),
        "p50 of a call with its repetitions, ms": f"{waits[len(waits) // 2] * 1e3:,.0f}",
        "p99, s": f"{waits[int(len(waits) * 0.99)]:,.1f}",
        "memory, MB (median; last third to middle third)": f"{statistics.median(result['memory']):,.0f}; {growth:.3f}",
        **{f"answered `{status}`": f"{count:,}" for status, count in seen.answers.most_common()},
        "writes answered `ok`": f"{len(seen.done):,}",
        "writes settled otherwise": f"{len(seen.given_up):,}",
        **{name: f"{count:,}" for name, count in counts.items()},
    }
    for name, figure in rows.items():
        table.add_row(name, figure)
    return table


if __name__ == "__main__":
    sys.exit(main())
