"""What data flow costs a call when its run has seen 10 MB of text, beside a plain search through the same text.

    python benchmarks/flow.py

`label` is finding what a call showed and sealing it for the database; `load` is putting that to what the run has seen;
`trace` is finding the origins of a typical write: two recipients, a subject, a body of 600 characters, one URL. The
plain search looks for the same five values and for each sentence of the body in all that was seen, as it stands. One
thread. Memory is what Python allocates for the run.

`stage` is the same within a gateway on SQLite: all that data flow adds to a call, in every thread of the process. The
call's arguments are traced, with what other calls showed since; its result is labelled and sealed; the row is
committed with the outcome, as what that takes beside an outcome alone. A call reads a conversation of three mails, or
sends a mail; they take turns. The run writes with fifty customers.

Measured with Python 3.11 on two shared cores under load (10 MB seen; p50 and p99 in µs of processor time):

    label a result of 500 characters               138      387
    label a result of 2,000 characters             388      815
    label a result of 20,000 characters          3,292    4,566
    trace a write                                  335      665
    plain search for a write                    25,579   37,774
    stage: read a mail                           1,529    2,431
    stage: send a mail                           2,273    3,130

Within a stage a read looks into the database once and a send twice, in a worker thread: about 200 µs each time.
"""

import argparse
import gc
import platform
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from random import Random
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import TypeVar

import anyio

from connectors.contract import Confidentiality
from connectors.email.tools import GetThread, Message, SendEmail, SentMessage, Thread
from gateway.app import open_gateway
from gateway.flow.evidence import Source
from gateway.flow.labels import Label
from gateway.flow.ledger import Sight, seen_row
from gateway.flow.prints import Gathered
from gateway.flow.seen import Seen
from gateway.flow.stage import Wrote, shown, traced
from gateway.flow.tracing import trace_text, trace_value
from gateway.flow.values import Kind
from gateway.gateway import Gateway, ToolCall, record
from gateway.journal import Kind as Event
from gateway.journal.entry import Beside
from gateway.policy.language.flow import Integrity, Origin
from gateway.principal import Principal
from gateway.settings import SHIPPED_POLICIES, Settings

KEY = b"a key of thirty-two bytes, fixed"
LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
ORIGINS = (Origin.ORGANISATION, Origin.CUSTOMER, Origin.OUTSIDER)


class Writer:
    """Text with the lengths and frequencies of English words (Zipf's law), and now and then a value."""

    def __init__(self, seed: int) -> None:
        self._random = Random(0)  # one vocabulary for all writers
        weights = [1 / (rank + 1) for rank in range(len(LETTERS))]
        lengths = self._random.choices(range(2, 12), (14, 20, 16, 12, 10, 8, 8, 5, 4, 3), k=20_000)
        self._words = ["".join(self._random.choices(LETTERS, weights, k=length)) for length in lengths]
        self._random = Random(seed)
        self._weights = list(accumulate(1 / (rank + 5) for rank in range(len(self._words))))

    def words(self, count: int) -> list[str]:
        """So many words."""
        return self._random.choices(self._words, cum_weights=self._weights, k=count)

    def value(self) -> str:
        """An address, a link, a date, an amount or an identifier."""
        one, other = self.words(2)
        number = self._random.randrange(1, 10_000)
        kinds = (
            f"{one}.{other}@{one}.example",
            f"https://{other}.example/{one}/{number}?p={one}",
            f"2026-{number % 12 + 1:02}-{number % 28 + 1:02}",
            f"EUR {number}.50",
            f"{one[:3].upper()}-{number:06}",
        )
        return self._random.choice(kinds)

    def one_of(self, choices: Sequence[str]) -> str:
        """One of them."""
        return self._random.choice(choices)

    def number(self) -> int:
        """A number for an id."""
        return self._random.getrandbits(48)

    def text(self, size: int) -> str:
        """So many characters, a value for every forty words, in sentences and paragraphs."""
        parts: list[str] = []
        length = 0
        while length < size:
            sentence = " ".join(self.words(self._random.randrange(6, 20))).capitalize()
            if self._random.random() < 0.3:
                sentence += f" {self.value()}"
            parts.append(sentence + self._random.choice((". ", ". ", ". ", "? ", ".\n\n")))
            length += len(parts[-1])
        return "".join(parts)[:size]


def timed(work: Callable[[], object]) -> int:
    """Nanoseconds of this thread's processor time that some work takes, whatever else the machine does."""
    start = time.thread_time_ns()
    work()
    return time.thread_time_ns() - start


