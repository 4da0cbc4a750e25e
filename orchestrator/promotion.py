"""Which stage a step that acts is in, what speaks for the next one, and what brings it down again.

Evidence counts from the change that brought the present stage. A stage rises by a person's word alone, and falls by
itself when a threshold is met, in the transaction that records what met it.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from statistics import median
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    insert,
    select,
)

from orchestrator.durable.database import Database
from orchestrator.durable.tables import now_ms, tables

ITSELF = "remit"
"""Who changed a stage when nobody did."""


class Stage(StrEnum):
    """How far a step goes by itself, from least to most."""

    RECOMMEND = "recommend"
    DRAFT = "draft"
    APPROVE = "approve"
    ACT = "act"

    @property
    def rollout(self) -> str:
        """What it is called when a workflow is rolled out."""
        return {Stage.RECOMMEND: "shadow", Stage.ACT: "automatic"}.get(self, "assisted")

    @property
    def place(self) -> int:
        """0 for the first."""
        return list(Stage).index(self)


stages = Table(
    "stages",
    tables,
    Column("workflow", String(64), primary_key=True),
    Column("step", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, comment="rises with each change; the highest holds"),
    Column("since", Integer, nullable=False, comment="the change that brought the stage"),
    Column("stage", String(16), nullable=False),
    Column("thresholds", Text, nullable=False),
    Column("person", String(200), nullable=False, comment="who changed it"),
    Column("reason", String(400), nullable=False),
    Column("at", BigInteger, nullable=False),
)

ratings = Table(
    "ratings",
    tables,
    Column("run", String(64), primary_key=True),
    Column("name", String(200), primary_key=True, comment="what the run calls the act"),
    Column("choice", String(16), primary_key=True, comment="accept, edit, reject, needless; or incident"),
    Column("workflow", String(64), nullable=False),
    Column("step", String(200), nullable=False),
    Column("stage", String(16), nullable=False, comment="in which it was done"),
    Column("since", Integer, nullable=False, comment="which change of the stage it is evidence of"),
    Column("escalated", Boolean, nullable=False, comment="the run said that this case is a person's"),
    Column("distance", Float, nullable=False, comment="which share of the words a person changed"),
    Column("person", String(200), nullable=False),
    Column("note", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index("ratings_step", "workflow", "step", "since"),
)


class Thresholds(BaseModel):
    """What a stage must show to rise, and what brings it down."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ratings: int = Field(default=50, ge=1, description="to rise: this many ratings")
    agreement: float = Field(default=0.9, ge=0, le=1, description="to rise: agreement is this with 95 % confidence")
    keep: float = Field(default=0.7, ge=0, le=1, description="falls: agreement in the last ones is less")
    last: int = Field(default=20, ge=1, description="how many the last ones are")
    incidents: int = Field(default=1, ge=1, description="falls: this many incidents")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a step stands, and who put it there. `number` is 0 while it stands as it was shipped."""

    stage: Stage
    number: int = 0
    since: int = 0
    thresholds: Thresholds = field(default_factory=Thresholds)
    person: str = ""
    reason: str = "as shipped"
    at: int = 0


@dataclass(frozen=True, slots=True)
class Rating:
    """What a person said of one act. `at` is in milliseconds since 1970; the database sets it."""

    run: str
    name: str
    choice: str
    workflow: str
    step: str
    stage: Stage
    since: int
    escalated: bool = False
    distance: float = 0.0
    person: str = ""
    note: str = ""
    at: int = 0

    @property
    def agrees(self) -> bool:
        """Whether the person would have done exactly the same."""
        return self.choice in ("accept", "needless")

    @property
    def is_incident(self) -> bool:
        """Whether somebody reported it, or a person stopped what was to happen by itself."""
        return self.choice == "incident" or (self.choice == "reject" and self.stage is Stage.ACT and not self.escalated)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What ratings add up to. Agreement is about ordinary cases, precision about those that the run gave to a person.

    Args:
        ratings: Of ordinary cases.
        accepted: Of them unedited.
        edited: Of them edited.
        distance: The median share of words that an edit changed; None without one.
        escalated: Rated cases that the run had given to a person.
        needed: Of them those that the person agreed about.
        incidents: Reported, or stopped by a person when they were to happen by themselves.
        first: When the first was rated, in milliseconds since 1970; 0 without one.
        last: And the last.
    """

    ratings: int
    accepted: int
    edited: int
    distance: float | None
    escalated: int
    needed: int
    incidents: int
    first: int
    last: int


