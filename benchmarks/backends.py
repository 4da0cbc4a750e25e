"""What real systems take directly, and through the gateway.

    python benchmarks/backends.py [--rounds 3] [--seconds 3]

Tryton, Request Tracker, Dovecot and Postfix run on this machine (tests/backends/install). Directly means the least that
does the work: one request to the system's own interface over a kept connection, one session logged in before. Through
Remit the same is a tool call that takes the whole way in this process: policy, data flow, journal on SQLite, the back
end. The system often gets several requests then: a look whether the record is there, the effect with its trace, what
the record is afterwards. Both are measured in turns; figures are medians over rounds.
"""

import argparse
import asyncio
import imaplib
import smtplib
import ssl
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from itertools import count, cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from gateway.app import open_gateway
from gateway.call import call_tool
from gateway.declared import Declared
from gateway.gateway import Gateway, ToolCall
from gateway.principal import Principal
from gateway.settings import load_settings
from tests.backends.systems.mail import PASSWORD, MailSystem, mail_system
from tests.backends.systems.request_tracker import RequestTrackerServer, serving_request_tracker
from tests.backends.systems.tryton import Tryton, serving_tryton
from tests.backends.test_triage import KIM, SUPPORT, customer, declared, set_credentials, ticket
from tests.policies import policy_folder
from tests.postgres import postgres_server

WHO = Principal("larkspur", agent="bench")
ROLES = "g, agent:bench, role:worker, larkspur\n"
RULES = "p, A1, role:worker, *, , allow, a worker does everything\n"
AT_ONCE = (1, 8)
_numbers, _RECORDS = count(1), 40

Work = Callable[[], Awaitable[object]]


@dataclass
class Measured:
    """One thing that is done, both ways."""

    name: str
    direct: Work
    through: Work
    figures: dict[tuple[str, int], list[tuple[float, float, float]]] = field(default_factory=dict)


