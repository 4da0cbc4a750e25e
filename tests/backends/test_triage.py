"""Triage runs unchanged on real systems: a customer in Tryton, a ticket in Request Tracker, mail by Postfix."""

import json
import smtplib
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage, Message
from imaplib import IMAP4_SSL
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.vendor.ids import shown
from tests.backends.required import required
from tests.backends.systems.mail import PASSWORD, MailSystem, is_installed, mail_system
from tests.backends.systems.request_tracker import RequestTrackerServer, serving_request_tracker
from tests.backends.systems.tryton import DATABASE, USER, Tryton, serving_tryton
from tests.backends.systems.tryton import PASSWORD as TRYTON_PASSWORD
from tests.gateway.test_http import META
from tests.postgres import PostgresServer
from tests.processes import PATIENCE_SECONDS, REMIT, clean, make_token, remit, serving

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]
SUPPORT, KIM = "support@larkspur.example", "kim@customer.example"
MAYA = "person:maya.okafor@larkspur.example"
ANSWER = "A new scarf is on its way to you."


@dataclass(frozen=True)
class Company:
    """The systems of one company, and its gateway.

    Args:
        crm: Its Tryton.
        desk: Its Request Tracker.
        mail: Its Dovecot and Postfix.
        home: The gateway's home.
        kim: The id of its customer's contact.
        ticket: The id of that customer's ticket.
    """

    crm: Tryton
    desk: RequestTrackerServer
    mail: MailSystem
    home: Path
    kim: str
    ticket: str

    def writes(self, subject: str, body: str) -> str:
        """The customer writes to support, by SMTP; returns the Message-ID once it has arrived."""
        message, id_ = EmailMessage(), f"<{subject.replace(' ', '.')}@customer.example>"
        message["From"], message["To"], message["Subject"] = f"Kim Doe <{KIM}>", SUPPORT, subject
        message["Message-ID"] = id_
        message.set_content(body)
        trust = ssl.create_default_context(cafile=self.mail.ca)
        with smtplib.SMTP_SSL("127.0.0.1", self.mail.ports.submissions, context=trust) as smtp:
            smtp.login(KIM, PASSWORD)
            smtp.send_message(message)
        self._until(lambda: any(id_.encode() in raw for raw in self.mail.raws(SUPPORT)))
        return id_

    def received(self, subject: str) -> list["Message[str, str]"]:
        """The messages in the customer's inbox with a subject, by IMAP."""
        trust = ssl.create_default_context(cafile=self.mail.ca)
        with IMAP4_SSL("127.0.0.1", self.mail.ports.imaps, ssl_context=trust) as imap:
            imap.login(KIM, PASSWORD)
            imap.select("INBOX", readonly=True)
            numbers = imap.search(None, "ALL")[1][0].split()
            parts = [imap.fetch(number, "(RFC822)")[1][0] for number in numbers]
        messages = [message_from_bytes(part[1]) for part in parts if isinstance(part, tuple)]
        return [each for each in messages if subject in str(each["Subject"])]

    def until_delivered(self) -> None:
        self._until(self.mail.is_idle)

    @staticmethod
    def _until(holds: Any) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture
def company(tmp_path: Path, postgres: PostgresServer) -> Iterator[Company]:
    required(is_installed(), "a mail system")
    with (
        tempfile.TemporaryDirectory(prefix="mail") as folder,
        mail_system(Path(folder)) as mail,
        serving_tryton(postgres) as crm,
        serving_request_tracker() as desk,
    ):
        (tmp_path / "back_ends.toml").write_text(declared(crm, desk, mail))
        set_credentials(tmp_path, desk)
        yield Company(crm, desk, mail, tmp_path, customer(crm), ticket(desk))


def declared(crm: Tryton, desk: RequestTrackerServer, mail: MailSystem) -> str:
    return f"""
[[back_end]]
tenant = "larkspur"
kind = "tryton"
url = "{crm.url}"
database = "{DATABASE}"
inside = true

[[back_end]]
tenant = "larkspur"
kind = "request_tracker"
url = "{desk.url}"
queue = "Support"
fields = {{ tags = "Tags" }}
inside = true

[[back_end]]
tenant = "larkspur"
kind = "imap_smtp"
imap = "imaps://127.0.0.1:{mail.ports.imaps}"
smtp = "smtps://127.0.0.1:{mail.ports.submissions}"
ca = "{mail.ca}"
mailboxes = [{{ address = "{SUPPORT}" }}]
inside = true
"""


