"""A Request Tracker with a queue for each of two tenants: prepared once, copied for each run of the tests.

Run as a program it prepares the database.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage, Message
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from tests.backends.faults import NO_TRUST
from tests.backends.required import required
from tests.processes import free_port

PREPARED = Path(__file__).parents[3] / ".backends" / "request_tracker"
SERVER = Path("/usr/share/request-tracker5/libexec/rt-server")
NAME = "larkspur.example"
MANY, REQUESTER = 1_000, "many@nordwind.example"
_PATIENCE_SECONDS = 100
_APART = 10_000
"""How far apart the numbers of a copied ticket's rows are."""

_CONFIG = """
Set($rtname, '{name}');
Set($Organization, '{name}');
Set($CorrespondAddress, 'support@larkspur.example');
Set($CommentAddress, 'support-comment@larkspur.example');
Set($WebPath, '');
Set($WebDomain, '127.0.0.1');
Set($WebPort, {port});
Set($Timezone, 'Europe/Berlin');
Set($DatabaseType, 'SQLite');
Set($DatabaseName, '{folder}/rt.db');
Set($LogToSyslog, undef);
Set($LogToSTDERR, 'error');
Set($MailCommand, 'sendmailpipe');
Set($SendmailPath, '{folder}/sendmail');
Set($BcryptCost, 4);
Set(%FullTextSearch, Enable => 1, Indexed => 0);
1;
"""
_SENDMAIL = """#!/bin/sh
exec cat > "$(mktemp '{folder}/mail/XXXXXXXXXX')"
"""


@dataclass(frozen=True)
class RequestTrackerServer:
    """A running server.

    Args:
        url: Where it is.
        tokens: What each user is known by: `remit`, `agent` and `colleague` of one tenant, `outside` of the other.
        folder: Where its data are.
    """

    url: str
    tokens: Mapping[str, str]
    folder: Path

    def as_user(self, name: str) -> httpx.AsyncClient:
        """REST 2.0 as a user."""
        headers = {"Authorization": f"token {self.tokens[name]}"}
        return httpx.AsyncClient(
            base_url=f"{self.url}/REST/2.0", headers=headers, timeout=30, verify=NO_TRUST, trust_env=False
        )

    async def receive(self, number: int, sender: str, body: str, html: str = "") -> None:
        """Have a message about a ticket come in by mail."""
        message = EmailMessage()
        message["From"], message["To"] = sender, "support@larkspur.example"
        message["Subject"] = f"Re: [{NAME} #{number}] Scarf"
        message.set_content(body)
        if html:
            message.add_alternative(html, subtype="html")
        form = {"queue": "Support", "action": "correspond", "SessionType": "REST", "message": message.as_string()}
        async with httpx.AsyncClient(timeout=30, verify=NO_TRUST, trust_env=False) as http:
            answer = await http.post(f"{self.url}/REST/1.0/NoAuth/mail-gateway", data=form)
        assert answer.text.startswith("ok"), answer.text

    def sent_to(self, address: str) -> list["Message[str, str]"]:
        """The messages that it has sent to an address."""
        sent = [message_from_bytes(path.read_bytes()) for path in (self.folder / "mail").iterdir()]
        return [each for each in sent if any(address in str(each[header]) for header in ("To", "Cc", "Bcc"))]


@contextmanager
def serving_request_tracker() -> Iterator[RequestTrackerServer]:
    """A server on a copy of the prepared database, until the block ends."""
    required(SERVER.exists() and (PREPARED / "tokens.json").exists(), "Request Tracker")
    with TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(PREPARED / "rt.db", folder / "rt.db")
        tokens = json.loads((PREPARED / "tokens.json").read_text())
        port = free_port()
        with _running(folder, port):
            yield RequestTrackerServer(f"http://127.0.0.1:{port}", tokens, folder)


@contextmanager
def _running(folder: Path, port: int) -> Iterator[None]:
    command = [str(SERVER), "--host", "127.0.0.1", "--port", str(port), "--max-workers", "2"]
    with (folder / "log").open("wb") as log:
        environment = _configured(folder, port)
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            _wait_until_it_answers(port, process, folder / "log")
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(_PATIENCE_SECONDS)


def _configured(folder: Path, port: int) -> dict[str, str]:
    """Write its configuration; nothing of the machine's own is read."""
    (folder / "RT_SiteConfig.pm").write_text(_CONFIG.format(name=NAME, port=port, folder=folder))
    (folder / "no_more").mkdir()
    (folder / "mail").mkdir()
    (folder / "sendmail").write_text(_SENDMAIL.format(folder=folder))
    (folder / "sendmail").chmod(0o700)
    own = {"RT_SITE_CONFIG": str(folder / "RT_SiteConfig.pm"), "RT_SITE_CONFIG_DIR": str(folder / "no_more")}
    return {"PATH": os.environ["PATH"], "TMPDIR": str(folder), **own}


def _wait_until_it_answers(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"http://127.0.0.1:{port}/REST/2.0/rt", timeout=10, trust_env=False).status_code == 401:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"Request Tracker does not answer: {log.read_text()}")


def prepare() -> None:
    """Make the prepared database."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        environment = _configured(folder, 1)
        setup = ["rt-setup-database-5", "--action", "init", "--skip-create", "--dba", "", "--dba-password", ""]
        subprocess.run(setup, env={**environment, "PATH": f"{os.environ['PATH']}:/usr/sbin"}, check=True)
        fill = ["perl", str(Path(__file__).with_suffix(".pl")), REQUESTER]
        filled = subprocess.run(fill, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        _multiply(folder / "rt.db")
        PREPARED.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "rt.db", PREPARED / "rt.db")
        tokens = dict(line.split(" ") for line in filled.stdout.splitlines())
        (PREPARED / "tokens.json").write_text(json.dumps(tokens))


def _multiply(path: Path) -> None:
    """Make copies of its one ticket. Request Tracker itself takes half a second for each."""
    with closing(sqlite3.connect(path)) as database, database:
        groups = "SELECT id FROM Groups WHERE Domain = 'RT::Ticket-Role'"
        for table, (own, moved) in {
            "Tickets": ("1", ("id", "EffectiveId")),
            "Groups": (f"id IN ({groups})", ("id", "Instance")),
            "Principals": (f"id IN ({groups})", ("id",)),
            "GroupMembers": (f"GroupId IN ({groups})", ("id", "GroupId")),
            "CachedGroupMembers": (f"GroupId IN ({groups})", ("id", "GroupId", "Via", "ImmediateParentId")),
            "Transactions": ("ObjectType = 'RT::Ticket'", ("id", "ObjectId")),
            "Attachments": ("1", ("id", "TransactionId")),
        }.items():
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            taken = ", ".join(f"{column} + n * {_APART}" if column in moved else column for column in columns)
            # A group is a member of itself.
            taken = taken.replace(
                "MemberId", f"CASE WHEN MemberId = GroupId THEN MemberId + n * {_APART} ELSE MemberId END"
            )
            database.execute(
                f"INSERT INTO {table} WITH RECURSIVE numbers(n) AS "  # noqa: S608 - all of it stands here
                f"(VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < {MANY - 1}) "
                f"SELECT {taken} FROM (SELECT * FROM {table} WHERE {own}), numbers"
            )


if __name__ == "__main__":
    prepare()
