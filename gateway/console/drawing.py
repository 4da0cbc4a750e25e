"""Charts as plain geometry for SVG: no script, no measuring in a browser."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

WIDTH, HEIGHT = 760, 180
LEFT, RIGHT, BOTTOM, TOP = 4, 44, 22, 8
_PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM - TOP
_MOST_LABELS = 6


@dataclass(frozen=True)
class Series:
    """Values over the steps of a chart; None is a step without one."""

    name: str
    kind: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Box:
    """One rectangle."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    said: str


@dataclass(frozen=True)
class Path:
    """One line, as the `d` of an SVG path, and its points for those who read values."""

    kind: str
    drawn: str
    dots: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True)
class Mark:
    """A text on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """One chart with everything that its text alternative needs.

    Args:
        id: Names its title and table.
        title: What it shows.
        summary: The same in a sentence.
        unit: Of the values.
        series: What was drawn.
        labels: The name of each step.
        boxes: Bars, stacked.
        paths: Lines.
        rows: Marks of the value axis.
        columns: Marks of the time axis.
    """

    id: str
    title: str
    summary: str
    unit: str
    series: tuple[Series, ...]
    labels: tuple[str, ...]
    boxes: tuple[Box, ...] = ()
    paths: tuple[Path, ...] = ()
    rows: tuple[Mark, ...] = ()
    columns: tuple[Mark, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT


def bars(
    id_: str, title: str, summary: str, series: Sequence[Series], labels: Sequence[str], *, unit: str = ""
) -> Chart:
    """A chart of stacked bars, one for each step."""
    totals = [sum(each.values[step] or 0 for each in series) for step in range(len(labels))]
    top = _ceiling(max(totals, default=0))
    slot = _PLOT_WIDTH / max(len(labels), 1)
    boxes: list[Box] = []
    for step, label in enumerate(labels):
        height = 0.0
        for each in series:
            value = each.values[step] or 0
            if value:
                tall = value / top * _PLOT_HEIGHT
                y = TOP + _PLOT_HEIGHT - height - tall
                said = f"{label}: {_number(value)} {each.name}"
                boxes.append(
                    Box(each.kind, _r(LEFT + step * slot + slot * 0.12), _r(y), _r(slot * 0.76), _r(tall), said)
                )
                height += tall
    axes = {"rows": _rows(top), "columns": _columns(labels, slot)}
    return Chart(id_, title, summary, unit, tuple(series), tuple(labels), boxes=tuple(boxes), **axes)  # type: ignore[arg-type]


def lines(id_: str, title: str, summary: str, series: Sequence[Series], labels: Sequence[str], *, unit: str) -> Chart:
    """A chart of lines; a line breaks where a step has no value."""
    values = [value for each in series for value in each.values if value is not None]
    top = _ceiling(max(values, default=0))
    slot = _PLOT_WIDTH / max(len(labels), 1)
    paths = tuple(_path(each, labels, slot, top, unit) for each in series)
    axes = {"rows": _rows(top), "columns": _columns(labels, slot)}
    return Chart(id_, title, summary, unit, tuple(series), tuple(labels), paths=paths, **axes)  # type: ignore[arg-type]


def _path(series: Series, labels: Sequence[str], slot: float, top: float, unit: str) -> Path:
    drawn, dots, pen = [], [], "M"
    for step, value in enumerate(series.values):
        if value is None:
            pen = "M"
            continue
        x, y = _r(LEFT + (step + 0.5) * slot), _r(TOP + _PLOT_HEIGHT * (1 - value / top))
        drawn.append(f"{pen}{x} {y}")
        dots.append((x, y, f"{labels[step]}: {_number(value)} {unit} {series.name}"))
        pen = "L"
    return Path(series.kind, " ".join(drawn), tuple(dots))


def _rows(top: float) -> tuple[Mark, ...]:
    return tuple(Mark(_r(TOP + _PLOT_HEIGHT * (1 - part)), _number(top * part)) for part in (0, 0.5, 1))


def _columns(labels: Sequence[str], slot: float) -> tuple[Mark, ...]:
    every = -(-len(labels) // _MOST_LABELS) or 1
    return tuple(Mark(_r(LEFT + (step + 0.5) * slot), labels[step]) for step in range(0, len(labels), every))


def _ceiling(value: float) -> float:
    """The next round number: 1, 2, 5 or 10 times a power of ten; 1 when there is nothing."""
    if value <= 0:
        return 1
    power = 10.0 ** floor(log10(value))
    return next((step * power for step in (1, 2, 5) if step * power >= value), 10 * power)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"


def _r(value: float) -> float:
    return round(value, 1)
