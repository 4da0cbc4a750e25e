"""A gateway that is killed again and again while clients call it, and what must hold afterwards."""

import asyncio
import email
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from email import policy as email_policy
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
from sqlalchemy import text

from connectors.embedded.database import Database
from connectors.embedded.tenancy import EVERY_TENANT
from connectors.records import MessageRecord
from connectors.registry import TOOLS, embedded
from gateway.app import open_approvals, open_doubts
from gateway.home import utc_now
from gateway.journal import Entry, Kind, read_journal
from gateway.policy.load import load_policy
from gateway.principal import Principal
from gateway.settings import load_settings
from tests.gateway.test_http import META
from tests.policies import policy_folder
from tests.processes import PATIENCE_SECONDS, Served, make_token, remit, serving

SUPPORT, SALES = "support@larkspur.example", "sales@larkspur.example"
MAYA = Principal("larkspur", person="maya@larkspur.example")
ROLES = """\
g, agent:triage, role:worker, larkspur
g, person:maya@larkspur.example, role:lead, larkspur
"""
RULES = f"""\
p, A1, role:worker, *, , allow, a worker does everything
p, A2, role:worker, email_send_message, args.mailbox == '{SALES}', ask, sales looks at what goes out in its name
"""
# Short limits, so that what a kill left open is looked into soon.
CONFIG = "call_timeout = 2\njournal_timeout = 1\nrecovery_interval = 0.3\n"
_FINAL_KINDS = {"not_done", "conflict", "not_found", "invalid_input"}
_POLL_SECONDS = 0.05
_LATEST_KILL_SECONDS = 0.03


@dataclass(frozen=True)
class Planned:
    """One call that a client is going to make.

    Args:
        number: Which; it marks what the call makes, so that it can be counted afterwards.
        tool: The tool.
        arguments: With what.
        key: Its idempotency key, if it has one.
        asks: Whether policy asks a person.
    """

    number: int
    tool: str
    arguments: dict[str, Any]
    key: str = ""
    asks: bool = False

    @property
    def may_be_repeated(self) -> bool:
        return bool(self.key) or self.asks


def plan(calls: int, chance: random.Random) -> list[Planned]:
    """A mix of reads, writes and sends, with keys and without, and a few that wait for a person."""
    made = [_planned(number, chance.randrange(10)) for number in range(calls)]
    waiting = [
        Planned(calls + number, "email_send_message", _mail(calls + number, SALES), asks=True) for number in range(5)
    ]
    mixed = [*made, *waiting]
    chance.shuffle(mixed)
    return mixed


def _planned(number: int, kind: int) -> Planned:
    match kind:
        case 0 | 1:
            return Planned(number, "crm_search_contacts", {"query": "kim"})
        case 2 | 3 | 4:
            ticket = {"body": "b", "requester_name": "Kim", "requester_email": "kim@customer.example"}
            key = f"run/{number}" if kind > 2 else ""
            return Planned(number, "ticket_create_ticket", {**ticket, "subject": _mark(number)}, key)
        case 5:
            contact = {"name": _mark(number), "email": f"n{number}@customer.example"}
            return Planned(number, "crm_create_contact", contact, f"run/{number}")
        case _:
            return Planned(number, "email_send_message", _mail(number, SUPPORT), f"run/{number}" if kind > 7 else "")


def _mail(number: int, mailbox: str) -> dict[str, Any]:
    return {"mailbox": mailbox, "to": ["kim@customer.example"], "subject": _mark(number), "body": "It ships today."}


def _mark(number: int) -> str:
    return f"mark {number:05}"


