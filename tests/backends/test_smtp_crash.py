"""A gateway is killed between a mail server's acceptance and the outcome: the message is there once, or in doubt."""

import os
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from gateway.app import open_doubts
from gateway.journal import Kind, read_journal
from gateway.settings import load_settings
from tests.backends.required import required
from tests.backends.systems.mail import PASSWORD, MailSystem, is_installed, mail_system
from tests.backends.tcp_faults import Action, Fault, TcpFaults, tcp_faults
from tests.gateway.test_http import META
from tests.policies import policy_folder
from tests.processes import PATIENCE_SECONDS, REMIT, Served, clean, make_token, remit, serving

KILLS = int(os.environ.get("REMIT_MAIL_KILLS", "4"))
"""How often the gateway is killed; the more, the longer it takes."""

pytestmark = [pytest.mark.process, pytest.mark.timeout(120 + 20 * KILLS)]

SUPPORT, CUSTOMER = "crash@larkspur.example", "kim@customer.example"
ROLES = "g, agent:triage, role:worker, larkspur\n"
RULES = "p, A1, role:worker, *, , allow, a worker does everything\n"
CONFIG = "call_timeout = 5\njournal_timeout = 1\nrecovery_interval = 0.3\n"
_ACCEPTED = b"\r\n.\r\n"
# Later than the time for which what was lost may still turn up.
_LATER = "+20m"


@dataclass
class MailCrashes:
    """One home whose gateway sends by a real mail system and is killed while it does.

    Args:
        home: The home folder.
        system: The mail system.
        smtp: The proxy that sees when it has accepted a message.
        chance: Decides when exactly the gateway is killed.
        kills: How often.
    """

    home: Path
    system: MailSystem
    smtp: TcpFaults
    chance: Random
    kills: int
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    _url: str = ""

    def prepare(self) -> None:
        """Write policy, settings and the declaration, and set the credential."""
        policies = policy_folder(self.home / "policies", roles=ROLES, rules=RULES)
        (self.home / "remit.toml").write_text(f'policies = "{policies}"\n{CONFIG}')
        (self.home / "back_ends.toml").write_text(
            f"""
[[back_end]]
tenant = "larkspur"
kind = "imap_smtp"
imap = "imaps://127.0.0.1:{self.system.ports.imaps}"
smtp = "smtps://127.0.0.1:{self.smtp.port}"
ca = "{self.system.ca}"
inside = true
mailboxes = [{{ address = "{SUPPORT}" }}]
"""
        )
        command = ["credentials", "set", "imap_smtp", "--kind", "password", "--user", SUPPORT, "--tenant", "larkspur"]
        command += ["--as", "person:rosa", "--home", str(self.home)]
        subprocess.run([REMIT, *command], input=PASSWORD, text=True, check=True, capture_output=True, env=clean())

    async def drive(self) -> None:
        """Send, and kill the gateway when the server has accepted; at last let it find out what it can."""
        token = await anyio.to_thread.run_sync(lambda: make_token(self.home, "--agent", "triage"))
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as http:
            http.headers["Authorization"] = f"Bearer {token}"
            for number in range(self.kills):
                async with self._served() as served:
                    await self._sent_and_killed(http, served, number)
            async with self._served(*_later()):
                await self._until_nothing_is_open()
                for number in range(self.kills):
                    self.answers[number] = await self._post(http, number)

    async def _sent_and_killed(self, http: httpx.AsyncClient, served: Served, number: int) -> None:
        # Every other time the gateway hears of it, and may be anywhere between that and the outcome.
        is_told = number % 2 == 1
        self.smtp.happened.clear()
        self.smtp.next = Fault(Action.TELL if is_told else Action.STALL, after=_ACCEPTED, answer=b"250")

        async def send() -> None:
            try:
                await self._post(http, number)
            except httpx.TransportError:
                return

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            with anyio.fail_after(PATIENCE_SECONDS):
                await self.smtp.happened.wait()
            if is_told:
                await anyio.sleep(self.chance.random() * 0.03)
            os.kill(served.pid, signal.SIGKILL)

    @asynccontextmanager
    async def _served(self, *through: str) -> AsyncIterator[Served]:
        with ExitStack() as stack:
            opened = serving(self.home, through=through)
            served = await anyio.to_thread.run_sync(stack.enter_context, opened)
            self._url = served.mcp
            yield served
            await anyio.to_thread.run_sync(served.process.terminate)

    async def _post(self, http: httpx.AsyncClient, number: int) -> dict[str, Any]:
        mail = {"mailbox": SUPPORT, "to": [CUSTOMER], "subject": _mark(number), "body": "It ships today."}
        params = {"name": "email_send_message", "arguments": mail, "_meta": {**META, "remit/key": f"run/{number}"}}
        headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28"}
        headers |= {"Mcp-Method": "tools/call", "Mcp-Name": "email_send_message"}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        answer = await http.post(self._url, json=body, headers=headers)
        content: dict[str, Any] = answer.json()["result"]["structuredContent"]
        return content

    async def _until_nothing_is_open(self) -> None:
        with anyio.fail_after(PATIENCE_SECONDS):
            while await anyio.to_thread.run_sync(self.open_calls):  # noqa: ASYNC110 - what is waited for is a file
                await anyio.sleep(0.1)

    def open_calls(self) -> set[str]:
        """The calls that have an intent and neither an outcome nor a doubt."""
        with load_settings(home=self.home).open_database() as database:
            entries = list(read_journal(database, "larkspur"))
        begun = {entry.call_id for entry in entries if entry.kind is Kind.INTENT}
        return begun - {entry.call_id for entry in entries if entry.kind is Kind.OUTCOME}

    async def doubts(self) -> set[str]:
        """What is listed as in doubt."""
        async with open_doubts(load_settings(home=self.home)) as doubts:
            return {earlier.name for earlier in await doubts.open("larkspur")}