def told(name: str, durations: Sequence[int]) -> None:
    """Print one line of percentiles."""
    ordered = sorted(durations)
    half, most = ordered[len(ordered) // 2], ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]
    print(f"{name:<44} p50 {half / 1_000:>9,.0f} µs   p99 {most / 1_000:>9,.0f} µs", flush=True)


def filled(megabytes: float, writer: Writer) -> tuple[Seen, list[str], list[int]]:
    """A run that has seen so much in texts of 20,000 characters, the texts, and how long each took."""
    seen = Seen(KEY)
    seen.add_text(writer.text(400), Source(Origin.REQUEST, place="request"))
    texts, durations = [], []
    for number in range(int(megabytes * 1_000_000 / 20_000)):
        text = writer.text(20_000)
        source = Source(ORIGINS[number % 3], Confidentiality.INTERNAL, place=f"email_get_thread call_{number} body")
        durations.append(timed(lambda text=text, source=source: (seen.add_text(text, source), seen.take_new())))
        texts.append(text)
    return seen, texts, durations


def label(texts: Sequence[str], sealed: list[bytes]) -> list[int]:
    """Label and seal each text as one call's result."""
    durations = []
    for number, text in enumerate(texts):
        source = Source(Origin.OUTSIDER, Confidentiality.CUSTOMER, frozenset({"a"}), f"email_get_thread r{number} body")
        shown = Gathered(KEY)
        durations.append(timed(lambda text=text, source=source, shown=shown: shown.add_text(text, source)))
        durations[-1] += timed(lambda shown=shown: sealed.append(shown.take()))
    return durations


def write(writer: Writer, texts: Sequence[str], number: int) -> tuple[list[str], str, str, str]:
    """Recipients, subject, body and URL; half of the bodies have a sentence that was copied."""
    copied = texts[number % len(texts)][3_000:3_120] if number % 2 else ""
    body = (writer.text(600 - len(copied)) + copied)[:600]
    people = [f"{writer.words(1)[0]}@{writer.words(1)[0]}.example" for _ in range(2)]
    return people, " ".join(writer.words(6)), body, f"https://{writer.words(1)[0]}.example/x"


def trace(seen: Seen, people: Sequence[str], subject: str, body: str, url: str) -> None:
    """What one write asks of the index."""
    for person in people:
        trace_value(seen, person, Kind.ADDRESS)
    trace_text(seen, subject)
    trace_text(seen, body)
    trace_value(seen, url, Kind.URL)


def search(everything: str, people: Sequence[str], subject: str, body: str, url: str) -> int:
    """The bare alternative: whether each stands somewhere in what was seen."""
    return sum(each in everything for each in (*people, subject, url, *body.split(". ")))


# --- within a gateway

_T = TypeVar("_T")
AGENT = Principal("larkspur", agent="triage")
SUPPORT = "support@larkspur.example"


class Calls:
    """Takes calls through the stages of data flow and notes the processor time of each."""

    def __init__(self, gateway: Gateway, writer: Writer) -> None:
        self.gateway, self.writer = gateway, writer
        self.senders = [f"{one}@{other}.example" for one, other in zip(writer.words(50), writer.words(50), strict=True)]
        self.durations: dict[str, list[int]] = defaultdict(list)

    async def read(self) -> None:
        """A conversation of three mails of 650 characters is read."""
        at, sender = datetime.now(UTC), self.writer.one_of(self.senders)
        subject, thread = " ".join(self.writer.words(6)), f"thr_{self.writer.number():012x}"
        mails = [
            Message(
                id=f"msg_{self.writer.number():012x}", thread_id=thread, folder="inbox", sender_name=sender[:6].title(),
                sender_email=sender, to=[SUPPORT], cc=[], subject=subject, snippet=body[:120], unread=False,
                attachment_count=0, at=at, body=body, truncated=False, attachments=[],
            )
            for body in (self.writer.text(650) for _ in range(3))
        ]  # fmt: skip
        arguments = GetThread(mailbox=SUPPORT, thread_id=thread)
        output = Thread(id=thread, mailbox=SUPPORT, subject=subject, messages=mails)
        await self._call("read", "email_get_thread", arguments, output)

    async def send(self, texts: Sequence[str], number: int) -> None:
        """A mail is sent: two recipients, a subject and 600 characters with a link."""
        people, subject, body, url = write(self.writer, texts, number)
        arguments = SendEmail(mailbox=SUPPORT, to=people, subject=subject, body=f"{body[: 598 - len(url)]} {url}.")
        ids = {"id": f"msg_{number:012x}", "thread_id": f"thr_{number:012x}"}
        output = SentMessage(**ids, mailbox=SUPPORT, to=people, cc=[], subject=subject, sent_at=datetime.now(UTC))
        await self._call("send", "email_send_message", arguments, output)

    async def _call(
        self, name: str, tool_name: str, arguments: GetThread | SendEmail, output: Thread | SentMessage
    ) -> None:
        gateway = self.gateway
        policy, tool = gateway.policy.current, gateway.catalog.tools[tool_name]
        call, result = ToolCall(AGENT, tool_name, {}), output.model_dump()
        found, tracing = await taken(traced(gateway, call, policy, tool, arguments))
        wrote = Wrote(arguments.model_dump(), found.written) if name == "send" else None
        seen, labelling = await taken(shown(gateway, call, tool, result, wrote))
        told = {"status": "ok", "untrusted": seen.untrusted}
        _, alone = await taken(record(gateway, call, Event.OUTCOME, **told))
        _, together = await taken(record(gateway, call, Event.OUTCOME, beside=seen.beside, **told))
        parts = {"trace": tracing, "label": labelling, "commit": together - alone}
        for part, duration in ({"": sum(parts.values())} | parts).items():
            self.durations[f"stage: {name} a mail{part and f', {part}'}"].append(duration)


async def taken(work: Awaitable[_T]) -> tuple[_T, int]:
    """What some work gives, and the nanoseconds of processor time that the process spent meanwhile."""
    start = time.process_time_ns()
    result = await work
    return result, time.process_time_ns() - start


async def stage(megabytes: float, rounds: int) -> None:
    """Measure the stages of both calls, turn by turn."""
    with TemporaryDirectory() as home:
        policies = policies_about_flow(Path(home) / "policies")
        async with open_gateway(Settings(home=Path(home), policies=policies)) as gateway:
            writer, texts = Writer(3), []
            for number in range(int(megabytes * 1_000_000 / 20_000)):
                texts.append(writer.text(20_000))
                await record(
                    gateway,
                    ToolCall(AGENT, "email_get_thread", {}),
                    Event.OUTCOME,
                    beside=saw(gateway, texts[-1], number),
                    status="ok",
                )
            calls = Calls(gateway, writer)
            for number in range(rounds + 1):
                if number == 1:  # the first one loaded all that the run has seen
                    calls.durations.clear()
                await calls.read()
                await calls.send(texts, number)
            for name, durations in calls.durations.items():
                told(name, durations)


def policies_about_flow(folder: Path) -> Path:
    """The shipped policies without the rules about how much a run does, which are looked up in the journal."""
    copytree(SHIPPED_POLICIES, folder)
    rules = (folder / "rules.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    about_flow = [line for line in rules if "run.records" not in line and "run.recent_calls" not in line]
    (folder / "rules.csv").write_text("".join(about_flow), encoding="utf-8")
    return folder


def saw(gateway: Gateway, text: str, number: int) -> tuple[Beside]:
    """The row of a call that showed a text."""
    seen = Gathered(gateway.runs.key)
    source = Source(ORIGINS[number % 3], Confidentiality.INTERNAL, place=f"email_get_thread call_{number} body")
    seen.add_text(text, source)
    sight = Sight(Label(Integrity.ANYONE, Confidentiality.CUSTOMER), [], seen.take())
    return (seen_row(AGENT.tenant, AGENT.name, "", gateway.now(), sight),)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=10, help="text that the run has seen (default 10)")
    parser.add_argument("--calls", type=int, default=1_000, help="calls of each sort (default 1000)")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {options.megabytes:g} MB seen", flush=True)
    writer = Writer(1)

    filled(options.megabytes, Writer(2))  # the numbers of words are the process's and no run's
    tracemalloc.start()
    seen, texts, _ = filled(options.megabytes, Writer(2))
    gc.collect()
    at_text = sum(map(len, texts))
    kept = tracemalloc.get_traced_memory()[0] - at_text
    tracemalloc.stop()
    print(
        f"memory {kept / 1e6:.1f} MB for {len(seen.values):,} values and {len(seen.runs):,} runs of words", flush=True
    )

    seen, texts, durations = filled(options.megabytes, Writer(2))
    told("while filling: label 20 KB", durations)
    for size in (500, 2_000, 20_000):
        count = options.calls if size < 20_000 else options.calls // 10
        sealed: list[bytes] = []
        told(f"label a result of {size:,} characters", label([writer.text(size) for _ in range(count)], sealed))
        told(
            f"load it ({sum(map(len, sealed)) // count:,} bytes)",
            [timed(lambda row=row: seen.load(row)) for row in sealed],
        )
    writes = [write(writer, texts, number) for number in range(options.calls)]
    told("trace a write", [timed(lambda each=each: trace(seen, *each)) for each in writes])
    told("  its body alone", [timed(lambda each=each: trace_text(seen, each[2])) for each in writes])
    everything = "\n".join(texts)
    told("plain search for a write", [timed(lambda each=each: search(everything, *each)) for each in writes[:100]])

    anyio.run(stage, options.megabytes, options.calls)


if __name__ == "__main__":
    main()
