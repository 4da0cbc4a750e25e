"""How fast the journal takes calls and how fast it is verified, and whether alterations of an export are found.

    python benchmarks/journal.py [--postgres]

A call is two durable entries, intent and outcome, of about 700 bytes each. One commit for each record is measured in
the same run by the same writer with groups of one. Verifying is `remit journal verify` as a process of its own on an
export with a checkpoint every 1,000 entries.
"""

import argparse
import asyncio
import os
import platform
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

sys.path.insert(0, str(Path(__file__).parents[1]))

from gateway.database import Database
from gateway.journal import Entry, Journal, Kind, writer
from gateway.journal.chain import GENESIS, Stored, Tree, chained
from gateway.journal.checkpoint import sign
from gateway.journal.checkpoints import Checkpoints
from gateway.journal.entry import to_row
from gateway.journal.lines import from_lines, heading_of, to_lines
from gateway.journal.note import Signer, load_or_make_signer
from gateway.journal.sealing import Sealer
from gateway.journal.verify import check_file
from tests.gateway.journals import change_a_byte, change_a_row
from tests.postgres import PostgresServer, postgres_server

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
SIGNER = Signer("benchmark.example/journal", bytes(range(32)))
BODY = {
    "tool": "email_send_message",
    "person": "ana.ruiz@larkspur.example",
    "agent": "triage",
    "client": "benchmark 1.0",
    "run": "run_0123456789abcdef",
    "arguments": {"to": ["kim@customer.example"], "subject": "Your order", "text": "Dear Kim, " + "thank you. " * 20},
    "arguments_hash": "0" * 64,
    "rules": ["S4", "S7"],
    "reason": "support answers customers",
    "policy_version": "0123456789ab",
}
INTENT = Entry("", "larkspur", "agent:triage+person:ana.ruiz@larkspur.example", NOW, Kind.INTENT, BODY)
OUTCOME = replace(INTENT, kind=Kind.OUTCOME, body={**BODY, "status": "ok", "saw": ["msg_0001"]})


def tell(text: str) -> None:
    """Say on standard error what is going on."""
    print(text, file=sys.stderr, flush=True)


async def calls_taken(database: Database, folder: Path, callers: int, calls: int) -> tuple[float, list[float]]:
    """Calls a second, and the seconds that each entry took, in rising order."""
    signer = load_or_make_signer(folder / "journal.key")
    sealer = Sealer(database, folder / "checkpoints", signer, lambda: NOW)
    journal = Journal(database, 30, Checkpoints(sealer, 1_000, 30))
    numbers, waits = iter(range(calls)), []

    async def caller() -> None:
        for number in numbers:
            for entry in (INTENT, OUTCOME):
                start = time.perf_counter()
                await journal.append(replace(entry, call_id=f"call_{number:032x}"))
                waits.append(time.perf_counter() - start)

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    took = time.perf_counter() - start
    journal.close()
    return calls / took, sorted(waits)


