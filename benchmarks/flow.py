"""What data flow costs a call when its run has seen 10 MB of text, beside a plain search through the same text.

    python benchmarks/flow.py

`label` is remembering what a call showed and sealing it for the database; `load` is another process reading that;
`trace` is finding the origins of a typical write: two recipients, a subject, a body of 600 characters, one URL. The
plain search looks for the same five values and for each sentence of the body in all that was seen, as it stands. One
thread. Memory is what Python allocates for the run.
"""

import argparse
import gc
import platform
import time
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random

from connectors.contract import Confidentiality
from gateway.flow.evidence import Source
from gateway.flow.seen import Seen
from gateway.flow.tracing import trace_text, trace_value
from gateway.flow.values import Kind
from gateway.policy.language.flow import Origin

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


def label(seen: Seen, texts: Sequence[str], sealed: list[bytes]) -> list[int]:
    """Remember each text as one call's result."""
    durations = []
    for number, text in enumerate(texts):
        source = Source(Origin.OUTSIDER, Confidentiality.CUSTOMER, frozenset({"a"}), f"email_get_thread r{number} body")
        durations.append(timed(lambda text=text, source=source: seen.add_text(text, source)))
        durations[-1] += timed(lambda: sealed.append(seen.take_new()))
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
    other = Seen(KEY)
    for size in (500, 2_000, 20_000):
        count = options.calls if size < 20_000 else options.calls // 10
        sealed: list[bytes] = []
        told(f"label a result of {size:,} characters", label(seen, [writer.text(size) for _ in range(count)], sealed))
        told(
            f"load it ({sum(map(len, sealed)) // count:,} bytes)",
            [timed(lambda row=row: other.load(row)) for row in sealed],
        )
    writes = [write(writer, texts, number) for number in range(options.calls)]
    told("trace a write", [timed(lambda each=each: trace(seen, *each)) for each in writes])
    told("  its body alone", [timed(lambda each=each: trace_text(seen, each[2])) for each in writes])
    everything = "\n".join(texts)
    told("plain search for a write", [timed(lambda each=each: search(everything, *each)) for each in writes[:100]])


if __name__ == "__main__":
    main()
