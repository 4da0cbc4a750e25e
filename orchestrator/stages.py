"""Acting by stages: what a step may do by itself is a row in the database, and what people made of it is recorded.

At `recommend` it does nothing and a person says what they did themselves; at `draft` it leaves a draft and a person
says what became of it; at `approve` it does what a person accepted or edited; at `act` it does it. In each of them the
gateway's policy disposes of the call.
"""

import difflib
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import anyio.to_thread

from orchestrator.gateway_client import Denied, Ok
from orchestrator.promotion import Act, NoSuchAct, Rating, Stage, record, standing
from orchestrator.work import Said, Settled, Work

PATIENCE_SECONDS = 7 * 86_400.0

_QUESTIONS = {
    Stage.RECOMMEND: "what did you do yourself? accept: the same; edit: otherwise; reject: not that",
    Stage.DRAFT: "what became of the draft? accept: used as it is; edit: used otherwise; reject: not used",
    Stage.APPROVE: "shall it be done? accept; edit: do it otherwise; reject",
}


@dataclass(frozen=True, slots=True)
class Acted:
    """What came of an act.

    Args:
        outcome: Of the call, or of the draft at `draft`; None if there was none.
        stage: In which it was done.
        choice: What a person said: `accept`, `edit`, `reject`, `needless`; empty if nobody was asked or answered.
        arguments: Those that hold in the end.
    """

    outcome: Settled | None
    stage: Stage
    choice: str
    arguments: Mapping[str, Any]


async def act(
    work: Work,
    step: str,
    tool: str,
    arguments: Mapping[str, Any],
    *,
    draft: tuple[str, Mapping[str, Any]] | None = None,
    said: Said | None = None,
    exception: str = "",
    name: str = "",
    seconds: float = PATIENCE_SECONDS,
) -> Acted:
    """Do something as far as the step's stage goes.

    Args:
        work: The run's hands.
        step: One of the steps in the workflow's `acts`.
        tool: The tool that does it.
        arguments: Its arguments.
        draft: What prepares it at `draft`: a tool and its arguments. Without one that stage only recommends.
        said: What to state about the call.
        exception: Why this case is a person's whatever the stage; empty if it is not.
        name: What the run calls this act, if the step acts several times; else the step's name.
        seconds: How long a person has to answer. At `approve` nothing is done if nobody does.

    Raises:
        NoSuchAct: If the workflow does not declare the step.
        TryLater: If the gateway or the system behind it does not answer.
    """
    if step not in work.workflow.acts:
        raise NoSuchAct(f"workflow `{work.workflow.name}` has no step `{step}` in its `acts`")
    name, said = name or step, said or Said()
    stage, since = await _holding(work, step, name, lambda it: {"act": step, "stage": it[0], "since": it[1]})
    rating = Rating(work.run.id, name, "", work.workflow.name, step, stage, since, bool(exception))
    if stage is Stage.ACT and not exception:
        outcome = await work.call(f"{name}.call", tool, arguments, said)
        choice = await _stopped(work, rating, outcome)
        return Acted(outcome, stage, choice, arguments)
    drafted = await work.call(f"{name}.draft", *draft, said) if stage is Stage.DRAFT and draft else None
    if drafted and not isinstance(drafted, Ok):
        return Acted(drafted, stage, "", arguments)
    proposal = {"tool": tool, "arguments": dict(arguments), "case": dict(said.case or {}), "exception": exception}
    answer = await _asked(work, name, stage, proposal, seconds)
    choice, final = _chosen(answer, arguments)
    if choice:
        await _rate(work, replace(rating, choice=choice), answer, arguments, final)
    if stage.place < Stage.APPROVE.place or choice in ("", "reject"):
        return Acted(drafted, stage, choice, final)
    return Acted(await work.call(f"{name}.call", tool, final, said), stage, choice, final)