def bare_commit(database: Database) -> float:
    """Seconds that the median commit of one 700-byte row takes in a database with nothing else: the floor."""
    waits, row = [], f"INSERT INTO bare VALUES ('{'x' * 700}')"  # noqa: S608
    connection: sqlite3.Connection | psycopg.Connection[Any]
    if database.is_postgresql:
        connection = psycopg.connect(database.url.set(drivername="postgresql").render_as_string(hide_password=False))
        connection.autocommit = True
    else:
        connection = sqlite3.connect(database.path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE bare (body TEXT)")
    for _ in range(500):
        start = time.perf_counter()
        connection.execute(row)
        waits.append(time.perf_counter() - start)
    connection.close()
    return sorted(waits)[len(waits) // 2]


@contextmanager
def an_empty_database(server: PostgresServer | None, folder: Path) -> Iterator[Database]:
    """A file in a folder, or a database on a server."""
    url = server.new_database() if server else ""
    with Database(url) if url else Database.in_file(folder / "remit.db") as database:
        yield database
    if server:
        server.drop_database(url)


def measure_appending(calls: int, server: PostgresServer | None) -> None:
    """Print a line for each number of callers, with and without group commit."""
    group = writer._BATCH  # noqa: SLF001 - the one difference between what is compared
    with TemporaryDirectory(dir=Path.cwd()) as folder, an_empty_database(server, Path(folder)) as database:
        print(f"bare commit of one row, p50 {bare_commit(database) * 1e3:.2f} ms")
    print(f"{'callers':>8} {'commits':>12} {'calls/s':>9} {'entries/s':>10} {'p50 ms':>8} {'p99 ms':>8}")
    rates = {}
    for callers, size, share in ((1, group, 20), (64, group, 1), (1, 1, 20), (64, 1, 10)):
        tell(f"appending: {callers} callers, {'groups' if size > 1 else 'one commit each'}")
        writer._BATCH = size  # noqa: SLF001
        with TemporaryDirectory(dir=Path.cwd()) as folder, an_empty_database(server, Path(folder)) as database:
            taken = calls_taken(database, Path(folder), callers, max(calls // share, 100))
            rate, waits = asyncio.run(taken)
        p50, p99 = waits[len(waits) // 2] * 1e3, waits[len(waits) * 99 // 100] * 1e3
        rates[callers, size] = rate
        kind = "group" if size > 1 else "one each"
        print(f"{callers:>8} {kind:>12} {rate:>9,.0f} {2 * rate:>10,.0f} {p50:>8.2f} {p99:>8.2f}", flush=True)
    writer._BATCH = group  # noqa: SLF001
    print(f"64 callers: {rates[64, group] / rates[64, 1]:.1f} times one commit for each record")


def made_items(count: int) -> Iterator[Stored | str]:
    """A journal's entries, with a checkpoint after every thousand and after the last."""
    tree = Tree()
    entries = ((INTENT, OUTCOME)[number % 2] for number in range(count))
    rows = (
        to_row(replace(entry, call_id=f"call_{number // 2:032x}"), bytes(32)).row
        for number, entry in enumerate(entries)
    )
    for stored in chained(rows, 0, GENESIS):
        tree.append(stored.hash)
        yield stored
        if tree.size % 1_000 == 0 or tree.size == count:
            yield sign(tree, SIGNER).note


def made_lines(count: int) -> Iterator[bytes]:
    """The same as an export."""
    heading = heading_of(SIGNER.public, count, -(-count // 1_000))
    return (f"{line}\n".encode() for line in to_lines(heading, made_items(count)))


def measure_verifying(entries: int) -> None:
    """Print how long `remit journal verify` takes."""
    with TemporaryDirectory(dir=Path.cwd()) as folder:
        file = Path(folder) / "journal.jsonl"
        tell(f"making an export of {entries:,} entries")
        with file.open("wb") as out:
            out.writelines(made_lines(entries))
        size = file.stat().st_size
        tell(f"verifying {size / 1e6:,.0f} MB")
        command = [str(Path(sys.executable).parent / "remit"), "journal", "verify", str(file)]
        start = time.perf_counter()
        subprocess.run([*command, "--key", str(SIGNER.public)], check=True, stdout=sys.stderr)
        took = time.perf_counter() - start
    print(f"verified {entries:,} entries in {took:.1f} s ({entries / took:,.0f} a second)")


def count_missed(alterations: int, seed: int) -> int:
    """Alter an export in one byte or row, again and again, and count what verifying does not find."""
    lines, choose, missed, tried = list(made_lines(2_500)), random.Random(seed), 0, 0
    key, whole = SIGNER.public, b"".join(lines)
    while tried < alterations:
        altered = choose.choice((change_a_byte, change_a_row))(lines, choose)
        if b"".join(altered) == whole:
            continue
        tried += 1
        missed += check_file(from_lines(altered), key).finding is None
        if tried % 100 == 0:
            tell(f"{tried} alterations, {missed} missed")
    return missed


def main() -> None:
    """Measure all three and print the results; exit status 1 if an alteration is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=20_000, help="calls at 64 callers (default 20000)")
    parser.add_argument("--entries", type=int, default=1_000_000, help="entries to verify (default 1000000)")
    parser.add_argument("--alterations", type=int, default=1_000, help="random alterations (default 1000)")
    parser.add_argument("--seed", type=int, default=4, help="of the alterations (default 4)")
    parser.add_argument("--postgres", action="store_true", help="the journal on a PostgreSQL server of its own")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} processors")
    with postgres_server(fsync=True) if options.postgres else nullcontext() as server:
        if server:
            print(server.run("SELECT version()")[0][0])
        measure_appending(options.calls, server)
    measure_verifying(options.entries)
    missed = count_missed(options.alterations, options.seed)
    print(f"{options.alterations} alterations of one byte or row: {missed} missed")
    sys.exit(missed > 0)


if __name__ == "__main__":
    main()