def set_credentials(home: Path, desk: RequestTrackerServer) -> None:
    for name, user, secret in (
        ("imap_smtp", SUPPORT, PASSWORD),
        ("tryton", USER, TRYTON_PASSWORD),
        ("request_tracker", "", desk.tokens["remit"]),
    ):
        what = ["--kind", "password", "--user", user] if user else ["--kind", "token"]
        command = [REMIT, "credentials", "set", name, *what, "--as", "person:rosa", "--home", str(home)]
        subprocess.run(command, input=secret, text=True, check=True, capture_output=True, env=clean())


def customer(crm: Tryton) -> str:
    category = crm.ids("party.category", name="Contact")[0]
    mechanisms = [["create", [{"type": "email", "value": KIM}]]]
    values = {"name": "Kim Doe", "categories": [["add", [category]]], "contact_mechanisms": mechanisms}
    [party] = crm.call("party.party.create", [values])
    return shown("con", party)


def ticket(desk: RequestTrackerServer) -> str:
    headers = {"Authorization": f"token {desk.tokens['colleague']}"}
    asked = {"Queue": "Support", "Subject": "Scarf torn", "Requestor": [KIM], "Content": "My scarf arrived torn."}
    answer = httpx.post(f"{desk.url}/REST/2.0/ticket", json=asked, headers=headers, timeout=30, trust_env=False)
    return shown("tic", answer.json()["id"])


@dataclass(frozen=True)
class Agent:
    """The triage agent, as it calls the gateway; its runs are kept in `home`."""

    url: str
    token: str
    home: Path

    def triage(self) -> list[dict[str, Any]]:
        """What `remit run triage` reports of each item."""
        told = {"TOKEN": self.token, "URL": self.url, "MODEL": "stand-in", "HOME": str(self.home)}
        environment = {**clean(), **{f"REMIT_{name}": value for name, value in told.items()}}
        command = [REMIT, "run", "triage", "--limit", "10", "--json"]
        done = subprocess.run(
            command, text=True, capture_output=True, check=False, timeout=PATIENCE_SECONDS * 2, env=environment
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def call(self, tool: str, arguments: dict[str, Any], key: str = "") -> dict[str, Any]:
        meta = {**META, **({"remit/key": key} if key else {})}
        headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28"}
        headers |= {"Mcp-Method": "tools/call", "Mcp-Name": tool, "Authorization": f"Bearer {self.token}"}
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        answer = httpx.post(self.url, json=body, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False)
        content: dict[str, Any] = answer.json()["result"]["structuredContent"]
        return content


def test_a_message_is_triaged_answered_after_approval_and_the_answer_arrives_once(company: Company) -> None:
    sent = company.writes("Where is my scarf", "Hello, my order has not arrived. Where is it?\n\nKim")
    token = make_token(company.home, "--agent", "triage")
    with serving(company.home) as served:
        agent = Agent(served.mcp, token, company.home)
        reports = {report["item"]: report for report in agent.triage()}
        assert {report["kind"] for report in reports.values()} == {"ticket", "email"}
        assert all(report["effect"] != "failed" for report in reports.values()), reports
        [mail] = [report for report in reports.values() if report["kind"] == "email"]
        assert mail["triage"]["customer_id"] == company.kim
        assert reports[company.ticket]["triage"]["customer_id"] == company.kim

        found = agent.call("email_search_messages", {"mailbox": SUPPORT, "query": "scarf"})["result"]["messages"]
        answering = {"mailbox": SUPPORT, "message_id": found[0]["id"], "body": ANSWER}
        asked = agent.call("email_reply_message", answering, "the answer")
        assert asked["status"] == "pending_approval", asked
        assert company.received("Where is my scarf") == []
        remit("approvals", "approve", asked["approval"]["id"], "--as", MAYA, "--home", str(company.home))
        done = [agent.call("email_reply_message", answering, "the answer") for _ in range(3)]
        assert [each["status"] for each in done] == ["ok"] * 3, done
        company.until_delivered()
    [answer] = company.received("Where is my scarf")
    assert answer["In-Reply-To"] == sent
    assert ANSWER in str(answer.get_payload())
    noted = httpx.get(
        f"{company.desk.url}/REST/2.0/ticket/{int(company.ticket[4:])}/history",
        params={"fields": "Type"},
        headers={"Authorization": f"token {company.desk.tokens['colleague']}"},
        trust_env=False,
    ).json()
    assert [each["Type"] for each in noted["items"]].count("Comment") == 1
