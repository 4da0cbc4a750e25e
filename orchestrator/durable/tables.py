"""What the orchestrator keeps: runs, the steps that they have done, the events that they wait for, ratings."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

FORM = 1
"""The form of these tables; a database of another form is refused."""


class now_ms(FunctionElement[int]):  # noqa: N801 - reads as the SQL function that it is
    """The database's own clock in milliseconds: the hosts of several workers need not agree on the time."""

    type = BigInteger()
    inherit_cache = True


@compiles(now_ms, "sqlite")
def _sqlite(*_: Any, **__: Any) -> str:  # noqa: ANN401 - as SQLAlchemy calls it
    return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"


@compiles(now_ms, "postgresql")
def _postgresql(*_: Any, **__: Any) -> str:  # noqa: ANN401
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"


tables = MetaData()

form = Table("orchestrator_form", tables, Column("number", Integer, primary_key=True))

runs = Table(
    "runs",
    tables,
    Column("id", String(64), primary_key=True),
    Column("parent", String(64), nullable=False, comment="the run that began it; empty if none did"),
    Column("workflow", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("given", Text, nullable=False, comment="what the run was started with, as JSON"),
    Column("about", String(200), nullable=False, comment="one line for people: what it is about"),
    Column("team", String(64), nullable=False),
    Column("customer", String(200), nullable=False),
    Column("person", String(200), nullable=False, comment="on whose behalf, if anyone's"),
    Column("state", String(16), nullable=False),
    Column("due", BigInteger, comment="when it is to be taken up: started, woken, or taken over as its lease ends"),
    Column("fence", Integer, nullable=False, default=0, comment="rises whenever the run changes hands"),
    Column("worker", String(80), nullable=False, default=""),
    Column("why", String(400), nullable=False, default="", comment="why it waits, was put off, or failed: for people"),
    Column("tries", Integer, nullable=False, default=0, comment="how often it was put off since it last got on"),
    Column("losses", Integer, nullable=False, default=0, comment="how often its worker was lost since it last got on"),
    Column("seed", String(64), nullable=False, comment="makes its marks unguessable and the same after each restart"),
    Column("result", Text, nullable=False, default=""),
    Column("begun", BigInteger, nullable=False, default=now_ms()),
    Column("changed", BigInteger, nullable=False, default=now_ms()),
    Index("runs_due", "due"),
    Index("runs_changed", "changed"),
    Index("runs_parent", "parent"),
)

waits = Table(
    "waits",
    tables,
    Column("run", String(64), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("event", String(200), primary_key=True, comment="any of its events takes a waiting run up"),
    Index("waits_event", "event"),
)

steps = Table(
    "steps",
    tables,
    Column("run", String(64), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("place", Integer, nullable=False, comment="how many were done before it"),
    Column("kind", String(16), nullable=False, comment="function, model, call, person, event"),
    Column("given", String(64), nullable=False, comment="fingerprint of what it was given"),
    Column("output", Text, nullable=False),
    Column("facts", Text, nullable=False, comment="for people and measures, as JSON: model, prompt, tool, status …"),
    Column("milliseconds", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
)

events = Table(
    "events",
    tables,
    Column("name", String(200), primary_key=True),
    Column("payload", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

stages = Table(
    "stages",
    tables,
    *(Column(name, String(200), primary_key=True) for name in ("workflow", "step")),
    Column("number", Integer, primary_key=True, comment="rises with each change; the highest holds"),
    Column("since", Integer, nullable=False, comment="the change that brought the stage"),
    *(Column(name, Text, nullable=False) for name in ("stage", "thresholds", "person", "reason")),
    Column("at", BigInteger, nullable=False),
)

ratings = Table(
    "ratings",
    tables,
    # The name is what the run calls the act; the choice is accept, edit, reject, needless, or incident.
    *(Column(name, String(200), primary_key=True) for name in ("run", "name", "choice")),
    *(Column(name, String(200), nullable=False) for name in ("workflow", "step", "stage", "person")),
    Column("since", Integer, nullable=False, comment="which change of the stage it is evidence of"),
    Column("escalated", Boolean, nullable=False, comment="the run said that this case is a person's"),
    Column("distance", Float, nullable=False, comment="which share of the words a person changed"),
    Column("note", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("ratings_step", "workflow", "step", "since"),
)

remembered = Table(
    "remembered",
    tables,
    Column("id", String(200), primary_key=True, comment="an item that began a run, a schedule, or a trigger's looks"),
    Column("at", BigInteger, nullable=False, comment="when it began it, since when it is known, when the last one was"),
)


COUNTS = ("requests", "from_cache", "failed", "input_tokens", "cached_tokens", "output_tokens", "milliseconds", "cost")
"""What is counted of requests to models; costs are in billionths of a US dollar."""

spending = Table(
    "spending",
    tables,
    Column("key", String(300), primary_key=True, comment="the run and its step"),
    Column("model", String(100), primary_key=True),
    Column("at", BigInteger, nullable=False, default=now_ms()),
    *(Column(name, String(200), nullable=False) for name in ("run", "workflow", "team", "customer", "route", "prompt")),
    *(Column(name, BigInteger, nullable=False, default=0) for name in COUNTS),
    Column("reserved", BigInteger, nullable=False, default=0, comment="the most that a request under way can cost"),
    Index("spending_at", "at"),
    Index("spending_run", "run"),
)

answers = Table(
    "answers",
    tables,
    Column("key", String(64), primary_key=True),
    Column("answer", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
    Index("answers_until", "until"),
)
