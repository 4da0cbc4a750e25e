"""What waits in one task, on one page: each call whole, and one form that answers as many as the person wants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import anyio
from starlette.exceptions import HTTPException
from starlette.responses import Response
from structlog import get_logger

from connectors.contract import Sink
from gateway.approvals import Approval, State
from gateway.approvals.answering import MAX_TEXT, obstacle
from gateway.approvals.together import MOST, Said, Taken, answer_together, same_task
from gateway.console.forms import Form
from gateway.console.questions import earlier_of, found
from gateway.console.seeing import may_see_question
from gateway.console.shown import Shown, shown
from gateway.console.targets import targets_of
from gateway.console.visit import Visit, back_to, is_id
from gateway.flow.telling import is_vouched
from gateway.journal import JournalUnavailable

log = get_logger("remit.console")

_SEEN, _ANSWER = "seen.", "answer."
_WORDS = {"approve": "Approve", "refuse": "Refuse"}


@dataclass(frozen=True)
class Sent:
    """What a person sent with the page's form and how it was received; of a first look nothing.

    Args:
        problem: Why none of it was taken, in a sentence.
        taken: What became of each answer.
        choices: What was chosen for each question, where it is to be kept.
        note: What was noted.
        status: The HTTP status.
    """

    problem: str = ""
    taken: Sequence[Taken] = ()
    choices: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    status: int = 200


class BadChoice(Exception):
    """What was chosen contradicts itself; the message says what to do."""


async def show(visit: Visit) -> Response:
    """Show what waits for this person in the task of a question."""
    approval, _ = await found(visit)
    return await _page(visit, approval, Sent())


async def answer(visit: Visit) -> Response:
    """Take answers to what the page showed, and to nothing that has joined since."""
    approval, _ = await found(visit)
    choices, note = _choices(visit.form), visit.form["note"].strip()
    try:
        said = _said(visit.form, choices)
    except BadChoice as error:
        return await _page(visit, approval, Sent(str(error), choices=choices, note=note, status=422))
    taken = await _taken(visit, approval, said, note)
    open_still = [each for each in taken if each.problem]
    log.info("console_answered_together", person=visit.session.person, taken=len(taken) - len(open_still))
    if not open_still:
        return back_to(f"/approvals/{approval.question.id}/together")
    try:
        return await _page(visit, approval, Sent(taken=taken, note=note, status=409))
    except JournalUnavailable:
        told = f"The journal cannot be used at the moment. {_told(taken)}"
        return visit.page("error.html", 503, told=told)


def _choices(form: Form) -> dict[str, str]:
    """What was chosen for each question that the form shows, by its id: `approve`, `refuse` or nothing.

    Raises:
        HTTPException: With 400 if the page cannot have sent this.
    """
    names = [name.removeprefix(_SEEN) for name in form if name.startswith(_SEEN)]
    choices = {name: form[_ANSWER + name] for name in names}
    if not 0 < len(names) <= MOST or not all(map(is_id, names)) or set(choices.values()) - {"", *_WORDS}:
        raise HTTPException(400)
    return choices


def _said(form: Form, choices: Mapping[str, str]) -> list[Said]:
    """The answers that the form gives: to all, or to each what was chosen for it.

    Raises:
        BadChoice: If nothing was chosen, or something else than is said to all.
        HTTPException: With 400 if the page cannot have sent this.
    """
    to_all = form["answer"]
    if to_all == "each":
        if not any(choices.values()):
            raise BadChoice("Nothing was chosen, so nothing was answered.")
        given = {name: chosen for name, chosen in choices.items() if chosen}
    elif to_all in _WORDS:
        if others := set(choices.values()) - {"", to_all}:
            [other] = others
            raise BadChoice(
                f"Nothing was answered: you chose {_WORDS[other]} for some and then {_WORDS[to_all]} for all. "
                "Use “Answer as chosen”, or leave the others open first."
            )
        given = dict.fromkeys(choices, to_all)
    else:
        raise HTTPException(400)
    return [Said(name, chosen == "approve", form[_SEEN + name]) for name, chosen in given.items()]


async def _taken(visit: Visit, approval: Approval, said: Sequence[Said], note: str) -> list[Taken]:
    book = visit.console.gateway.approvals
    known = [each for one in said if (each := await book.find(visit.person.tenant, one.id)) and _may_see(visit, each)]
    here = {each.question.id for each in same_task(approval, known)}
    answers = [each for each in said if each.id in here]
    taken = await answer_together(book, answers, visit.person, visit.policy, note, visit.now)
    return [*taken, *(Taken(each, "there is no such call in this task") for each in said if each.id not in here)]


def _may_see(visit: Visit, approval: Approval) -> bool:
    return may_see_question(visit.policy, visit.person, approval)


async def _page(visit: Visit, approval: Approval, sent: Sent) -> Response:
    waiting = await _waiting(visit, approval)
    pages = max(1, -(-len(waiting) // MOST))
    number = min(_page_number(visit), pages)
    calls = await _shown(visit, waiting[(number - 1) * MOST : number * MOST])
    targets = targets_of(calls)
    kinds = [each.kind for each in targets]
    return visit.page(
        "together.html",
        sent.status,
        sent=sent,
        told=_told(sent.taken) if sent.taken else "",
        problems=[each for each in sent.taken if each.problem],
        approval=approval,
        calls=calls,
        waiting=len(waiting),
        number=number,
        pages=pages,
        first=(number - 1) * MOST,
        targets=targets,
        differing={kind: kinds.count(kind) for kind in kinds if kinds.count(kind) > 1},
        granted=calls[0].declared.granted if calls else (),
        done=await _done(visit, approval),
        earlier=await earlier_of(visit, max(waiting, key=lambda each: each.question.asked_at, default=approval)),
        longest=MAX_TEXT,
    )


def _told(taken: Sequence[Taken]) -> str:
    open_still = sum(bool(each.problem) for each in taken)
    return f"{len(taken) - open_still} of {len(taken)} answers were taken; {open_still} not."


def _page_number(visit: Visit) -> int:
    given = visit.request.query_params.get("page", "1")
    return max(1, int(given)) if given.isascii() and given.isdigit() and len(given) < 6 else 1


async def _waiting(visit: Visit, approval: Approval) -> list[Approval]:
    """What this person can answer: first what most is not vouched for in, so that no number of others buries it."""
    tools = visit.console.gateway.catalog.tools
    pending = await visit.console.gateway.approvals.open(visit.now, visit.person.tenant)
    mine = [
        each
        for each in same_task(approval, pending)
        if each.question.tool in tools and not obstacle(each, visit.person, visit.policy, visit.now)
    ]
    return sorted(mine, key=lambda each: -_unvouched(visit, each))


def _unvouched(visit: Visit, approval: Approval) -> int:
    """With how many of the arguments that leave with the call nobody stands behind the value."""
    sinks = visit.console.gateway.catalog.tools[approval.question.tool].sinks
    out = {path.removesuffix("[]") for path, sink in sinks.items() if sink is not Sink.CONTENT}
    return sum(not is_vouched(origin) for name, origin in approval.question.flow.origins.items() if name in out)


async def _shown(visit: Visit, waiting: Sequence[Approval]) -> list[Shown]:
    """The calls of one page, put together at the same time: each may wait for a back end."""
    tools, failures = visit.console.gateway.catalog.tools, list[JournalUnavailable]()
    ready: dict[str, Shown] = {}

    async def put_together(approval: Approval) -> None:
        try:
            ready[approval.question.id] = await shown(visit, approval, tools[approval.question.tool])
        except JournalUnavailable as error:
            failures.append(error)

    async with anyio.create_task_group() as tasks:
        for approval in waiting:
            tasks.start_soon(put_together, approval)
    if failures:
        raise failures[0]
    return [ready[each.question.id] for each in waiting]


async def _done(visit: Visit, approval: Approval) -> list[Approval]:
    """What else of the task was decided lately, newest first."""
    recent = await visit.console.gateway.approvals.recent(visit.person.tenant, visit.now)
    decided = [each for each in same_task(approval, recent) if each.state(visit.now) is not State.PENDING]
    return [each for each in reversed(decided) if _may_see(visit, each)]
