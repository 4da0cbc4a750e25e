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
            page = await maya.see(f"/approvals/{name}/together")
            assert (await send(maya, page, name, "approve")).status_code == 303
    assert await states(opened_site, *names) == [State.APPROVED] * len(names)
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
            batches, names = list[Batch](), list[str]()
            for _ in range(3):  # the ticket is sorted after one yes, and gets its note after another
                batches.append(Batch(store, client, Surroundings(Scripted(respond), issuer, hears=True)))
                await batches[-1].begin("", 10, Limits())
                await batches[-1].work_on(Watcher())
                names += await approve(opened_site)
        store.database.close()
        first, second, last = [report for batch in batches for report in batch.reports]
        assert first.run == second.run == last.run
        assert [each.waiting.partition(":")[0] for each in (first, second, last)] == ["needs approval"] * 2 + [""]
        assert [each.calls[-1].status for each in (first, second, last)] == ["pending_approval"] * 2 + ["ok"]
        assert last.effect == "escalated"
        assert await states(opened_site, *names) == [State.SETTLED] * 2
