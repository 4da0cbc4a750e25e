"""When a stage may rise, when it falls, and that nobody but a person raises it."""

from pathlib import Path

import pytest
from anyio import to_thread
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update
from typer.testing import CliRunner

from gateway.cli import app
from orchestrator.durable.tables import ratings
from orchestrator.promotion import (
    Act,
    BadThreshold,
    Evidence,
    NoSuchAct,
    NotEnoughEvidence,
    Rating,
    Stage,
    Standing,
    Thresholds,
    look,
    reason_to_fall,
    record,
    report,
    set_stage,
    short_of_rising,
    standing,
    weigh,
    wilson,
)
from orchestrator.stages import distance
from orchestrator.workflow import Workflows
from tests.orchestrator.test_stages import REPLY, Office, letters, rating
from tests.orchestrator.test_stages import office as office  # noqa: PLC0414 - a fixture

CHOICES = st.sampled_from(["accept", "edit", "reject", "needless", "incident"])
RATED = st.lists(
    st.builds(
        lambda choice, escalated, stage: Rating("r", "reply", choice, "letters", "reply", stage, 0, escalated),
        CHOICES,
        st.booleans(),
        st.sampled_from([*Stage]),
    ),
    max_size=60,
)
COUNTS = st.integers(0, 5_000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@given(COUNTS)
def test_the_interval_holds_the_share_and_lies_between_nothing_and_all(counts: tuple[int, int]) -> None:
    successes, trials = counts
    low, high = wilson(successes, trials)
    assert 0 <= low <= (successes / trials if trials else 0.5) <= high <= 1


@given(st.integers(0, 400), st.integers(1, 400))
def test_more_of_the_same_makes_the_interval_narrower(successes: int, failures: int) -> None:
    few, many = wilson(successes, successes + failures), wilson(successes * 4, (successes + failures) * 4)
    assert many[1] - many[0] < few[1] - few[0]


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (48, 50, 0.8654, 0.9890)]
)
def test_the_interval_is_that_of_the_literature(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@given(RATED)
def test_what_is_counted_adds_up(rated: list[Rating]) -> None:
    found = weigh(rated)
    told = [each for each in rated if each.choice != "incident"]
    assert found.ratings + found.escalated == len(told)
    assert found.accepted + found.edited <= found.ratings
    assert found.needed <= found.escalated


@given(RATED, st.sampled_from([*Stage]))
def test_nothing_that_is_about_to_fall_by_an_incident_may_rise(rated: list[Rating], stage: Stage) -> None:
    if weigh(rated).incidents:
        assert short_of_rising(stage, weigh(rated), Thresholds(ratings=1, agreement=0))


@given(RATED)
def test_the_first_stage_never_falls_and_the_last_never_rises(rated: list[Rating]) -> None:
    assert not reason_to_fall(Stage.RECOMMEND, rated, Thresholds(last=1, keep=1))
    assert short_of_rising(Stage.ACT, weigh(rated), Thresholds(ratings=1, agreement=0))


@given(RATED, st.sampled_from([Stage.DRAFT, Stage.APPROVE, Stage.ACT]))
def test_one_more_agreement_never_brings_a_stage_down(rated: list[Rating], stage: Stage) -> None:
    limit = Thresholds(last=5, keep=0.6)
    if not reason_to_fall(stage, rated, limit) and len(rated) >= 5:
        more = [*rated, Rating("r", "reply", "accept", "letters", "reply", stage, 0)]
        ordinary = [each for each in rated if not each.escalated and each.choice != "incident"]
        if len(ordinary) >= limit.last:
            assert not reason_to_fall(stage, more, limit)


def test_what_is_missing_is_named() -> None:
    evidence = Evidence(
        ratings=30, accepted=24, edited=3, distance=0.2, escalated=0, needed=0, incidents=1, first=0, last=0
    )
    assert short_of_rising(Stage.DRAFT, evidence, Thresholds()) == [
        "30 of 50 ratings",
        "agreement may be as low as 0.63, and 0.90 is asked for",
        "1 incident(s) since this stage began",
    ]


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [({"a": "x y"}, {"a": "x y"}, 0), ({"a": "one two"}, {"a": "three four"}, 2 / 3), ({}, {"a": "b"}, 1)],
)
def test_how_much_a_person_changed_is_a_share_of_the_words(
    before: dict[str, str], after: dict[str, str], share: float
) -> None:
    assert distance(before, after) == pytest.approx(share, abs=1e-4)


async def test_a_stage_rises_by_one_when_the_evidence_is_enough_and_a_person_says_so(office: Office) -> None:
    where = office.store.database
    with pytest.raises(NotEnoughEvidence, match="0 of 50 ratings"):
        await set_stage(where, REPLY, Stage.DRAFT, {}, "ines", "let us try")
    for number in range(60):
        now = await record(where, rating(f"r{number}", "accept", 0, Stage.RECOMMEND), REPLY)
        assert now.stage is Stage.RECOMMEND, "nothing rises by itself"
    with pytest.raises(NotEnoughEvidence, match="`act` is not the next stage"):
        await set_stage(where, REPLY, Stage.ACT, {}, "ines", "let us try")
    await set_stage(where, REPLY, Stage.DRAFT, {}, "ines", "sixty were right")
    now, evidence = await look(where, REPLY)
    assert (now.stage, now.person, now.reason) == (Stage.DRAFT, "ines", "sixty were right")
    assert evidence.ratings == 0, "the next stage is judged by what happens in it"


