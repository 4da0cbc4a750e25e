"""Whatever outsiders wrote reaches a workflow's models between marks only, also what was made of it on the way."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import UserPromptPart

from connectors.records import ContactRecord
from orchestrator.models.asking import Answered, Ask
from orchestrator.workflows.ask import stand_in
from tests.orchestrator.company import DAY, SALES, TIMES, TOM, Company, document, mail, open_company, order, ticket
from tests.orchestrator.fake_gateway import over_http
from tests.orchestrator.test_account_summary import document_id
from tests.orchestrator.test_ask import library
from tests.orchestrator.test_runs_commands import Desk

BETWEEN_MARKS = re.compile(r"<outside-([0-9a-f]{12})>.*?</outside-\1>", re.DOTALL)
ZED = ContactRecord(source_id="zed", name="Zebra Zed", email="zed@vogt.example", account="vogt", **TIMES)
TEXT = "My zebra is broken. Please refund LI-20777, or send us a quotation for another zebra."


def listened_to(company: Company) -> list[str]:
    """What the models are asked from here on."""
    told, answer = list[str](), company.models.ask

    async def ask(ask: Ask) -> Answered:
        parts = [part for message in ask.messages for part in message.parts]
        told.extend(str(part.content) for part in parts if isinstance(part, UserPromptPart))
        return await answer(ask)

    company.models.ask = ask  # type: ignore[method-assign] # listens
    return told


async def begun(company: Company, workflow: str) -> None:
    old = {"placed_at": DAY - timedelta(days=99), "delivered_at": DAY - timedelta(days=90)}
    await company.load("crm", ZED, order("LI-20777", "vogt", "zed", **old))
    if workflow == "account_summary":
        await company.load("knowledge", document("Deal 1", "One zebra is left."), document("Deal 2", "A zebra went."))
        found = await company.see("crm_search_accounts", TOM, query="Vogt")
        old_one, new_one = [await document_id(company, title) for title in ("Deal 1", "Deal 2")]
        await company.begin(workflow, account_id=found["accounts"][0]["id"], old_document=old_one, new_document=new_one)
    elif workflow == "sales_lead":
        await company.load("email", mail("A zebra", TEXT, "Zebra Zed <zed@vogt.example>", SALES))
        found = await company.see("email_search_messages", TOM, mailbox=SALES)
        await company.begin(workflow, mailbox=SALES, thread_id=found["messages"][0]["thread_id"])
    else:
        await company.load("ticket", ticket("A zebra", TEXT, "zed@vogt.example"))
        await company.begin(workflow, ticket_id=(await company.ticket("A zebra"))["id"])


@pytest.mark.parametrize(
    ("workflow", "agent", "prompts"),
    [
        ("refund_request", "triage", 2),
        ("complaint", "triage", 3),
        ("sales_lead", "sales", 2),
        ("account_summary", "sales", 1),
    ],
)
async def test_no_model_is_told_an_outsiders_words_outside_of_marks(
    tmp_path: Path, workflow: str, agent: str, prompts: int
) -> None:
    async with open_company(tmp_path, agent) as company:
        told = listened_to(company)
        await begun(company, workflow)
    assert len(told) == prompts
    assert all("zebra" in each.lower() for each in told)
    assert [each for each in told if "zebra" in BETWEEN_MARKS.sub("", each).lower()] == []


async def test_an_earlier_answer_that_was_made_of_documents_is_between_marks_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, respond = list[str](), stand_in.respond

    def listens(*asked: Any) -> Any:
        told.append(str(asked[1]))
        return respond(*asked)

    monkeypatch.setattr(stand_in, "respond", listens)
    earlier = [{"question": "Who is asked?", "answer": "The zebra says so."}]
    given = json.dumps({"question": "When is a refund paid?", "earlier": earlier})
    async with over_http(library()) as (url, _):
        done = await Desk(tmp_path, url)("run", "ask", "--input", given, "--wait", "60")
    assert done.exit_code == 0, done.output
    assert "zebra" in told[0]
    assert "zebra" not in BETWEEN_MARKS.sub("", told[0])