def _later() -> tuple[str, ...]:
    # `faketime` itself would stay as the parent, and a signal to it not reach the gateway.
    named = subprocess.run(
        ["faketime", "-f", _LATER, "printenv", "LD_PRELOAD"], text=True, check=True, capture_output=True
    )
    return "env", f"LD_PRELOAD={named.stdout.strip()}", f"FAKETIME={_LATER}"


def _mark(number: int) -> str:
    return f"mark {number:05}"


def _subjects(raws: list[bytes]) -> Counter[str]:
    return Counter(str(message_from_bytes(each)["Subject"]) for each in raws)


def crashed(home: Path, kills: int) -> dict[str, int]:
    """Kill a gateway so often, hold what must hold, and count what there was."""
    home.mkdir()
    with tempfile.TemporaryDirectory(prefix="mail") as folder, mail_system(Path(folder)) as system:

        async def drive() -> MailCrashes:
            async with tcp_faults(system.ports.submissions, system.folder) as smtp:
                crashes = MailCrashes(home, system, smtp, Random(20261126), kills)
                await anyio.to_thread.run_sync(crashes.prepare)
                await crashes.drive()
                return crashes

        crashes = anyio.run(drive)
        delivered, kept = _subjects(system.raws(CUSTOMER)), _subjects(system.raws(SUPPORT, "Sent"))
    doubts, listed = anyio.run(crashes.doubts), remit("doubts", "list", "--home", str(home)).stdout
    for number, answer in crashes.answers.items():
        mark = _mark(number)
        assert delivered[mark] == 1, f"{mark} was accepted, and is there {delivered[mark]} times"
        if answer["status"] == "ok":
            assert kept[mark] == 1, f"{mark} is among the sent"
        else:
            assert answer["error"]["kind"] == "in_doubt", answer
            assert kept[mark] == 0, f"{mark} is not among the sent, or it would not be in doubt"
    in_doubt = [answer for answer in crashes.answers.values() if answer["status"] != "ok"]
    assert len(in_doubt) == len(doubts)
    assert all(name in listed for name in doubts)
    return {"kills": kills, "found to be sent": kills - len(in_doubt), "in doubt": len(in_doubt)}


def test_a_message_that_was_accepted_when_the_gateway_was_killed_is_there_once_or_in_doubt(tmp_path: Path) -> None:
    required(is_installed(), "the mail system")
    counted = crashed(tmp_path / "home", KILLS)
    assert counted["in doubt"] > 0, "what the gateway was never told is in doubt"