def weigh(rated: Sequence[Rating]) -> Evidence:
    """Add ratings up."""
    told = [each for each in rated if each.choice != "incident"]
    ordinary, escalated = ([each for each in told if each.escalated is is_so] for is_so in (False, True))
    edits = [each.distance for each in ordinary if each.choice == "edit"]
    moments = [each.at for each in rated] or [0]
    return Evidence(
        ratings=len(ordinary),
        accepted=sum(each.agrees for each in ordinary),
        edited=len(edits),
        distance=median(edits) if edits else None,
        escalated=len(escalated),
        needed=sum(each.choice != "needless" for each in escalated),
        incidents=sum(each.is_incident for each in rated),
        first=min(moments),
        last=max(moments),
    )


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % confidence interval of a share (E. B. Wilson, 1927); everything is possible without a trial."""
    if not trials:
        return 0.0, 1.0
    share, square = successes / trials, z * z
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = z / (1 + square / trials) * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


def short_of_rising(stage: Stage, evidence: Evidence, wanted: Thresholds) -> list[str]:
    """Why a step may not go on to the next stage yet; nothing if the evidence is enough."""
    if stage is Stage.ACT:
        return ["there is no further stage"]
    low, _ = wilson(evidence.accepted, evidence.ratings)
    return [
        why
        for is_short, why in (
            (evidence.ratings < wanted.ratings, f"{evidence.ratings} of {wanted.ratings} ratings"),
            (low < wanted.agreement, f"agreement is surely {low:.2f} only, and {wanted.agreement:.2f} is asked for"),
            (evidence.incidents > 0, f"{evidence.incidents} incident(s) since this stage began"),
        )
        if is_short
    ]


def reason_to_fall(stage: Stage, rated: Sequence[Rating], limit: Thresholds) -> str:
    """Why a step must go back a stage, by its ratings in their order; empty if it need not."""
    if stage is Stage.RECOMMEND:
        return ""
    if (incidents := sum(each.is_incident for each in rated)) >= limit.incidents:
        return f"{incidents} incident(s)"
    last = [each for each in rated if not each.escalated and each.choice != "incident"][-limit.last :]
    agreed = sum(each.agrees for each in last)
    if len(last) == limit.last and agreed / limit.last < limit.keep:
        return f"agreed with {agreed} of the last {limit.last}, and {limit.keep:.2f} of them is asked for"
    return ""


def standing(connection: Connection, workflow: str, step: str, shipped: Stage) -> Standing:
    """Where a step stands now; the stage that it was shipped with if nobody changed it."""
    query = select(stages).where(stages.c.workflow == workflow, stages.c.step == step)
    row = connection.execute(query.order_by(stages.c.number.desc()).limit(1)).first()
    if row is None:
        return Standing(shipped)
    wanted = Thresholds.model_validate_json(row.thresholds)
    return Standing(Stage(row.stage), row.number, row.since, wanted, row.person, row.reason, row.at)


def rated(connection: Connection, workflow: str, step: str, since: int, after: int = 0) -> list[Rating]:
    """The ratings that count for a stage, in their order; of those after a moment in milliseconds since 1970."""
    query = select(ratings).where(
        ratings.c.workflow == workflow, ratings.c.step == step, ratings.c.since == since, ratings.c.at >= after
    )
    rows = connection.execute(query.order_by(ratings.c.at, ratings.c.run, ratings.c.name))
    return [Rating(**{**row._mapping, "stage": Stage(row.stage)}) for row in rows]  # noqa: SLF001 - SQLAlchemy's name


async def record(database: Database, rating: Rating, shipped: Stage) -> Standing:
    """Keep a rating, once, and take the stage back if that meets a threshold; returns where the step stands now.

    An incident counts for the present stage, unless it happened in a higher one that was left meanwhile.
    """

    def write(connection: Connection) -> Standing:
        _take_turns(connection)
        now = standing(connection, rating.workflow, rating.step, shipped)
        values = {name: value for name, value in asdict(rating).items() if name != "at"}
        if rating.choice == "incident" and rating.stage.place <= now.stage.place:
            values["since"] = now.since
        named = [ratings.c[name] == values[name] for name in ("run", "name", "choice")]
        if connection.execute(select(ratings.c.run).where(*named)).first():
            return now
        connection.execute(insert(ratings).values(**values, at=now_ms()))
        found = rated(connection, rating.workflow, rating.step, now.since)
        if why := reason_to_fall(now.stage, found, now.thresholds):
            lower = list(Stage)[now.stage.place - 1]
            return _change(connection, (rating.workflow, rating.step), now, lower, now.thresholds, ITSELF, why)
        return now

    return await database.run(write)


class NotEnoughEvidence(Exception):
    """A step is to rise and its evidence is not enough."""


async def set_stage(
    database: Database,
    act: tuple[str, str],
    shipped: Stage,
    stage: Stage | None,
    thresholds: dict[str, Any],
    by: str,
    reason: str,
    anyway: bool = False,
) -> Standing:
    """Change a step's stage or thresholds, on a person's word.

    Args:
        database: Where it is kept.
        act: The workflow and the step.
        shipped: The stage that it was shipped with.
        stage: The new one; None leaves it.
        thresholds: Those that change, by name.
        by: Who says so.
        reason: Why.
        anyway: Let it rise although the evidence is not enough.

    Raises:
        NotEnoughEvidence: If it may not rise yet, or by more than one stage, and not `anyway`.
        ValidationError: If a threshold is not one.
    """

    def write(connection: Connection) -> Standing:
        _take_turns(connection)
        now = standing(connection, *act, shipped)
        to = stage or now.stage
        if to.place > now.stage.place and not anyway:
            why = short_of_rising(now.stage, weigh(rated(connection, *act, now.since)), now.thresholds)
            why += [f"`{to}` is more than one stage further"] if to.place > now.stage.place + 1 else []
            if why:
                raise NotEnoughEvidence("; ".join(why))
        wanted = Thresholds.model_validate({**now.thresholds.model_dump(), **thresholds})
        return _change(connection, act, now, to, wanted, by, reason)

    return await database.run(write)


def _change(
    connection: Connection, act: tuple[str, str], now: Standing, to: Stage, wanted: Thresholds, by: str, reason: str
) -> Standing:
    number = now.number + 1
    since = now.since if to is now.stage else number
    moment = connection.scalar(select(now_ms())) or 0
    new = Standing(to, number, since, wanted, by, reason[:400], moment)
    values = {each.name: getattr(new, each.name) for each in fields(Standing)} | {
        "thresholds": wanted.model_dump_json()
    }
    connection.execute(insert(stages).values(workflow=act[0], step=act[1], **values))
    return new


def _take_turns(connection: Connection) -> None:
    # On SQLite each transaction that may write has its turn already.
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7238114)")
