"""Which stage a step that acts is in, what speaks for the next one, and what brings it down again.

Evidence counts from the change that brought the present stage. A stage rises by a person's word alone, and falls by
itself when a threshold is met, in the transaction that records what met it.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from statistics import median
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection, insert, select

from orchestrator.durable.database import Database, take_turns
from orchestrator.durable.store import Store
from orchestrator.durable.tables import now_ms, ratings, stages
from orchestrator.invalid import in_words
from orchestrator.workflow import Workflows

ITSELF = "remit"
"""Who changed a stage when nobody did."""
_LOCK = 7238115


class NoSuchAct(ValueError):
    """A workflow does not declare a step that acts, or a run has not acted so."""


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


class Thresholds(BaseModel):
    """What a stage must show to rise, and what brings it down."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ratings: int = Field(default=50, ge=1, description="to rise: this many ratings")
    agreement: float = Field(default=0.9, ge=0, le=1, description="to rise: the interval of agreement begins here")
    keep: float = Field(default=0.7, ge=0, le=1, description="falls: agreement with the last ones is less")
    last: int = Field(default=20, ge=1, description="how many the last ones are")
    incidents: int = Field(default=1, ge=1, description="falls: this many incidents")


@dataclass(frozen=True, slots=True)
class Act:
    """A step that acts, and the stage that it was shipped with."""

    workflow: str
    step: str
    shipped: Stage


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a step stands, and who put it there; `number` counts the changes, `at` is in milliseconds since 1970."""

    stage: Stage
    number: int = 0
    since: int = 0
    thresholds: Thresholds = field(default_factory=Thresholds)
    person: str = ""
    reason: str = "as shipped"
    at: int = 0


@dataclass(frozen=True, slots=True)
class Rating:
    """What a person said of one act; the database sets `at`. See the table `ratings`."""

    run: str
    name: str
    choice: str
    workflow: str
    step: str
    stage: str
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
        return self.choice == "incident" or (self.choice == "reject" and self.stage == Stage.ACT and not self.escalated)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What ratings add up to.

    Args:
        ratings: Of ordinary cases; of them `accepted` unedited and `edited`.
        distance: The median share of words that an edit changed; None without one.
        escalated: Rated cases that the run had given to a person; with `needed` the person agreed.
        incidents: Reported, or stopped by a person when they were to happen by themselves.
        first: When the first of all was rated, in milliseconds since 1970, and the `last`; 0 without one.
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
    share, square = successes / trials, z * z / trials
    middle = share + square / 2
    half = z * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    # At the ends the bounds are the share itself, which rounding would miss.
    low, high = ((middle + side * half) / (1 + square) for side in (-1, 1))
    return max(0.0, min(low, share)), min(1.0, max(high, share))


def short_of_rising(stage: Stage, evidence: Evidence, wanted: Thresholds) -> list[str]:
    """Why a step may not go on to the next stage yet; nothing if the evidence is enough."""
    low, _ = wilson(evidence.accepted, evidence.ratings)
    reasons = {
        "there is no further stage": stage is Stage.ACT,
        f"{evidence.ratings} of {wanted.ratings} ratings": evidence.ratings < wanted.ratings,
        f"agreement may be as low as {low:.2f}, and {wanted.agreement:.2f} is asked for": low < wanted.agreement,
        f"{evidence.incidents} incident(s) since this stage began": evidence.incidents > 0,
    }
    return [reason for reason, holds in reasons.items() if holds]


def reason_to_fall(stage: Stage, rated: Sequence[Rating], limit: Thresholds) -> str:
    """Why a step must go back a stage, by its ratings in their order; empty if it need not."""
    if stage is Stage.RECOMMEND:
        return ""
    if (incidents := sum(each.is_incident for each in rated)) >= limit.incidents:
        return f"{incidents} incident(s)"
    last = [each for each in rated if not each.escalated and each.choice != "incident"][-limit.last :]
    agreed = sum(each.agrees for each in last)
    if len(last) == limit.last and agreed / limit.last < limit.keep:
        return f"people agreed with {agreed} of the last {limit.last}, and a share of {limit.keep:.2f} is asked for"
    return ""


def standing(connection: Connection, act: Act) -> Standing:
    """Where a step stands now; as it was shipped if nobody changed it."""
    query = select(stages).where(stages.c.workflow == act.workflow, stages.c.step == act.step)
    row = connection.execute(query.order_by(stages.c.number.desc()).limit(1)).first()
    if row is None:
        return Standing(act.shipped)
    wanted = Thresholds.model_validate_json(row.thresholds)
    return Standing(Stage(row.stage), row.number, row.since, wanted, row.person, row.reason, row.at)


def rated(connection: Connection, act: Act, since: int, after: int = 0) -> list[Rating]:
    """The ratings that count for a stage, in their order; those from a moment on, in milliseconds since 1970."""
    mine = (ratings.c.workflow == act.workflow, ratings.c.step == act.step, ratings.c.since == since)
    query = select(ratings).where(*mine, ratings.c.at >= after).order_by(ratings.c.at, ratings.c.run, ratings.c.name)
    return [Rating(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name


async def look(database: Database, act: Act, after: int = 0) -> tuple[Standing, Evidence]:
    """Where a step stands and what speaks for the next stage."""

    def read(connection: Connection) -> tuple[Standing, Evidence]:
        now = standing(connection, act)
        return now, weigh(rated(connection, act, now.since, after))

    return await database.run(read)


def acts_of(workflows: Workflows) -> list[Act]:
    """Every step that acts."""
    return [Act(each.name, step, Stage(stage)) for each in workflows for step, stage in each.acts.items()]


async def report(database: Database, workflows: Workflows, run: str, name: str, by: str, note: str) -> Standing:
    """Mark what a run did as an incident; returns where the step stands now.

    Args:
        database: Where it is kept.
        workflows: The workflows.
        run: The run.
        name: What the run calls the act; empty if it has acted once.
        by: Who says so.
        note: What happened.

    Raises:
        NoSuchAct: If the run has not acted so; says how it has.
    """
    kept, done = await Store(database).find(run)
    acts = workflows.find(kept.workflow).acts
    acted = {step.removesuffix(".stage"): each.facts for step, each in done.items() if each.facts.get("act") in acts}
    if name not in acted and (name or len(acted) != 1):
        raise NoSuchAct(f"run `{run}` acted in {', '.join(sorted(acted)) or 'no step'}: name one of them")
    name = name or next(iter(acted))
    step, stage, since = (acted[name][fact] for fact in ("act", "stage", "since"))
    act = Act(kept.workflow, step, Stage(acts[step]))
    told = Rating(run, name, "incident", kept.workflow, step, stage, since, person=by, note=note)
    return await record(database, told, act)


async def record(database: Database, rating: Rating, act: Act) -> Standing:
    """Keep a rating, once, and take the stage back if that meets a threshold; returns where the step stands now.

    An incident counts for the present stage, unless it happened in a higher one that was left meanwhile.
    """

    def write(connection: Connection) -> Standing:
        take_turns(connection, _LOCK)
        now, kept = standing(connection, act), rating
        if rating.choice == "incident" and Stage(rating.stage).place <= now.stage.place:
            kept = replace(rating, since=now.since)
        named = [ratings.c[name] == getattr(kept, name) for name in ("run", "name", "choice")]
        if connection.scalar(select(ratings.c.run).where(*named)):
            return now
        connection.execute(insert(ratings).values(asdict(kept) | {"at": now_ms()}))
        if why := reason_to_fall(now.stage, rated(connection, act, now.since), now.thresholds):
            return _change(connection, act, now, list(Stage)[now.stage.place - 1], now.thresholds, ITSELF, why)
        return now

    return await database.run(write)


class BadThreshold(ValueError):
    """There is no such threshold, or it cannot have this value."""


class NotEnoughEvidence(ValueError):
    """A step is to rise and its evidence is not enough."""


async def set_stage(
    database: Database, act: Act, to: Stage | None, changed: dict[str, Any], by: str, reason: str, anyway: bool = False
) -> Standing:
    """Change a step's stage or thresholds, on a person's word.

    Args:
        database: Where it is kept.
        act: The step.
        to: The new stage; None leaves it.
        changed: The thresholds that change, by name.
        by: Who says so.
        reason: Why.
        anyway: Let it rise although the evidence is not enough, or by more than one stage.

    Raises:
        NotEnoughEvidence: If it may not rise.
        BadThreshold: If a threshold is not one.
    """

    def write(connection: Connection) -> Standing:
        take_turns(connection, _LOCK)
        now = standing(connection, act)
        stage = to or now.stage
        if stage.place > now.stage.place and not anyway:
            why = short_of_rising(now.stage, weigh(rated(connection, act, now.since)), now.thresholds)
            why += [f"`{stage}` is not the next stage"] if stage.place > now.stage.place + 1 else []
            if why:
                raise NotEnoughEvidence("; ".join(why))
        try:
            wanted = Thresholds.model_validate(now.thresholds.model_dump() | changed)
        except ValidationError as error:
            raise BadThreshold(f"threshold {in_words(error)}") from None
        return _change(connection, act, now, stage, wanted, by, reason)

    return await database.run(write)


def _change(
    connection: Connection, act: Act, now: Standing, to: Stage, wanted: Thresholds, by: str, reason: str
) -> Standing:
    number = now.number + 1
    since = now.since if to is now.stage else number
    new = Standing(to, number, since, wanted, by, reason, connection.scalar(select(now_ms())) or 0)
    kept = asdict(new) | {"thresholds": wanted.model_dump_json(), "workflow": act.workflow, "step": act.step}
    connection.execute(insert(stages).values(kept))
    return new
