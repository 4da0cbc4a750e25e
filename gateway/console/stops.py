"""What is stopped, and the switch: stopping and resuming what belongs to the person's own tenant."""

from starlette.exceptions import HTTPException
from starlette.responses import Response
from structlog import get_logger

from gateway.console.seeing import may_stop, may_view
from gateway.console.visit import Visit, back_to
from gateway.journal import JournalUnavailable
from gateway.policy.files.approvers import View
from gateway.stopping.book import NotStopped
from gateway.stopping.stop import BadStop, Target, What, lasting, named, reason

log = get_logger("remit.console")

_WHAT = tuple(what for what in What if what is not What.EVERYTHING)


async def show(visit: Visit) -> Response:
    """Show what is stopped in the tenant: to whoever may stop something, and to viewers of the journal."""
    if not may_stop(visit.policy, visit.person) and not may_view(visit.policy, visit.person, View.JOURNAL):
        raise HTTPException(404)
    return await _page(visit)


async def stop(visit: Visit) -> Response:
    """Stop something of the tenant."""
    _only_stoppers(visit)
    form, now, gateway = visit.form, visit.now, visit.console.gateway
    try:
        target = _target(visit)
        until = now + lasting(form["for"]) if form["for"].strip() else None
        made = await gateway.stops.book.stop(target, visit.session.person, reason(form["why"]), now, until)
    except BadStop as error:
        return await _page(visit, str(error), 422)
    except JournalUnavailable as error:
        return await _page(visit, str(error), 503)
    finally:
        await gateway.stops.read()
    log.info("console_stopped", stop=made.id, person=visit.session.person)
    return back_to("/stops")


async def resume(visit: Visit) -> Response:
    """Let go on what was stopped in the tenant."""
    _only_stoppers(visit)
    book, person = visit.console.gateway.stops.book, visit.session.person
    try:
        ended = await book.resume(visit.named, visit.person.tenant, person, reason(visit.form["why"]), visit.now)
    except BadStop as error:
        return await _page(visit, str(error), 422)
    except NotStopped:
        # It is over, or another tenant's: nobody is told which.
        raise HTTPException(404) from None
    await visit.console.gateway.stops.read()
    log.info("console_resumed", stop=ended.id, person=person)
    return back_to("/stops")


def _only_stoppers(visit: Visit) -> None:
    if not may_stop(visit.policy, visit.person):
        raise HTTPException(404)


def _target(visit: Visit) -> Target:
    what, name, tenant = visit.form["what"], visit.form["name"], visit.person.tenant
    if what not in _WHAT:
        raise BadStop("say what to stop: a run, an agent, a person, a tool, a token or the tenant")
    return named(What(what), tenant if what == What.TENANT else name, tenant)


async def _page(visit: Visit, problem: str = "", status: int = 200) -> Response:
    found = await visit.console.gateway.stops.book.in_force(visit.person.tenant, visit.now)
    return visit.page(
        "stops.html",
        status,
        shown=[(each, each.target.tenant == visit.person.tenant) for each in found],
        kinds=_WHAT,
        problem=problem,
        typed={each: visit.form.get(each, "") for each in ("what", "name", "why", "for")},
        tools=sorted(visit.console.gateway.catalog.tools),
    )
