"""What runs, their steps, what models cost, and people's ratings add up to: `measures.toml` says what and how."""

import math
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, text

from orchestrator.durable.database import Database

_SHOWN = {"share": "{:.1%}", "ms": "{:,.0f} ms", "usd": "${:,.4f}", "usd_each": "${:,.4f}", "count": "{:,.0f}"}
_SLOTS = """
SELECT (at - :since) / :step AS slot, SUM(part), SUM(whole) FROM ({sql}) AS measured
WHERE at >= :since AND at < :until AND (:workflow = '' OR workflow = :workflow) GROUP BY slot"""
_VALUES = _SLOTS.replace("SUM(part), SUM(whole)", "part, whole").removesuffix(" GROUP BY slot")


class Measure(BaseModel):
    """One thing that is measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    title: str
    says: str
    unit: Literal["share", "ms", "usd", "usd_each", "count"]
    sql: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure over some stretches of time; None where there was nothing to measure.

    Args:
        measure: What is measured.
        values: One for each stretch.
        total: Over the whole time.
        most: For times, what 95 of 100 do not pass over the whole time.
        of: How much it rests on: runs, calls, answers …
    """

    measure: Measure
    values: list[float | None]
    total: float | None
    most: float | None
    of: int

    def shown(self, value: float | None) -> str:
        """A value for people."""
        return "none" if value is None else _SHOWN[self.measure.unit].format(value)


@cache
def measures() -> list[Measure]:
    """All that is measured."""
    found = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
    return [Measure.model_validate(each) for each in found["measure"]]


async def figure(
    database: Database, measure: Measure, since: int, until: int, slots: int, workflow: str = ""
) -> Figure:
    """Measure something.

    Args:
        database: The orchestrator's.
        measure: What.
        since: From when on, in milliseconds since 1970.
        until: Until before when.
        slots: Into how many stretches the time is divided.
        workflow: Of which workflow alone; empty for all.
    """
    given = {"since": since, "until": until, "step": -(-(until - since) // slots), "workflow": workflow}
    is_time = measure.unit == "ms"
    sql = (_VALUES if is_time else _SLOTS).format(sql=measure.sql)
    if database.is_postgresql:
        sql = sql.replace("facts ->>", "facts::json ->>")

    def read(connection: Connection) -> list[Any]:
        return list(connection.execute(text(sql), given))

    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for slot, part, whole in await database.run(read):
        found[slot].append((int(part), int(whole)))
    every = [each for rows in found.values() for each in rows]
    values = [_value(measure.unit, found.get(slot, [])) for slot in range(slots)]
    times = sorted(part for part, _ in every)
    most = float(times[math.ceil(0.95 * len(times)) - 1]) if is_time and times else None
    return Figure(measure, values, _value(measure.unit, every), most, sum(whole for _, whole in every))


def _value(unit: str, rows: list[tuple[int, int]]) -> float | None:
    if unit == "ms":
        return float(median(part for part, _ in rows)) if rows else None
    part, whole = sum(part for part, _ in rows), sum(whole for _, whole in rows)
    if unit in ("count", "usd"):
        return part / (1e9 if unit == "usd" else 1)
    return part / whole / (1e9 if unit == "usd_each" else 1) if whole else None
