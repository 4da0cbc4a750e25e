"""What data flow costs a call when its run has seen 10 MB of text, beside a plain search through the same text.

    python benchmarks/flow.py

`label` is finding what a call showed and sealing it for the database; `load` is putting that to what the run has seen;
`trace` is finding the origins of a typical write: two recipients, a subject, a body of 600 characters, one URL. The
plain search looks for the same five values and for each sentence of the body in all that was seen, as it stands. One
thread. Memory is what Python allocates for the run.

The second table is the same within a gateway: all that data flow adds to a call, in all threads of the process, with
the looks into the database. A help desk works on its cases (`helpdesk.py`); every call's arguments are traced, with
what other calls showed since; its result is labelled and sealed; the row is committed with the outcome, as what it adds
to an outcome alone. Reads are not traced: no rule asks about theirs. The first fifth of the cases is not counted.

docs/data-flow.md has what was measured.
"""

import argparse
import gc
import platform
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import accumulate
from multiprocessing import get_context
from pathlib import Path
from random import Random
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import TypeVar

import anyio

from benchmarks.helpdesk import CASE, HelpDesk, fill
from connectors.contract import Confidentiality, Effect
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


async def taken(work: Awaitable[_T]) -> tuple[_T, int]:
    """What some work gives, and the nanoseconds of processor time that the process spent meanwhile."""
    start = time.process_time_ns()
    result = await work
    return result, time.process_time_ns() - start


async def staged(gateway: Gateway, desk: HelpDesk, name: str, arguments: Mapping[str, object]) -> tuple[int, list[int]]:
    """Take one call through the stages of data flow: how many characters it gave, and how long each part took."""
    call, tool, given = desk.prepare(name, **arguments)
    found, tracing = await taken(traced(gateway, call, gateway.policy.current, tool, given))
    made = await desk.make(call, tool, given)
    wrote = None if tool.effect is Effect.READ else Wrote(given.model_dump(), found.written)
    seen, labelling = await taken(shown(gateway, call, tool, made.output.model_dump(), wrote))
    told = {"status": "ok", "untrusted": seen.untrusted}
    _, alone = await taken(record(gateway, call, Event.OUTCOME, **told))
    _, together = await taken(record(gateway, call, Event.OUTCOME, beside=seen.beside, **told))
    return made.size, [tracing, labelling, alone, together]


async def cases(megabytes: float, count: int, url: str) -> list[tuple[str, int, list[int]]]:
    """Every call of so many cases in a run that has seen so much."""
    calls: list[tuple[str, int, list[int]]] = []
    with TemporaryDirectory() as home:
        policies = policies_about_flow(Path(home) / "policies")
        settings = Settings(
            home=Path(home), policies=policies, database_url=url, company_url=f"sqlite:///{home}/company.db"
        )
        await fill(settings)
        async with open_gateway(settings) as gateway:
            writer = Writer(3)
            for number in range(int(megabytes * 1_000_000 / 20_000)):
                earlier, beside = ToolCall(AGENT, "email_get_thread", {}), saw(gateway, writer.text(20_000), number)
                await record(gateway, earlier, Event.OUTCOME, beside=beside, status="ok")
            desk = HelpDesk(gateway, AGENT)
            async for case in desk.cases(count):
                calls += [(name, *await staged(gateway, desk, name, arguments)) for name, arguments in case]
    return calls


def in_cases(megabytes: float, count: int, url: str) -> list[tuple[str, int, list[int]]]:
    """The same, for a process of its own."""
    return anyio.run(cases, megabytes, count, url)


def desk(megabytes: float, count: int, runs: int, url: str) -> None:
    """Measure a help desk's calls: each part of each call takes the least that it took in several processes."""
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        each_run = [pool.apply(in_cases, (megabytes, count, url)) for _ in range(runs)]
    durations: dict[str, list[tuple[int, list[int]]]] = defaultdict(list)
    for same in list(zip(*each_run, strict=True))[CASE * (count // 5) :]:  # the first cases fill what is remembered
        name, size, _ = same[0]
        trace, label, alone, together = (min(parts) for parts in zip(*(call[2] for call in same), strict=True))
        for row in (name, "a call of the mix"):
            durations[row].append((size, [trace, label, together - alone, trace + label + together - alone]))
    print(f"on {'PostgreSQL' if url else 'SQLite'}, p50: characters, trace, label, commit, all three; p99 of these")
    for name, calls in durations.items():
        size = sorted(each[0] for each in calls)[len(calls) // 2]
        columns = [sorted(column) for column in zip(*(each[1] for each in calls), strict=True)]
        halves = [f"{column[len(column) // 2] / 1_000:>8,.0f}" for column in columns]
        most = columns[-1][min(len(calls) * 99 // 100, len(calls) - 1)] / 1_000
        print(f"{name:<30} {size:>8,} {' '.join(halves)} {most:>8,.0f}", flush=True)


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
    parser.add_argument("--cases", type=int, default=80, help="cases of a help desk, of eight calls each (default 80)")
    parser.add_argument(
        "--runs", type=int, default=3, help="in so many processes, of which the least counts (default 3)"
    )
    parser.add_argument(
        "--database", default="", help="a PostgreSQL URL for the gateway's own database (default SQLite)"
    )
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

    desk(options.megabytes, options.cases, options.runs, options.database)


if __name__ == "__main__":
    main()