async def measured(work: Work, at_once: int, seconds: float) -> tuple[float, float, float]:
    """p50 and p99 in milliseconds, and how many a second."""
    took: list[float] = []
    start = time.perf_counter()

    async def worker() -> None:
        while time.perf_counter() - start < seconds:
            begun = time.perf_counter()
            await work()
            took.append(time.perf_counter() - begun)

    await asyncio.gather(*(worker() for _ in range(at_once)))
    took.sort()
    rate = len(took) / (time.perf_counter() - start)
    return took[len(took) // 2] * 1e3, took[min(len(took) - 1, int(len(took) * 0.99))] * 1e3, rate


def calling(gateway: Gateway, tool: str, arguments: Callable[[], dict[str, Any]]) -> Work:
    """The work of one tool call through the gateway."""

    async def work() -> object:
        answer = await call_tool(gateway, ToolCall(WHO, tool, arguments(), Declared()))
        assert answer.status == "ok", answer
        return answer

    return work


@asynccontextmanager
async def on_request_tracker(desk: RequestTrackerServer, gateway: Gateway) -> AsyncIterator[list[Measured]]:
    """Reading a ticket, and noting something on it."""
    ids = cycle([ticket(desk) for _ in range(_RECORDS)])
    noted = {"Content": "Seen.", "ContentType": "text/plain"}
    async with desk.as_user("remit") as http:
        yield [
            Measured(
                "Request Tracker: read a ticket",
                lambda: http.get(f"/ticket/{int(next(ids)[4:])}"),
                calling(gateway, "ticket_get_ticket", lambda: {"ticket_id": next(ids)}),
            ),
            Measured(
                "Request Tracker: add a note",
                lambda: http.post(f"/ticket/{int(next(ids)[4:])}/comment", json=noted),
                calling(gateway, "ticket_add_note", lambda: {"ticket_id": next(ids), "body": "Seen."}),
            ),
        ]


@asynccontextmanager
async def on_tryton(crm: Tryton, gateway: Gateway) -> AsyncIterator[list[Measured]]:
    """Reading a contact, and logging an activity."""
    ids = cycle([customer(crm) for _ in range(_RECORDS)])

    def read() -> object:
        return crm.call("party.party.read", [int(next(ids)[4:])], ["name", "contact_mechanisms"])

    def note() -> object:
        about = f"party.party,{int(next(ids)[4:])}"
        return crm.call("ir.note.create", [{"resource": about, "message": "Seen."}])

    yield [
        Measured(
            "Tryton: read a contact",
            lambda: asyncio.to_thread(read),
            calling(gateway, "crm_get_contact", lambda: {"contact_id": next(ids)}),
        ),
        Measured(
            "Tryton: log an activity",
            lambda: asyncio.to_thread(note),
            calling(
                gateway,
                "crm_log_activity",
                lambda: {"kind": "note", "subject": "Seen.", "contact_id": next(ids)},
            ),
        ),
    ]


@asynccontextmanager
async def on_mail(system: MailSystem, gateway: Gateway) -> AsyncIterator[list[Measured]]:
    """Reading a conversation, and sending a message."""
    system.put(SUPPORT, [(_message(number).as_bytes(), False) for number in range(100)])
    trust = ssl.create_default_context(cafile=system.ca)
    with ExitStack() as stack:
        boxes: asyncio.Queue[imaplib.IMAP4_SSL] = asyncio.Queue()
        relays: asyncio.Queue[smtplib.SMTP_SSL] = asyncio.Queue()
        for _ in range(max(AT_ONCE)):
            box = stack.enter_context(imaplib.IMAP4_SSL("127.0.0.1", system.ports.imaps, ssl_context=trust))
            box.login(SUPPORT, PASSWORD)
            box.select("INBOX", readonly=True)
            boxes.put_nowait(box)
            relay = stack.enter_context(smtplib.SMTP_SSL("127.0.0.1", system.ports.submissions, context=trust))
            relay.login(SUPPORT, PASSWORD)
            relays.put_nowait(relay)

        async def read() -> object:
            box = await boxes.get()
            try:
                return await asyncio.to_thread(box.fetch, "50", "(RFC822)")
            finally:
                boxes.put_nowait(box)

        async def send() -> object:
            relay = await relays.get()
            try:
                return await asyncio.to_thread(relay.send_message, _message(next(_numbers), SUPPORT, KIM))
            finally:
                relays.put_nowait(relay)

        answer = await call_tool(
            gateway, ToolCall(WHO, "email_search_messages", {"mailbox": SUPPORT, "limit": 1}, Declared())
        )
        assert answer.result is not None, answer
        thread = {"mailbox": SUPPORT, "thread_id": answer.result.messages[0].thread_id}
        mail = {"mailbox": SUPPORT, "to": [KIM], "subject": "Your order", "body": "It ships today."}
        yield [
            Measured("Dovecot: read a message", read, calling(gateway, "email_get_thread", lambda: thread)),
            Measured("Postfix: send a message", send, calling(gateway, "email_send_message", lambda: mail)),
        ]


def _message(number: int, sender: str = KIM, to: str = SUPPORT) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, f"Order {number}"
    message["Message-ID"] = f"<bench.{number}.{time.time_ns()}@{sender.rpartition('@')[2]}>"
    message.set_content("Where is my order? " * 20)
    return message


@dataclass(frozen=True)
class Systems:
    """What is measured."""

    desk: RequestTrackerServer
    crm: Tryton
    mail: MailSystem


async def run(home: Path, systems: Systems, rounds: int, seconds: float) -> list[Measured]:
    """Measure all of it."""
    async with (
        open_gateway(load_settings(home=home, policies=home / "policies", call_timeout=60)) as gateway,
        on_request_tracker(systems.desk, gateway) as on_desk,
        on_tryton(systems.crm, gateway) as on_crm,
        on_mail(systems.mail, gateway) as by_mail,
    ):
        subjects = [*on_desk, *on_crm, *by_mail]
        for _ in track(range(rounds), "measuring"):
            for subject in subjects:
                for at_once in AT_ONCE:
                    for way, work in (("directly", subject.direct), ("through Remit", subject.through)):
                        figures = await measured(work, at_once, seconds)
                        subject.figures.setdefault((way, at_once), []).append(figures)
    return subjects


def shown(subjects: list[Measured]) -> Table:
    """The medians."""
    table = Table(title="real systems", title_justify="left")
    for column in ("what", "at once", "way", "p50 ms", "p99 ms", "a second", "p50 ratio", "rate ratio"):
        table.add_column(column, justify="left" if column in {"what", "way"} else "right")
    for subject in subjects:
        for at_once in AT_ONCE:
            base: tuple[float, ...] = ()
            for way in ("directly", "through Remit"):
                p50, p99, rate = (statistics.median(each) for each in zip(*subject.figures[way, at_once], strict=True))
                base = base or (p50, rate)
                ratios = ("", "") if way == "directly" else (f"{p50 / base[0]:.1f}", f"{rate / base[1]:.2f}")
                table.add_row(subject.name, str(at_once), way, f"{p50:.1f}", f"{p99:.1f}", f"{rate:.0f}", *ratios)
    return table


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    with (
        TemporaryDirectory(prefix="mail") as folder,
        TemporaryDirectory() as home,
        mail_system(Path(folder)) as mail,
        postgres_server() as postgres,
        serving_tryton(postgres) as crm,
        serving_request_tracker() as desk,
    ):
        policy_folder(Path(home) / "policies", roles=ROLES, rules=RULES)
        (Path(home) / "back_ends.toml").write_text(declared(crm, desk, mail))
        set_credentials(Path(home), desk)
        subjects = asyncio.run(run(Path(home), Systems(desk, crm, mail), given.rounds, given.seconds))
    Console(width=120).print(shown(subjects))


if __name__ == "__main__":
    main()
