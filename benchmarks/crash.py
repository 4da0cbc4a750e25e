"""Kill a working gateway again and again, and hold each time that nothing happened twice and nothing was lost.

    python benchmarks/crash.py --runs 20              # on SQLite
    python benchmarks/crash.py --runs 20 --postgres   # on a PostgreSQL server of its own that syncs what it commits

Each run makes 245 calls (reads, writes and sends, with keys and without, and some that a person approves) from several
clients, kills the gateway process at random moments, and checks journal, mailbox and records. A run is repeated by its
seed: `--seed N --runs 1`.
"""

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import mkdtemp

sys.path.insert(0, str(Path(__file__).parents[1]))

import anyio
from rich.progress import track

from tests.gateway.crashing import Crashes
from tests.postgres import postgres_server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="how many homes are tried")
    parser.add_argument("--seed", type=int, default=1, help="the first run's seed; each further run's is one more")
    parser.add_argument("--calls", type=int, default=240, help="calls of each run")
    parser.add_argument("--kills", type=int, default=4, help="kills of each run")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL")
    given = parser.parse_args()
    total: Counter[str] = Counter()
    for seed in track(range(given.seed, given.seed + given.runs), description="killing"):
        with _database(given.postgres) as url:
            total.update(_run(seed, given.calls, given.kills, url))
    for name, count in total.items():
        print(f"{name:12} {count:>8,}")
    print(f"{given.runs} runs, {given.runs * given.kills} kills: nothing happened twice, nothing was lost")


def _run(seed: int, calls: int, kills: int, url: str) -> dict[str, int]:
    home = Path(mkdtemp(prefix=f"crash-{seed}-"))
    crashes = Crashes(home / "home", Random(seed), calls, kills, database_url=url)
    try:
        crashes.prepare()
        anyio.run(crashes.drive)
        counted = crashes.check()
    except BaseException:
        print(f"run {seed} failed; what it left is in {home}", file=sys.stderr)
        raise
    shutil.rmtree(home)
    return counted


@contextmanager
def _database(postgres: bool) -> Iterator[str]:
    if not postgres:
        yield ""
        return
    with postgres_server(fsync=True) as server:
        yield server.new_database()


if __name__ == "__main__":
    main()
