"""`remit ask`: an answer names the document and the words that it rests on, or says plainly that there is none."""

import json
from pathlib import Path

import pytest

from orchestrator.models.registry import Registry
from orchestrator.workflows.ask import NOTHING, stand_in
from orchestrator.workflows.ask.stand_in import _claims
from tests.orchestrator.fake_gateway import DENIED, FakeGateway, ok, over_http
from tests.orchestrator.test_runs_commands import Desk

SCORED = {
    "document_id": "doc_0001",
    "title": "Refund rules",
    "text": "We like refunds. A refund is paid within ten working days.",
    "score": 0.8,
    "origin": "official",
    "updated_at": "2026-03-02T09:00:00Z",
}


def library(score: float = 0.8) -> FakeGateway:
    found = ok({"passages": [{**SCORED, "score": score}], "next_cursor": ""}, ["passages[].text"])
    return FakeGateway(answers={"knowledge_search_documents": found})


async def test_an_answer_is_a_sentence_of_a_document_with_the_quote(tmp_path: Path) -> None:
    gateway = library()
    async with over_http(gateway) as (url, _):
        done = await Desk(tmp_path, url)("ask", "When is a refund paid?")
    assert done.exit_code == 0, done.output
    assert "A refund is paid within ten working days. [1]" in done.stdout
    assert "[1] Refund rules (doc_0001): “A refund is paid within ten working days.”" in done.stdout
    assert gateway.called("knowledge_search_documents") == [{"query": "When is a refund paid?", "limit": 20}]


async def test_connections_to_models_end_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Registry] = []

    async def aclose(registry: Registry) -> None:
        closed.append(registry)

    monkeypatch.setattr(Registry, "aclose", aclose)
    async with over_http(library()) as (url, _):
        await Desk(tmp_path, url)("ask", "When is a refund paid?")
    assert len(closed) == 1


@pytest.mark.parametrize("gateway", [library(score=0.05), FakeGateway(answers={"knowledge_search_documents": DENIED})])
async def test_where_nothing_good_is_found_that_is_said_and_no_model_asked(
    tmp_path: Path, gateway: FakeGateway
) -> None:
    async with over_http(gateway) as (url, _):
        done = await Desk(tmp_path, url)("ask", "When is a refund paid?", "--json")
        told = json.loads(done.stdout)
        shown = await Desk(tmp_path, url)("runs", "show", told["run"])
    assert (told["answer"], told["citations"], told["found"]) == (NOTHING, [], False)
    assert "answer.model1" not in shown.output


async def test_the_persons_own_words_make_the_grant_and_only_the_search_is_granted(tmp_path: Path) -> None:
    gateway = library()
    async with over_http(gateway) as (url, _):
        desk = Desk(tmp_path, url, grants=True)
        assert (await desk("ask", "When is a refund paid?", "--origin", "official")).exit_code == 0
    [granted] = gateway.granted
    assert granted["request"] == "When is a refund paid?"
    assert granted["tools"] == ["knowledge_search_documents"]
    assert gateway.called("knowledge_search_documents")[0]["origin"] == "official"


async def test_claims_that_no_passage_bears_out_are_sent_back_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = {"text": "A refund is paid at once.", "document_id": "doc_0001", "quote": "paid within one day"}
    claims = iter([[made_up]])
    monkeypatch.setattr(stand_in, "_claims", lambda data: next(claims, _claims(data)))
    async with over_http(library()) as (url, _):
        told = json.loads((await Desk(tmp_path, url)("ask", "When is a refund paid?", "--json")).stdout)
        shown = json.loads((await Desk(tmp_path, url)("runs", "show", told["run"], "--json")).stdout)
    assert told["answer"] == "A refund is paid within ten working days."
    [facts] = [step["facts"] for step in shown["steps"] if step["name"] == "reply"]
    assert (facts["claims"], facts["unsupported"]) == (2, 1)


async def test_whoever_asks_without_a_gateway_is_told_so_at_once(tmp_path: Path) -> None:
    done = await Desk(tmp_path, "http://127.0.0.1:1/mcp")("ask", "When is a refund paid?")
    assert done.exit_code == 1
    assert "no answer from the gateway at `http://127.0.0.1:1/mcp`" in done.stderr.splitlines()[-1]


def test_the_stand_in_quotes_nothing_that_has_no_word_of_the_question() -> None:
    assert _claims({"question": "Who is Lena?", "passages": [SCORED]}) == []
