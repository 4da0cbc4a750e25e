"""Shows triage as it goes: a table that fills on a terminal, plain lines elsewhere, and a summary at the end."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.fence import for_terminal
from orchestrator.workflows.triage.items import Item
from orchestrator.workflows.triage.report import ItemReport

EFFECT_STYLE = {
    "replied": "green",
    "drafted": "green",
    "updated": "green",
    "proposed": "cyan",
    "escalated": "yellow",
    "failed": "red",
}


class Progress:
    """What is on screen while items are triaged; made by `show_progress`."""

    def __init__(self, console: Console, total: int, live: Live | None) -> None:
        self._console, self._total, self._live = console, total, live
        self._reports: list[ItemReport] = []

    def begin(self, item: Item) -> None:
        """Name the item that is being worked on."""
        if self._live:
            self._live.update(self._table(item))

    def end(self, report: ItemReport) -> None:
        """Show an item's report."""
        self._reports.append(report)
        if self._live:
            self._live.update(self._table(None))
            return
        cells = [report.item, *(cell.plain for cell in _cells(report))]
        self._console.print(
            Text(f"{len(self._reports):>3}/{self._all}  {'  '.join(c for c in cells if c)}"), soft_wrap=True
        )

    @property
    def _all(self) -> int:
        """How many there are: what was answered meanwhile may come in addition."""
        return max(self._total, len(self._reports))

    def _table(self, current: Item | None) -> Table:
        room = max(3, self._console.height - 8)
        table = reports_table(self._reports[-room:], f"Triage: {len(self._reports)} of {self._all}")
        if current:
            table.add_row(Text(_name(current.kind, current.subject)), *[Text("…", style="dim")] * 6)
        return table


@contextmanager
def show_progress(console: Console, total: int) -> Iterator[Progress]:
    """Show items as they are triaged, live where there is a terminal."""
    if not console.is_terminal:
        yield Progress(console, total, None)
        return
    with Live(console=console, transient=True, refresh_per_second=8) as live:
        progress = Progress(console, total, live)
        yield progress
    console.print(reports_table(progress._reports, f"Triage of {len(progress._reports)} items"))  # noqa: SLF001


def reports_table(reports: list[ItemReport], title: str) -> Table:
    """Lay reports out as a table, one row each."""
    table = Table(title=title, title_justify="left", expand=True)
    for heading, ratio in (("Item", 5), ("Intent", 2), ("Sure", 1), ("Customer", 4), ("Action", 2), ("Outcome", 3)):
        table.add_column(heading, ratio=ratio, no_wrap=True, overflow="ellipsis")
    table.add_column("Calls", justify="right", no_wrap=True)
    for report in reports:
        table.add_row(*_cells(report))
    return table


def _cells(report: ItemReport) -> list[Text]:
    found = report.triage
    return [
        Text(_name(report.kind, report.subject)),
        Text(found.intent if found else "–"),
        Text(f"{found.confidence:.0%}" if found else "–"),
        Text(for_terminal(report.customer or "unknown", 40)),
        Text(found.recommended_action if found else "–"),
        Text(f"{report.effect}{', waits' if report.waiting else ''}", style=EFFECT_STYLE[report.effect]),
        Text(str(len(report.calls))),
    ]


def _name(kind: str, subject: str) -> str:
    return f"{kind}: {for_terminal(subject, 48)}"


def show_summary(console: Console, reports: list[ItemReport], note: str, seconds: float) -> None:
    """Print the counts of a run of triage. `note` says who decided."""
    calls = Counter(call.status for report in reports for call in report.calls)
    lines = (
        f"{len(reports)} items in {seconds:.1f} s. {note}",
        f"  outcomes  {_counts(report.effect for report in reports)}",
        f"  intents   {_counts(report.triage.intent for report in reports if report.triage)}",
        f"  calls     {calls.total()}: {calls['ok']} ok, {calls['denied']} denied, "
        f"{calls['pending_approval']} pending approval, {calls['failed']} failed",
        f"  model     {sum(report.model_requests for report in reports)} requests, "
        f"{sum(report.tokens for report in reports):,} tokens",
    )
    for line in (*lines, *_remarks(reports)):
        console.print(Text(line), soft_wrap=True)


def _remarks(reports: list[ItemReport]) -> Iterator[str]:
    """What a person has to know beside the counts: what waits for them, and what went wrong."""
    if waiting := [report for report in reports if report.waiting]:
        first = for_terminal(waiting[0].waiting, 200)
        yield f"  waiting   {len(waiting)} for a person; the first of them: {first}; see `remit runs list`"
    for report in reports:
        if report.effect == "failed":
            yield f"  failed    {report.item}: {for_terminal(report.stopped, 300)}"


def _counts(words: Iterable[str]) -> str:
    return ", ".join(f"{number} {word}" for word, number in Counter(words).most_common()) or "none"
