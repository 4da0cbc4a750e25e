"""A Tryton server with a company in it, on PostgreSQL: prepared once, restored for each run of the tests.

Run as a program it prepares the database.
"""

import json
import os
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from connectors.crm.tryton_rpc import spelled
from tests.backends.required import required
from tests.postgres import PostgresServer, postgres_server
from tests.processes import free_port

BACKENDS = Path(__file__).parents[3] / ".backends"
PROGRAMS = BACKENDS / "tryton" / "bin"
PREPARED = BACKENDS / "tryton-prepared.dump"
DATABASE = "remit"
ADMIN, USER, PASSWORD = "admin", "remit", "correct-horse-battery"
MANY = 1_000
_MODULES = ("party_relationship", "sale_opportunity")
_BOOT_SECONDS = 100


@dataclass
class Tryton:
    """A running server, spoken to as its administrator.

    Args:
        url: Where it is.
        postgres: Where its database is.
        sessions: Those of back ends, from one test to the next.
    """

    url: str
    postgres: PostgresServer
    sessions: dict[Any, Any] = field(default_factory=dict)
    _http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60, trust_env=False))
    _session: str = ""
    _known: dict[str, list[int]] = field(default_factory=dict)

    def call(self, method: str, *params: object) -> Any:
        """What a method of a model gives."""
        asked = {"id": 1, "method": f"model.{method}", "params": [*params, {}]}
        return self._answer(asked, {"Authorization": f"Session {self._session or self._begin()}"})

    def ids(self, model: str, **wanted: object) -> list[int]:
        """The ids of the records that have these values; asked for once."""
        where = f"{model} {wanted}"
        if where not in self._known:
            self._known[where] = self.call(f"{model}.search", [[name, "=", value] for name, value in wanted.items()])
        return self._known[where]

    def merge(self, party: int, survivor: int) -> None:
        """Leave two parties as Tryton's own merging of them does."""
        change = f"SET active = false, replaced_by = {survivor} WHERE id = {party}"
        self.postgres.run(f"UPDATE party_party {change}", self.postgres.url(DATABASE))

    def end_sessions(self) -> None:
        """End every session of the user, as time does."""
        of_user = "create_uid = (SELECT id FROM res_user WHERE login = 'remit')"
        self.postgres.run(f"DELETE FROM ir_session WHERE {of_user}", self.postgres.url(DATABASE))  # noqa: S608 - no input

    def _begin(self) -> str:
        asked = {"id": 1, "method": "common.db.login", "params": [ADMIN, {"password": PASSWORD}]}
        user, session, *_ = self._answer(asked, {})
        self._session = b64encode(f"{ADMIN}:{user}:{session}".encode()).decode()
        return self._session

    def _answer(self, asked: dict[str, Any], headers: dict[str, str]) -> Any:
        content, as_json = json.dumps(asked, default=spelled), {"Content-Type": "application/json"}
        answer = self._http.post(f"{self.url}/{DATABASE}/rpc/", content=content, headers=headers | as_json).json()
        assert "error" not in answer, answer["error"]
        return answer["result"]