@dataclass
class Crashes:
    """One home whose gateway is killed while it works.

    Args:
        home: The home folder.
        chance: Decides what is called and when the gateway is killed.
        calls: How many calls the clients make.
        kills: How often it is killed, or told to end.
        gently: Whether it is told to end instead of being killed.
        database_url: The database of the gateway; by default SQLite in the home.
    """

    home: Path
    chance: random.Random
    calls: int = 240
    kills: int = 3
    gently: bool = False
    clients: int = 8
    database_url: str = ""
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    """The last answer to each call that was answered."""
    unanswered: int = 0
    """How many requests a kill left without an answer."""
    _sent: int = 0
    _done: bool = False
    _url: str = ""
    _up: anyio.Event = field(default_factory=anyio.Event)
    _questions: set[str] = field(default_factory=set)

    def prepare(self) -> None:
        """Write policy and settings, and fill two mailboxes."""
        approvers = "approver, role:lead, *, larkspur\n"
        policies = policy_folder(self.home / "policies", roles=ROLES, rules=RULES, approvers=approvers)
        url = f'database_url = "{self.database_url}"\n' if self.database_url else ""
        (self.home / "remit.toml").write_text(f'policies = "{policies}"\n{CONFIG}{url}')
        asyncio.run(self._fill())

    async def _fill(self) -> None:
        database = Database(load_settings(home=self.home).company_database)
        raw = b"From: Kim <kim@customer.example>\nMessage-ID: <1@x.example>\nSubject: Lamp\n\nBroken.\n"
        records = [MessageRecord(source_id=box, mailbox=box, raw=raw) for box in (SUPPORT, SALES)]
        await embedded(database).email.load("larkspur", records)
        database.close()

    async def drive(self) -> None:
        """Make all calls, kill the gateway meanwhile, and wait until nothing is left open."""
        token = make_token(self.home, "--agent", "triage")
        kills = sorted(self.chance.sample(range(10, self.calls), self.kills))
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as http, anyio.create_task_group() as tasks:
            http.headers["Authorization"] = f"Bearer {token}"
            tasks.start_soon(self._work, http)
            tasks.start_soon(self._answer_questions)
            for sent in kills:
                async with self._served() as served:
                    await self._until(partial(self._has_sent, sent))
                    await anyio.sleep(self.chance.random() * _LATEST_KILL_SECONDS)
                    self._up = anyio.Event()
                    if self.gently:
                        await self._told_to_end(served)
                    else:
                        os.kill(served.pid, signal.SIGKILL)
            async with self._served():
                await self._until(lambda: self._done)
                await self._until_nothing_is_open()
            tasks.cancel_scope.cancel()

    async def _told_to_end(self, served: Served) -> None:
        served.process.terminate()
        assert await anyio.to_thread.run_sync(served.process.wait, PATIENCE_SECONDS) == 0
        assert not open_calls(await anyio.to_thread.run_sync(self.journal)), "every call has ended"

    @asynccontextmanager
    async def _served(self) -> AsyncIterator[Served]:
        with ExitStack() as stack:
            served = await anyio.to_thread.run_sync(stack.enter_context, serving(self.home))
            self._url = served.mcp
            self._up.set()
            yield served

    async def _work(self, http: httpx.AsyncClient) -> None:
        todo = plan(self.calls, self.chance)
        async with anyio.create_task_group() as clients:
            for _ in range(self.clients):
                clients.start_soon(self._client, http, todo)
        self._done = True

    async def _client(self, http: httpx.AsyncClient, todo: list[Planned]) -> None:
        while todo:
            planned = todo.pop()
            while not await self._is_final(http, planned):  # noqa: ASYNC110 - there is no event on the other side
                await anyio.sleep(_POLL_SECONDS)

    async def _is_final(self, http: httpx.AsyncClient, planned: Planned) -> bool:
        await self._up.wait()
        self._sent += 1
        try:
            answer = await self._post(http, planned)
        except httpx.TransportError:
            self.unanswered += 1
            return not planned.may_be_repeated
        self.answers[planned.number] = answer
        if answer["status"] == "pending_approval":
            self._questions.add(answer["approval"]["id"])
        kind = answer.get("error", {}).get("kind")
        return not planned.may_be_repeated or answer["status"] == "ok" or kind in _FINAL_KINDS

    async def _post(self, http: httpx.AsyncClient, planned: Planned) -> dict[str, Any]:
        meta = {**META, "remit/key": planned.key} if planned.key else META
        params = {"name": planned.tool, "arguments": planned.arguments, "_meta": meta}
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": planned.tool,
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        answer = await http.post(self._url, json=body, headers=headers)
        content: dict[str, Any] = answer.json()["result"]["structuredContent"]
        return content

    async def _answer_questions(self) -> None:
        settings, answered = load_settings(home=self.home), set[str]()
        policy = load_policy(settings.policies, TOOLS)
        async with open_approvals(settings) as book:
            while True:
                for name in self._questions - answered:
                    await book.answer(name, MAYA, policy, True, "fine", utc_now())
                    answered.add(name)
                await anyio.sleep(_POLL_SECONDS)

    def _has_sent(self, requests: int) -> bool:
        return self._sent >= requests or self._done

    async def _until(self, holds: Callable[[], bool]) -> None:
        with anyio.fail_after(PATIENCE_SECONDS * 2):
            while not holds():  # noqa: ASYNC110 - what is waited for is a count
                await anyio.sleep(_POLL_SECONDS / 10)

    async def _until_nothing_is_open(self) -> None:
        with anyio.fail_after(PATIENCE_SECONDS):
            while open_calls(await anyio.to_thread.run_sync(self.journal)):  # noqa: ASYNC110 - as above
                await anyio.sleep(_POLL_SECONDS)

    def journal(self) -> list[Entry]:
        """Every entry, oldest first."""
        with load_settings(home=self.home).open_database() as database:
            return list(read_journal(database, EVERY_TENANT))

    async def doubts(self) -> set[str]:
        """The calls that are listed as in doubt."""
        async with open_doubts(load_settings(home=self.home)) as doubts:
            return {earlier.name for earlier in await doubts.open("larkspur")}

    def check(self) -> dict[str, int]:
        """Hold what must hold, and count what there was."""
        entries, doubts, made = self.journal(), anyio.run(self.doubts), self.made()
        intents = {entry.call_id: entry for entry in entries if entry.kind is Kind.INTENT}
        ends = {entry.call_id: entry for entry in entries if _is_end(entry)}
        assert len(intents) == sum(entry.kind is Kind.INTENT for entry in entries), "no intent stands there twice"
        assert len(ends) == sum(map(_is_end, entries)), "no call has two outcomes"
        assert intents.keys() == ends.keys() ^ doubts, "every call has an outcome or is listed as in doubt"
        for name, intent in intents.items():
            _check_effect(intent, ends.get(name), made)
        for number, answer in self.answers.items():
            if answer["status"] == "ok":
                assert ends[answer["call_id"]].body["status"] == "ok", f"call {number} was acknowledged"
        assert "entries are what was written" in remit("journal", "verify", "--home", str(self.home)).stdout
        told = Counter(end.body["status"] for end in ends.values())
        recovered = sum(bool(end.body.get("recovered")) for end in ends.values())
        facts = {"calls": len(intents), "unanswered": self.unanswered, "recovered": recovered, "doubts": len(doubts)}
        return {**facts, **told, "entries": len(entries)}

    def made(self) -> dict[str, Counter[str]]:
        """How often each mark is in each place."""
        queries = {
            "sent": "SELECT subject FROM email_messages WHERE folder = 'sent'",
            "tickets": "SELECT subject FROM tickets",
            "contacts": "SELECT name FROM crm_contacts",
        }
        database = Database(load_settings(home=self.home).company_database)
        with database.engine.connect().execution_options(tenant=EVERY_TENANT) as connection:
            found = {place: Counter(connection.execute(text(query)).scalars()) for place, query in queries.items()}
        database.close()
        files = [path.read_bytes() for path in (self.home / "outbox").glob("*.eml")]
        subjects = [email.message_from_bytes(raw, policy=email_policy.default)["Subject"] for raw in files]
        return {**found, "outbox": Counter(map(str, subjects))}


def open_calls(entries: list[Entry]) -> set[str]:
    """The calls that have an intent and neither an outcome nor a doubt."""
    begun = {entry.call_id for entry in entries if entry.kind is Kind.INTENT}
    return begun - {entry.call_id for entry in entries if entry.kind in {Kind.OUTCOME, Kind.SETTLED}}


def _is_end(entry: Entry) -> bool:
    return entry.kind is Kind.SETTLED or (entry.kind is Kind.OUTCOME and bool(entry.body["status"] != "in_doubt"))


def _check_effect(intent: Entry, end: Entry | None, made: dict[str, Counter[str]]) -> None:
    arguments, status = intent.body["arguments"], end.body["status"] if end else ""
    mark = arguments.get("subject") or arguments.get("name")
    places = {"email_send_message": ("sent", "outbox"), "ticket_create_ticket": ("tickets",)}
    for place in places.get(intent.body["tool"], ("contacts",)) if mark else ():
        expected = {"ok": {1}, "failed": {0}}.get(status, {0, 1})
        assert made[place][mark] in expected, f"{mark} is {made[place][mark]} times in {place}: {end}"
