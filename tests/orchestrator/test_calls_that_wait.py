"""A run whose call waits for a person: a real gateway asks, and the run goes on after the answer."""

from pathlib import Path

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo

from gateway.approvals import State
from gateway.tokens import Audience
from orchestrator.gateway_client import connect
from orchestrator.grants import Issuer
from orchestrator.work import Surroundings
from orchestrator.workflows.triage.batch import Batch, Limits
from tests.console.conftest import MAYA, TRIAGE, OpenSite, Site
from tests.console.conftest import site as site  # noqa: PLC0414 - a fixture
from tests.console.test_question_page import add_ticket
from tests.console.test_together import send, states
from tests.orchestrator.fake_gateway import serving
from tests.orchestrator.triaging import Scripted, Watcher, opened, result

NOTES_WAIT = "p, A61, role:agent, ticket_add_note, , ask, a person reads notes\n"


async def approve(opened_site: Site) -> list[str]:
    """A person sits down: opens what waits and says yes."""
    names = [each.question.id for each in await opened_site.gateway.approvals.open(opened_site.clock(), "larkspur")]
    async with opened_site.signed_in(MAYA) as maya:
        for name in names:
            page = await maya.see(f"/approvals/{name}")
            assert (await send(maya, page, name, "approve")).status_code == 303
    assert set(await states(opened_site, *names)) == {State.APPROVED}
    return names


async def test_what_a_run_leaves_waiting_is_asked_and_goes_on_once_it_is_answered(
    site: OpenSite, tmp_path: Path
) -> None:
    rules = tmp_path / "policies" / "rules.csv"
    rules.write_text(rules.read_text() + NOTES_WAIT)

    def respond(_messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        quote = {"record_id": ticket, "quote": "Where is it?"}
        return result(info, evidence=[quote], intent="other", recommended_action="escalate")

    async with site(allowed_hosts=["127.0.0.1:*"]) as opened_site, serving(opened_site.app) as (address, _):
        ticket = await add_ticket(opened_site, status="new")
        url, token = f"{address}/mcp", opened_site.token(TRIAGE, Audience.MCP)
        issuer = Issuer(url, opened_site.token(TRIAGE, Audience.GRANTS))
        store = opened(tmp_path)
        async with connect(url=url, token=token) as client:
            first = Batch(store, client, Surroundings(Scripted(respond), issuer, hears=True))
            await first.begin("", 10, Limits())
            await first.work_on(Watcher())
            names = await approve(opened_site)
            second = Batch(store, client, Surroundings(Scripted(respond), issuer, hears=True))
            await second.begin("", 10, Limits())
            await second.work_on(Watcher())
        store.database.close()
        [before], [after] = first.reports, second.reports
        assert before.waiting.startswith("needs approval")
        assert before.calls[-1].status == "pending_approval"
        assert (after.run, after.effect, after.waiting) == (before.run, "escalated", "")
        assert {call.status for call in after.calls} == {"ok"}
        assert await states(opened_site, *names) == [State.SETTLED]