@contextmanager
def serving_tryton(postgres: PostgresServer) -> Iterator[Tryton]:
    """A server on a copy of the prepared database, until the block ends."""
    required(PREPARED.exists(), "Tryton")
    postgres.run(f"CREATE DATABASE {DATABASE}")
    restore = [str(postgres.programs / "pg_restore"), "--no-owner", "-d", postgres.url(DATABASE), str(PREPARED)]
    subprocess.run(restore, check=True)
    try:
        with _running(postgres) as server:
            yield server
    finally:
        postgres.run(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@contextmanager
def _running(postgres: PostgresServer) -> Iterator[Tryton]:
    url = f"http://127.0.0.1:{free_port()}"
    with TemporaryDirectory() as folder:
        log = Path(folder) / "tryton.log"
        command = [str(PROGRAMS / "trytond"), "-c", str(_configured(Path(folder), postgres, url)), "-d", DATABASE]
        with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
            try:
                _wait_until_it_answers(url, process, log)
                yield Tryton(url, postgres)
            finally:
                process.terminate()
                process.wait(30)


def _configured(folder: Path, postgres: PostgresServer, url: str) -> Path:
    path = folder / "trytond.conf"
    listen = url.removeprefix("http://")
    path.write_text(f"[database]\nuri = {postgres.url('')}\n[web]\nlisten = {listen}\n")
    return path


def _wait_until_it_answers(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _BOOT_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"Tryton stopped: {log.read_text()}")
        try:
            asked = {"id": 1, "method": "common.server.version", "params": []}
            if httpx.post(f"{url}/rpc/", json=asked, timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"Tryton does not answer: {log.read_text()}")


def prepare() -> None:
    """Make the prepared database: a company, what its CRM is made of, and an account with many contacts."""
    with TemporaryDirectory() as folder, postgres_server() as postgres:
        (Path(folder) / "password").write_text(PASSWORD)
        postgres.run(f"CREATE DATABASE {DATABASE}")
        conf = _configured(Path(folder), postgres, "http://127.0.0.1:1")
        command = [str(PROGRAMS / "trytond-admin"), "-c", str(conf), "-d", DATABASE, "--email", "a@remit.example"]
        env = {**os.environ, "TRYTONPASSFILE": f"{folder}/password"}
        subprocess.run([*command, "-u", *_MODULES, "--activate-dependencies"], env=env, check=True)
        with _running(postgres) as tryton:
            _fill(tryton)
        dump = [str(postgres.programs / "pg_dump"), "-Fc", "-f", str(PREPARED), postgres.url(DATABASE)]
        subprocess.run(dump, check=True)


def _fill(tryton: Tryton) -> None:
    euro = {"name": "Euro", "code": "EUR", "symbol": "€", "rounding": Decimal("0.01"), "digits": 2}
    [currency] = tryton.call("currency.currency.create", [{**euro, "numeric_code": "978"}])
    party, ana = tryton.call("party.party.create", [{"name": "Larkspur"}, {"name": "Ana Smith"}])
    [company] = tryton.call("company.company.create", [{"party": party, "currency": currency}])
    [employee] = tryton.call("company.employee.create", [{"party": ana, "company": company}])
    account, contact, *_ = tryton.call(
        "party.category.create", [{"name": name} for name in ("Account", "Contact", "Key account", "Prospect")]
    )
    works, employs = tryton.call("party.relation.type.create", [{"name": "Works for"}, {"name": "Employs"}])
    tryton.call("party.relation.type.write", [works], {"reverse": employs})
    tryton.call("party.relation.type.write", [employs], {"reverse": works})
    belongs = {"companies": [["add", [company]]], "company": company, "employees": [["add", [employee]]]}
    tryton.call("res.user.write", tryton.ids("res.user", login=ADMIN), {**belongs, "employee": employee})
    groups = tryton.call("res.group.search", [["name", "in", ["Sales", "Sale Opportunity"]]])
    remit = {"name": "Remit", "login": USER, "password": PASSWORD, "groups": [["add", groups]]}
    tryton.call("res.user.create", [{**remit, **belongs, "employee": employee}])
    [large] = tryton.call("party.party.create", [{"name": "Large Ltd", "categories": [["add", [account]]]}])
    tryton.call("party.party.create", [_one_of_many(number, contact, works, large) for number in range(MANY)])


def _one_of_many(number: int, category: int, relation: int, account: int) -> dict[str, Any]:
    return {
        "name": f"Person {number:04}",
        "categories": [["add", [category]]],
        "contact_mechanisms": [["create", [{"type": "email", "value": f"p{number:04}@large.example"}]]],
        "relations": [["create", [{"type": relation, "to": account}]]],
    }


if __name__ == "__main__":
    prepare()
