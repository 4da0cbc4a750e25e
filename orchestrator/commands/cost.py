"""`remit cost`: what models cost, by whom or what, as CSV."""

import csv
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import anyio
import typer
from sqlalchemy import func, select

from orchestrator.commands.opening import opened
from orchestrator.durable.database import Database
from orchestrator.durable.tables import COUNTS, spending
from orchestrator.models.ledger import dollars

_DAY = 86_400_000


By = StrEnum("By", ["WORKFLOW", "TEAM", "CUSTOMER", "TASK", "MODEL", "ROUTE", "DAY"])
"""What costs are summed up by; a task is one run."""


def cost(
    by: Annotated[By, typer.Option(help="What to sum up by; a task is one run.")] = By.WORKFLOW,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="From this day on, in UTC.")] = None,
) -> None:
    """What models cost, as CSV in exact US dollars, the most expensive first; all of it unless told since when."""
    begin = int(since.replace(tzinfo=UTC).timestamp() * 1_000) if since else 0
    with opened() as orchestrator:
        rows = anyio.run(report, orchestrator.store.database, by, begin)
    csv.writer(sys.stdout, lineterminator="\n").writerows([(by, *COUNTS[:-1], "usd", "reserved_usd"), *rows])


async def report(database: Database, by: By, since: int = 0) -> list[tuple[str | int, ...]]:
    """What was spent, summed up, the most expensive first.

    Args:
        database: The orchestrator's.
        by: What to sum up by.
        since: From when on, in milliseconds since 1970.

    Returns:
        Rows: what it is, `COUNTS`, but the cost as US dollars, and the dollars reserved for requests under way.
    """
    group = spending.c.at - spending.c.at % _DAY if by is By.DAY else spending.c["run" if by is By.TASK else by]
    sums = [func.sum(spending.c[name]) for name in (*COUNTS, "reserved")]
    query = select(group, *sums).where(spending.c.at >= since).group_by(group)
    found = await database.run(lambda connection: connection.execute(query).all())
    rows = sorted(found, key=lambda row: (-row[-2], str(row[0])))
    return [(_cell(by, row[0]), *map(int, row[1:-2]), dollars(int(row[-2])), dollars(int(row[-1]))) for row in rows]


def _cell(by: By, value: str | int) -> str:
    if by is By.DAY:
        return f"{datetime.fromtimestamp(int(value) / 1_000, UTC):%Y-%m-%d}"
    # A spreadsheet would take a name that begins so for a formula, whatever white space stands before it.
    return f"'{value}" if str(value).strip()[:1] in tuple("=+-@＝＋－＠") else str(value)
