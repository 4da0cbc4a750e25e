"""SQLite files as a gateway makes them where there are none: made once in a test run, and copied."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from connectors.embedded.database import Database as CompanyDatabase
from gateway.database import Database
from gateway.home import make_home
from gateway.settings import Settings


def ready_home(settings: Settings) -> None:
    """Make a home folder and those of its databases that are files and not there."""
    make_home(settings)
    for url, made in ((settings.gateway_database, _gateways), (settings.company_database, _companys)):
        if url.get_backend_name() == "sqlite":
            _put(Path(url.database or ""), made)


def ready_company(file: Path) -> str:
    """Make a database for embedded back ends with nothing in it, unless it is there, and give its URL."""
    _put(file, _companys)
    return f"sqlite:///{file}"


def ready_gateway(file: Path) -> None:
    """Make a gateway's database with nothing in it, unless it is there."""
    _put(file, _gateways)


def _put(file: Path, made: Callable[[], bytes]) -> None:
    if not file.exists():
        file.write_bytes(made())


@cache
def _gateways() -> bytes:
    def make(file: Path) -> None:
        with Database.in_file(file) as database:
            database.prepare()

    return _made_by(make)


@cache
def _companys() -> bytes:
    return _made_by(lambda file: CompanyDatabase(f"sqlite:///{file}").close())


def _made_by(make: Callable[[Path], None]) -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "made.db"
        make(file)
        return file.read_bytes()
