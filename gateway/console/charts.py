"""What a tenant's calls add up to: how many, how they were decided, what people answered, how long it took."""

from collections.abc import Callable
from datetime import timedelta

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.console.drawing import Chart, Series, bars, lines
from gateway.console.seeing import may_view
from gateway.console.visit import Visit
from gateway.journal import Kind
from gateway.journal.counting import Counted, Stretch, count_journal
from gateway.policy.files.approvers import View

_SPANS = {
    "day": ("the last 24 hours", timedelta(hours=1), 24, "%H:%M"),
    "week": ("the last 7 days", timedelta(hours=6), 28, "%m-%d %H:%M"),
    "month": ("the last 30 days", timedelta(days=1), 30, "%m-%d"),
}
_REFUSED = (Kind.DENIED, Kind.INVALID, Kind.UNKNOWN_TOOL)


async def show(visit: Visit) -> Response:
    """Show the charts of a span of time."""
    if not may_view(visit.policy, visit.person, View.JOURNAL):
        raise HTTPException(404)
    name = visit.request.query_params.get("span", "day")
    if name not in _SPANS:
        raise HTTPException(404)
    words, step, steps, form = _SPANS[name]
    counted = await anyio.to_thread.run_sync(
        count_journal, visit.console.database, visit.person.tenant, visit.now, step, steps
    )
    labels = [stretch.begins.strftime(form) for stretch in counted.stretches]
    cut = counted.since if counted.since > counted.stretches[0].begins + step else None
    return visit.page(
        "charts.html", charts=_charts(counted, labels, words), span=name, spans=list(_SPANS), words=words, cut=cut
    )


def _charts(counted: Counted, labels: list[str], words: str) -> list[Chart]:
    def over(measure: Callable[[Stretch], float | None]) -> list[float | None]:
        return [measure(stretch) for stretch in counted.stretches]

    ran = over(lambda each: each.counts[Kind.INTENT])
    asked = over(lambda each: each.counts[Kind.PENDING])
    denied = over(lambda each: sum(each.counts[kind] for kind in _REFUSED))
    failed = over(lambda each: each.statuses.total() - each.statuses["ok"])
    yes, no = over(lambda each: each.answers[True]), over(lambda each: each.answers[False])
    half, most = over(lambda each: _ms(each.latency(50))), over(lambda each: _ms(each.latency(95)))
    return [
        bars(
            "calls",
            "Calls",
            f"In {words} {_sum(ran)} calls ran, {_sum(asked)} waited for approval, and {_sum(denied)} were refused.",
            [Series("ran", "ran", ran), Series("waited", "waited", asked), Series("refused", "refused", denied)],
            labels,
        ),
        bars(
            "failures",
            "Calls that ran and did not succeed",
            f"In {words} {_sum(failed)} calls failed, timed out, were cancelled or are in doubt.",
            [Series("not succeeded", "refused", failed)],
            labels,
        ),
        bars(
            "answers",
            "Questions answered",
            f"In {words} people said yes {_sum(yes)} times and no {_sum(no)} times.",
            [Series("yes", "ran", yes), Series("no", "refused", no)],
            labels,
        ),
        lines(
            "latency",
            "Time from recorded intent to recorded outcome",
            f"Half of the calls took at most the lower line, 95 of 100 at most the upper one, over {words}.",
            [Series("median", "ran", half), Series("95 of 100", "waited", most)],
            labels,
            unit="ms",
        ),
    ]


def _sum(values: list[float | None]) -> int:
    return int(sum(value or 0 for value in values))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1_000
