"""What a person says to a question: yes, no, yes to something else, a question back, or that a colleague answers."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from starlette.exceptions import HTTPException
from starlette.responses import Response
from structlog import get_logger

from connectors.contract import Tool
from gateway.approvals import Approval, NotAnswerable
from gateway.approvals.book import UnknownApproval
from gateway.approvals.standing import Terms
from gateway.catalog import InvalidArguments, validate
from gateway.console.fields import arguments_in, texts_in
from gateway.console.forms import Form
from gateway.console.questions import Checked, Typed, found, page
from gateway.console.visit import Visit, back_to
from gateway.effect_words import effect_sentence
from gateway.flow.arguments import changed_arguments, edited_flow

log = get_logger("remit.console")


class BadField(Exception):
    """A field of a form cannot be read; the message says which and what it should be."""


async def answer(visit: Visit) -> Response:
    """Take a yes, perhaps with further calls like it, or a no."""
    form, book = visit.form, visit.console.gateway.approvals
    if form["answer"] not in {"approve", "refuse"}:
        raise HTTPException(400)
    approve = form["answer"] == "approve"

    async def say(name: str) -> Approval:
        terms = _terms(form, visit.now) if approve else None
        return await book.answer(
            name, visit.person, visit.policy, approve, form["note"].strip(), visit.now, seen=form["seen"], terms=terms
        )

    return await _said(visit, "answer", say)


async def edit(visit: Visit) -> Response:
    """Take a yes to the call with other arguments."""
    form, book = visit.form, visit.console.gateway.approvals
    _, tool = await found(visit)
    arguments = arguments_in(tool, texts_in(tool, form))

    async def say(name: str) -> Approval:
        note = form["note"].strip()
        return await book.edit(name, visit.person, visit.policy, arguments, note, visit.now, seen=form["seen"])

    return await _said(visit, "edit", say)


async def check(visit: Visit) -> Response:
    """Say what would come of edited arguments, and record nothing."""
    approval, tool = await found(visit)
    texts = texts_in(tool, visit.form)
    typed = Typed(form="edit", values=visit.form, texts=texts)
    try:
        checked = await _checked(visit, approval, tool)
        typed = Typed(form="edit", values=visit.form, texts=texts, checked=checked)
    except InvalidArguments as error:
        typed = Typed(form="edit", values=visit.form, texts=texts, problems=error.problems)
    if "hx-request" in visit.request.headers:
        return visit.page("checked.html", typed=typed)
    return await page(visit, approval, tool, typed)


async def ask_back(visit: Visit) -> Response:
    """Ask the caller something first."""
    book = visit.console.gateway.approvals

    async def say(name: str) -> Approval:
        return await book.ask_back(name, visit.person, visit.policy, visit.form["text"].strip(), visit.now)

    return await _said(visit, "ask-back", say)


async def pass_on(visit: Visit) -> Response:
    """Let a colleague answer by this person's right."""
    book = visit.console.gateway.approvals

    async def say(name: str) -> Approval:
        to = visit.form["to"].strip().removeprefix("person:")
        return await book.delegate(name, visit.person, visit.policy, to, visit.now)

    return await _said(visit, "pass-on", say)


async def _said(visit: Visit, form: str, say: Callable[[str], Awaitable[Approval]]) -> Response:
    """Record what the person says; if it cannot be taken, show the question again with what they wrote."""
    approval, tool = await found(visit)
    name = approval.question.id
    try:
        await say(name)
    except UnknownApproval:
        raise HTTPException(404) from None
    except InvalidArguments as error:
        texts = texts_in(tool, visit.form)
        typed = Typed("some fields do not fit", form, visit.form, texts, error.problems, status=422)
    except BadField as error:
        typed = Typed(str(error), form, visit.form, status=422)
    except NotAnswerable as error:
        texts = texts_in(tool, visit.form) if form == "edit" else {}
        typed = Typed(str(error).removeprefix(f"{name}: "), form, visit.form, texts, status=409)
    else:
        log.info("console_answered", question=name, person=visit.session.person, form=form)
        return back_to(f"/approvals/{name}")
    fresh, tool = await found(visit)
    return await page(visit, fresh, tool, typed)


async def _checked(visit: Visit, approval: Approval, tool: Tool) -> Checked:
    gateway, question = visit.console.gateway, approval.question
    arguments = validate(tool, arguments_in(tool, texts_in(tool, visit.form)))
    looked_back_at = visit.policy.needs_history(tool.name)
    flow = edited_flow(question.flow, changed_arguments(question.arguments, arguments.model_dump(mode="json")))
    async with gateway.history.turn(question.principal, looked_back_at, visit.now) as earlier:
        decision = visit.policy.decide(question.principal, tool.name, arguments.model_dump(), visit.now, earlier, flow)
    return Checked(effect_sentence(tool, arguments.model_dump(mode="json")), decision)


def _terms(form: Form, now: datetime) -> Terms | None:
    """What the yes covers beyond the one call; None for nothing.

    Raises:
        BadField: If a number is none.
    """
    times = form["times"].strip() or "0"
    if not (times.isascii() and times.isdigit() and len(times) < 6):
        raise BadField("How many further calls? Write a whole number, or leave it empty.")
    if times == "0":
        return None
    hours = form["hours"].strip()
    if not (hours.isascii() and hours.isdigit() and 0 < len(hours) < 4):
        raise BadField("For how many hours? Write a whole number.")
    return Terms(int(times), now + timedelta(hours=int(hours)), form["run"] or None)
