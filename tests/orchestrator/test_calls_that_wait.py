"""Calls of triage that wait for a person: a real gateway asks, and triage that is run again goes on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo

from gateway.approvals import State
from gateway.tokens import Audience
from orchestrator.gateway_client import connect
from orchestrator.grants import Issuer
from orchestrator.promotion import Stage
from orchestrator.workflows.triage.report import ItemReport
from tests.console.conftest import ANA, MAYA, TRIAGE, OpenSite, Site, text_of
from tests.console.conftest import site as site  # noqa: PLC0414 - a fixture
from tests.console.test_question_page import add_ticket
from tests.console.test_together import send, states
from tests.orchestrator.fake_gateway import serving
from tests.orchestrator.triaging import Desk, Scripted, opened, replies, result

NOTES_WAIT = "p, A63, role:agent, ticket_add_note, , ask, a person reads notes\n"
LOOKS_WAIT = """\
p, A61, role:agent, crm_search_contacts, , ask, a person looks first
p, A62, role:agent, crm_get_orders, , ask, a person looks first
"""
LOOKS = ("crm_search_contacts", "crm_get_orders")


@asynccontextmanager
async def desk_at(there: Site, folder: Path, *lookups: str) -> AsyncIterator[Desk]:
    """A desk at a real gateway, with a model that looks things up in one turn and then replies."""

    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if lookups and not replies(messages):
            return ModelResponse(parts=[ToolCallPart(tool, {"limit": 1}) for tool in lookups])
        return result(info, evidence=[], intent="delivery", recommended_action="reply", reply="It ships today.")

    store = opened(folder)
    async with serving(there.app) as (address, _):
        url, token = f"{address}/mcp", there.token(TRIAGE, Audience.MCP)
        issuer = Issuer(url, there.token(TRIAGE, Audience.GRANTS))
        async with connect(url=url, token=token) as client:
            yield Desk(store, client, Scripted(respond), issuer)
    store.database.close()


async def once(desk: Desk) -> ItemReport:
    """What `remit run triage` reports of the one item."""
    (report,) = await desk.triage("")
    return report


async def waiting(there: Site) -> list[str]:
    pending = await there.gateway.approvals.open(there.clock(), "larkspur")
    return [each.question.id for each in reversed(pending)]


async def approve_all(there: Site) -> list[str]:
    """A person sits down once: opens the one item of the inbox, and approves what stands on its page."""
    names = await waiting(there)
    async with there.signed_in(MAYA) as maya:
        inbox = await maya.see("/")
        assert text_of(inbox).count("calls of one task") == 1
        page = await maya.see(f"/approvals/{names[0]}/together")
        assert "Approve all 2" in text_of(page)
        assert (await send(maya, page, names[0], "approve")).status_code == 303
    assert await states(there, *names) == [State.APPROVED] * 2
    return names


async def answer(there: Site, said: str) -> str:
    """A person answers the one question that waits."""
    (name,) = await waiting(there)
    async with there.signed_in(MAYA) as maya:
        assert (await maya.send(f"/approvals/{name}/answer", answer=said, note="as seen")).status_code == 303
    return name


def statuses(report: ItemReport) -> list[str]:
    return [call.status for call in report.calls]


async def test_what_one_turn_of_a_model_leaves_waiting_is_one_question_and_runs_once_it_is_answered(
    site: OpenSite, tmp_path: Path
) -> None:
    rules = tmp_path / "policies" / "rules.csv"
    rules.write_text(rules.read_text() + LOOKS_WAIT)
    async with site(allowed_hosts=["127.0.0.1:*"]) as there, desk_at(there, tmp_path, *LOOKS) as desk:
        await add_ticket(there, status="new")
        before = await once(desk)
        assert statuses(before) == ["ok", "pending_approval", "pending_approval"]
        assert "needs approval" in before.waiting
        names = await approve_all(there)
        after = await once(desk)
        assert after.run == before.run
        assert statuses(after) == ["ok", "ok", "ok", "pending_approval"], "now it waits to change the ticket"
        assert await states(there, *names) == [State.SETTLED] * 2


async def test_a_change_that_waits_for_a_person_is_made_once_they_approve_and_the_work_goes_on(
    site: OpenSite, tmp_path: Path
) -> None:
    async with site(allowed_hosts=["127.0.0.1:*"]) as there, desk_at(there, tmp_path) as desk:
        ticket = await add_ticket(there, status="new")
        before = await once(desk)
        assert (before.effect, statuses(before)) == ("proposed", ["ok", "pending_approval"])
        assert statuses(await once(desk)) == statuses(before), "asked again before the answer, it still waits"
        name = await answer(there, "approve")
        after = await once(desk)
        assert (after.run, after.effect, statuses(after)) == (before.run, "drafted", ["ok", "ok", "ok"])
        assert await states(there, name) == [State.SETTLED]
        seen = (await there.call(ANA, "ticket_get_ticket", ticket_id=ticket)).result
    assert seen is not None
    assert (seen.status, seen.tags) == ("open", ["delivery"])
    assert ["It ships today." in comment.body for comment in seen.comments] == [False, True]


async def test_a_change_that_a_person_refuses_is_not_made_and_the_rest_is(site: OpenSite, tmp_path: Path) -> None:
    async with site(allowed_hosts=["127.0.0.1:*"]) as there, desk_at(there, tmp_path) as desk:
        ticket = await add_ticket(there, status="new")
        await once(desk)
        await answer(there, "refuse")
        after = await once(desk)
        assert (after.effect, statuses(after)) == ("drafted", ["ok", "denied", "ok"])
        seen = (await there.call(ANA, "ticket_get_ticket", ticket_id=ticket)).result
    assert seen is not None
    assert (seen.status, seen.tags) == ("new", [])


async def test_a_reply_goes_out_after_both_the_run_and_the_gateway_have_asked(site: OpenSite, tmp_path: Path) -> None:
    async with site(allowed_hosts=["127.0.0.1:*"]) as there, desk_at(there, tmp_path) as desk:
        await desk.put_reply(Stage.APPROVE)
        ticket = await add_ticket(there, status="new")
        await once(desk)
        await answer(there, "approve")
        asked = await once(desk)
        assert "shall it be done?" in asked.waiting
        await desk.answer(asked, "edit", edited={"body": "It ships tomorrow."})
        assert "needs approval" in (await once(desk)).waiting
        await answer(there, "approve")
        done = await once(desk)
        assert (done.effect, done.waiting, statuses(done)) == ("replied", "", ["ok", "ok", "ok", "ok"])
        seen = (await there.call(ANA, "ticket_get_ticket", ticket_id=ticket)).result
    assert seen is not None
    assert [comment.body for comment in seen.comments if comment.kind == "public"][-1] == "It ships tomorrow."


async def test_an_escalation_that_waits_twice_is_done_once_both_are_answered(site: OpenSite, tmp_path: Path) -> None:
    rules = tmp_path / "policies" / "rules.csv"
    rules.write_text(rules.read_text() + NOTES_WAIT)

    def escalate(_messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return result(info, evidence=[], intent="other", recommended_action="escalate")

    async with site(allowed_hosts=["127.0.0.1:*"]) as there, desk_at(there, tmp_path) as desk:
        desk.models = Scripted(escalate)
        await add_ticket(there, status="new")
        runs, names = list[str](), list[str]()
        for _ in range(2):  # the ticket is sorted after one yes, and gets its note after another
            report = await once(desk)
            assert report.waiting.startswith("needs approval")
            runs.append(report.run)
            names.append(await answer(there, "approve"))
        last = await once(desk)
        assert [*runs, last.run] == [last.run] * 3
        assert (last.effect, last.waiting, statuses(last)) == ("escalated", "", ["ok", "ok", "ok"])
        assert await states(there, *names) == [State.SETTLED] * 2