async def test_a_stage_falls_when_people_no_longer_agree(office: Office) -> None:
    since = (await office.put(Stage.APPROVE, last=4, keep=0.5)).since
    found = [
        (await record(office.store.database, rating(f"r{number}", choice, since, Stage.APPROVE), REPLY)).stage
        for number, choice in enumerate(["reject", "accept", "edit", "edit", "accept"])
    ]
    assert found == [Stage.APPROVE] * 3 + [Stage.DRAFT] * 2
    assert "agreed with 1 of the last 4" in (await office.standing()).reason


async def test_a_rating_is_kept_once_however_often_a_worker_comes_back(office: Office) -> None:
    for _ in range(3):
        await record(office.store.database, rating("r1", "edit", 0, Stage.RECOMMEND), REPLY)
    assert len(await office.ratings()) == 1


async def test_thresholds_change_without_evidence_being_lost(office: Office) -> None:
    await record(office.store.database, rating("r1", "accept", 0, Stage.RECOMMEND), REPLY)
    await set_stage(office.store.database, REPLY, None, {"ratings": "20"}, "ines", "we are few")
    now, evidence = await look(office.store.database, REPLY)
    assert (now.thresholds.ratings, now.number, evidence.ratings) == (20, 1, 1)
    for wrong in ({"keep": "2"}, {"luck": "1"}):
        with pytest.raises(BadThreshold, match=f"threshold `{next(iter(wrong))}`"):
            await set_stage(office.store.database, REPLY, None, dict(wrong), "ines", "a slip")


async def test_an_incident_takes_the_stage_of_what_acts_by_itself_and_the_next_of_the_same_batch_does_not(
    office: Office,
) -> None:
    await office.put(Stage.ACT)
    runs = [await office.begin() for _ in range(2)]
    known = Workflows([letters])
    first = await report(office.store.database, known, runs[0], "", "maya", "the wrong customer got it")
    assert (first.stage, first.person, first.reason) == (Stage.APPROVE, "remit", "1 incident(s)")
    second = await report(office.store.database, known, runs[1], "reply", "maya", "another one")
    assert second.stage is Stage.APPROVE, "one cause is not paid for twice"
    called = len(office.gateway.called)
    await office.begin()
    assert len(office.gateway.called) == called, "the next run asks before it acts"
    with pytest.raises(NoSuchAct, match="acted in reply"):
        await report(office.store.database, known, runs[0], "refund", "maya", "no")


async def test_a_late_incident_of_a_lower_stage_counts_for_the_present_one(office: Office) -> None:
    since = (await office.put(Stage.APPROVE)).since
    await office.put(Stage.ACT)
    now = await record(office.store.database, rating("r1", "incident", since, Stage.APPROVE), REPLY)
    assert now.stage is Stage.APPROVE


def test_the_commands_list_show_raise_with_a_reason_and_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMIT_HOME", str(tmp_path))

    def remit(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["stage", *arguments])
        return done.exit_code, done.output

    assert "triage  reply  draft (assisted)  0 ratings" in remit("list")[1]
    assert remit("set", "triage", "reply", "approve", "--reason", "why not")[0] == 1
    assert remit("set", "triage", "reply", "approve", "--anyway")[0] == 2, "no change without a reason"
    code, told = remit("set", "triage", "reply", "approve", "--anyway", "--reason", "tried by hand", "--as", "ines")
    assert (code, told) == (0, "triage reply: approve (assisted)\n")
    assert remit("set", "triage", "reply", "--reason", "few", "--threshold", "ratings=20")[0] == 0
    shown = remit("show", "triage", "reply")[1]
    assert "approve (assisted), few, by" in shown
    assert "  next stage  not yet: 0 of 20 ratings" in shown
    assert "acts in sort" in remit("show", "triage", "nothing")[1]
    assert CliRunner().invoke(app, ["runs", "report", "r1", "--incident", "x"]).exit_code == 1


async def test_what_is_shown_of_the_last_days_does_not_make_old_incidents_forgotten(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    act, database = Act("triage", "reply", Stage.DRAFT), office.store.database
    await set_stage(database, act, None, {"incidents": 2, "ratings": 1, "agreement": 0}, "ines", "few come in")
    await record(database, Rating("r1", "reply", "incident", "triage", "reply", Stage.DRAFT, 0), act)
    await database.run(lambda connection: connection.execute(update(ratings).values(at=0)))
    await record(database, Rating("r2", "reply", "accept", "triage", "reply", Stage.DRAFT, 0), act)
    monkeypatch.setenv("REMIT_DATABASE", database.engine.url.render_as_string(hide_password=False))
    shown = (
        await to_thread.run_sync(CliRunner().invoke, app, ["stage", "show", "triage", "reply", "--days", "1"])
    ).output
    assert "ratings     1, rated" in shown
    assert "incidents   0" in shown
    assert "next stage  not yet: 1 incident(s)" in shown


async def test_where_a_step_stands_before_anybody_changed_it_is_as_it_was_shipped(office: Office) -> None:
    act = Act("letters", "another", Stage.DRAFT)
    assert await office.store.database.run(lambda it: standing(it, act)) == Standing(Stage.DRAFT)
