"""Each item's run is narrowed before a model sees anything of it."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.gateway_client import GatewayError
from orchestrator.grants import Issuer, Task
from orchestrator.promotion import Stage
from orchestrator.workflows.triage.items import Item
from orchestrator.workflows.triage.task import triage_task
from tests.orchestrator.fake_gateway import FakeGateway, thread, ticket
from tests.orchestrator.triaging import MAILBOX, desk_over, triaged


async def test_each_item_has_a_grant_of_its_own_that_every_call_of_its_run_sends() -> None:
    gateway = FakeGateway(tickets=[ticket(1, "One", "refund"), ticket(2, "Two", "refund")])
    batch = await triaged(gateway, granted=True)
    sent = [(meta["remit/run"], meta.get("remit/grant")) for _, _, meta in gateway.calls]
    assert set(sent) == {
        (batch.run, None),  # what finds the items
        (f"{batch.run}.1", "granted-1"),
        (f"{batch.run}.2", "granted-2"),
    }
    assert [report.grant for report in batch.reports] == ["gra_1", "gra_2"]
    assert [report.effect for report in batch.reports] == ["drafted", "drafted"]


async def test_a_ticket_is_granted_its_own_record_and_what_triage_needs() -> None:
    gateway = FakeGateway(tickets=[ticket(1, "One", "refund")])
    await triaged(gateway, granted=True)
    [task] = gateway.granted
    assert "tic_0001" in task["request"]
    assert set(task["targets"]) == {"ticket_get_ticket", "ticket_update_ticket", "ticket_add_note"}
    assert {str(each) for each in task["targets"].values()} == {"{'ticket_id': ['tic_0001']}"}
    assert set(task["limits"]) == {"ticket_update_ticket", "ticket_add_note"}
    assert not [tool for tool in task["tools"] if "email" in tool or "refund" in tool]


async def test_a_conversation_is_granted_a_draft_in_its_mailbox_and_no_ticket() -> None:
    gateway = FakeGateway(threads=[thread(1, "Hi", "how do I calibrate it?")])
    await triaged(gateway, granted=True)
    [task] = gateway.granted
    assert task["targets"]["email_create_draft"] == {"mailbox": [MAILBOX]}
    assert task["targets"]["email_get_thread"] == {"mailbox": [MAILBOX], "thread_id": ["thr_0001"]}
    assert not {"ticket_update_ticket", "ticket_add_note", "email_send_message"} & set(task["tools"])


@pytest.mark.parametrize(("kind", "tool"), [("ticket", "ticket_add_reply"), ("email", "email_reply_message")])
def test_a_reply_is_granted_only_where_its_stage_lets_it_go_out(kind: Any, tool: str) -> None:
    item = Item(kind=kind, id="x_1", mailbox=MAILBOX if kind == "email" else "")
    assert tool not in triage_task(item).tools
    task = triage_task(item, replies=True)
    assert tool in task.tools
    assert task.targets[tool]


@pytest.mark.parametrize("stage", list(Stage))
async def test_what_an_item_is_granted_follows_from_the_stage_that_holds(tmp_path: Path, stage: Stage) -> None:
    gateway = FakeGateway(tickets=[ticket(1, "One", "refund")], threads=[thread(1, "Hi", "how do I calibrate it?")])
    async with desk_over(gateway, tmp_path, granted=True) as desk:
        await desk.put_reply(stage)
        await desk.triage()
    granted = {tool for task in gateway.granted for tool in task["tools"]} & {"ticket_add_reply", "email_reply_message"}
    assert len(granted) == (2 if stage in (Stage.APPROVE, Stage.ACT) else 0)


async def test_without_a_right_to_grants_triage_works() -> None:
    gateway = FakeGateway(tickets=[ticket(1, "One", "refund")])
    await triaged(gateway)
    assert gateway.granted == []
    assert not any("remit/grant" in meta for _, _, meta in gateway.calls)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((403, {"error": {"kind": "not_allowed", "message": "the token does not issue grants"}}), "does not issue"),
        ((404, "Not Found"), "does not answer as Remit does"),
        ((201, {"id": "gra_1"}), "does not answer as Remit does"),
        ((500, []), "does not answer as Remit does"),
    ],
)
async def test_without_its_grant_an_item_is_not_begun(answer: tuple[int, Any], told: str) -> None:
    gateway = FakeGateway(tickets=[ticket(1, "One", "refund")], grant_answer=answer)
    [report] = (await triaged(gateway, granted=True)).reports
    assert report.effect == "failed"
    assert told in report.stopped
    assert {tool for tool, _, _ in gateway.calls} == {"ticket_search_tickets", "email_search_messages"}


async def test_a_gateway_that_is_not_there_is_said_and_no_token_is_shown() -> None:
    with pytest.raises(GatewayError, match="is the gateway running") as failed:
        await Issuer("http://127.0.0.1:9/mcp", "remit_secret").grant(Task("x", ()))
    assert "remit_secret" not in str(failed.value)
    assert "remit_secret" not in repr(Issuer("http://127.0.0.1:9/mcp", "remit_secret"))