async def stage_of(work: Work, step: str) -> Stage:
    """The stage that a step is in when the run begins: what it may come to do is granted with the rest.

    Raises:
        KeyError: If the workflow does not declare the step.
    """
    stage, _ = await _holding(work, step, f"{step}.begun")
    return stage


async def _holding(
    work: Work, step: str, name: str, facts: Callable[[tuple[Stage, int]], dict[str, Any]] | None = None
) -> tuple[Stage, int]:
    """The stage that holds when the run comes here, and since which change it does: both stay for this act."""

    async def read() -> tuple[Stage, int]:
        wanted = _act(work, step)
        now = await work.run.store.database.run(lambda connection: standing(connection, wanted))
        return now.stage, now.since

    return await work.step(f"{name}.stage", read, tuple[Stage, int], facts=facts)


def _act(work: Work, step: str) -> Act:
    return Act(work.workflow.name, step, Stage(work.workflow.acts[step]))


async def _asked(work: Work, name: str, stage: Stage, proposal: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Ask a person until they answer something that can be done, or the time is over."""
    facts = {"tool": proposal["tool"], "stage": stage, "escalated": bool(proposal["exception"])}
    await work.note(f"{name}.proposal", proposal, given=proposal, facts=facts)
    choices = ["accept", "edit", "reject", *(["needless"] if proposal["exception"] else [])]
    # What is proposed may hold customers' data: the question names it, and the run's steps have it.
    asks = f"`{proposal['tool']}` as step `{name}.proposal` has it: {_QUESTIONS.get(stage, _QUESTIONS[Stage.APPROVE])}"
    if proposal["exception"]:
        asks += "; needless: accept, and nobody need have been asked"
    for number in itertools.count(1):
        answer = await work.ask(name if number == 1 else f"{name}.again{number}", asks, choices, seconds)
        if not answer["choice"] or not (wrong := _wrong(answer, choices)):
            return answer
        asks = f"{wrong}; {asks}" if number == 1 else asks
    raise AssertionError("counting does not end")


def _wrong(answer: dict[str, Any], choices: list[str]) -> str:
    if answer["choice"] not in choices:
        return f"the answer is one of {', '.join(choices)}"
    if answer["choice"] == "edit" and not isinstance(answer.get("edited"), dict):
        return "an edit names the arguments that change, as an object"
    return ""


def _chosen(answer: dict[str, Any], arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What a person chose and the arguments after it; an edit that changes nothing accepts."""
    final = {**arguments, **answer["edited"]} if answer["choice"] == "edit" else dict(arguments)
    return "accept" if answer["choice"] == "edit" and final == arguments else answer["choice"], final


async def _stopped(work: Work, rating: Rating, outcome: Settled) -> str:
    """At `act` nobody is asked here, but the gateway may have asked somebody: what they refused was stopped."""
    asked = work.run.done.get(f"{rating.name}.call.asked")
    if not (asked and isinstance(outcome, Denied) and f" refused {asked.facts['approval']}" in outcome.reason):
        return ""
    await _rate(work, replace(rating, choice="reject"), {"by": "an approver of the gateway"})
    return "reject"


async def _rate(
    work: Work,
    rating: Rating,
    answer: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    async def kept() -> float:
        changed = await anyio.to_thread.run_sync(distance, before or {}, after or {})
        person, note = str(answer.get("by", ""))[:200], str(answer.get("note", ""))
        whole = replace(rating, distance=changed, person=person, note=note)
        await record(work.run.store.database, whole, _act(work, rating.step))
        return changed

    facts = {"choice": rating.choice}
    await work.step(f"{rating.name}.rated", kept, float, kind="person", facts=lambda it: facts | {"distance": it})


def distance(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """Which share of the words in some arguments a person changed: 0 none of them, 1 all."""
    first, second = (json.dumps(each, sort_keys=True, ensure_ascii=False).split() for each in (before, after))
    return round(1 - difflib.SequenceMatcher(None, first, second, autojunk=False).ratio(), 4)
