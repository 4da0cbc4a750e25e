"""What models cost: reserved before a request is sent, put right afterwards, and kept for reports.

All amounts are whole billionths of a dollar, so that sums are exact. Whoever reserves looks at every budget and writes
in one transaction, one after the other, so that no two workers spend the same money.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import anyio
from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.elements import ColumnElement

from orchestrator.durable.database import Database, take_turns
from orchestrator.durable.run import TryLater
from orchestrator.durable.tables import answers, now_ms, spending
from orchestrator.models.asking import OverBudget, Payer
from orchestrator.models.register import NANO, Budget, Budgets

KEPT_ANSWERS = 10_000


class BudgetHeld(TryLater):
    """Requests under way have reserved what is left of a budget: there may be some again when they are answered."""


Keep = dict[str, tuple[str, int]]
"""Answers to keep under keys, each with the seconds for which."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of one database. A line of it is what a step of a run asked of a model, however often it had to."""

    database: Database
    budgets: Budgets

    async def reserve(self, line: dict[str, str], payer: Payer, most: int) -> None:
        """Set aside the most that a request can cost; what a dead worker left for the same step is let go of.

        Raises:
            OverBudget: If a budget has less left.
            BudgetHeld: If it had enough without the requests that are under way.
        """

        def write(connection: Connection) -> None:
            take_turns(connection, 7238114)
            connection.execute(update(spending).where(spending.c.key == line["key"]).values(reserved=0))
            now = datetime.fromtimestamp((connection.scalar(select(now_ms())) or 0) / 1_000, UTC)
            for kind, name, budget in self.budgets.of(payer):
                _check(connection, kind, name, budget, now, most)
            _add(connection, line, {"reserved": most, "at": now_ms()})

        await self.database.run(write)

    async def settle(self, line: dict[str, str], counts: dict[str, int], keep: Keep | None = None) -> None:
        """Write down what a request took in the place of what was reserved for it.

        Args:
            line: Whose it was.
            counts: What to add to the line's `COUNTS`.
            keep: Answers to keep in the same transaction.
        """

        def write(connection: Connection) -> None:
            _add(connection, line, {name: spending.c[name] + count for name, count in counts.items()} | {"reserved": 0})
            if keep:
                _keep(connection, keep)

        # It was spent, also if whoever asked is cancelled meanwhile.
        with anyio.CancelScope(shield=True):
            await self.database.run(write)

    async def give_back(self, line: dict[str, str]) -> None:
        """Let go of what was reserved for a request that was given up; where the database is away it stays."""
        free = update(spending).where(spending.c.key == line["key"]).values(reserved=0)
        with anyio.CancelScope(shield=True), suppress(SQLAlchemyError):
            await self.database.run(lambda connection: connection.execute(free).rowcount)

    async def kept(self, keys: list[str]) -> tuple[str, str]:
        """The first of these keys under which an answer is kept, and the answer; both empty if there is none."""
        query = select(answers.c.key, answers.c.answer).where(answers.c.key.in_(keys), answers.c.until > now_ms())
        found = await self.database.run(lambda connection: {row.key: row.answer for row in connection.execute(query)})
        return next(((key, found[key]) for key in keys if key in found), ("", ""))


def _check(connection: Connection, kind: str, name: str, budget: Budget, now: datetime, most: int) -> None:
    start, end = budget.window(now)
    mine = (spending.c["run" if kind == "task" else kind] == name, spending.c.at >= int(start.timestamp() * 1_000))
    sums = select(func.coalesce(func.sum(spending.c.cost), 0), func.coalesce(func.sum(spending.c.reserved), 0))
    spent, held = map(int, connection.execute(sums.where(*mine)).one())
    limit = int(budget.usd * NANO)
    if not most or spent + held + most <= limit:
        return
    # A customer's name is a customer's data, and a run's is at hand.
    whose = {"customer": "the customer", "task": "the run"}.get(kind, f"{kind} `{name}`")
    told = f"the budget of {whose} is ${budget.usd} per {budget.per}: ${dollars(spent)} is spent and "
    told += f"${dollars(held)} reserved, and this request may take ${dollars(most)}"
    if spent + most <= limit:
        raise BudgetHeld(told)
    again = f"it is free again at {end:%Y-%m-%d %H:%M} UTC" if end else "it does not become free by itself"
    raise OverBudget(f"{told}; {again}: resume the run then, or raise `[budgets.{kind}]`")


def _add(connection: Connection, line: dict[str, str], values: dict[str, ColumnElement[int] | int]) -> None:
    mine = (spending.c.key == line["key"], spending.c.model == line["model"])
    if not connection.scalar(select(spending.c.at).where(*mine)):
        connection.execute(insert(spending).values(line))
    connection.execute(update(spending).where(*mine).values(**values))


def _keep(connection: Connection, keep: Keep) -> None:
    newest = select(answers.c.until).order_by(answers.c.until.desc()).offset(KEPT_ANSWERS).limit(1)
    connection.execute(delete(answers).where(answers.c.until <= func.coalesce(newest.scalar_subquery(), now_ms())))
    connection.execute(delete(answers).where((answers.c.until <= now_ms()) | answers.c.key.in_(keep)))
    for key, (answer, seconds) in keep.items():
        connection.execute(insert(answers).values(key=key, answer=answer, until=now_ms() + seconds * 1_000))


def dollars(nano: int) -> str:
    return f"{Decimal(nano) / NANO:.9f}".rstrip("0").rstrip(".")
