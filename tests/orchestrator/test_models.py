import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from orchestrator.models.choosing import choose_model, register_of
from orchestrator.workflows.triage.batch import Batch, Limits
from tests.orchestrator.fake_gateway import FakeGateway, serving, ticket
from tests.orchestrator.triaging import triaged

TICKET = ticket(1, "Refund for LI-20417", "We want our money back, please.")
RESULT = {
    "intent": "refund",
    "confidence": 0.9,
    "customer_id": "con_0001",
    "evidence": [{"record_id": "tic_0001", "quote": "we want our money back"}],
    "recommended_action": "refund",
    "risk": "medium",
    "next_step": "Check the order.",
}


@pytest.mark.parametrize(
    ("name", "environment", "label"),
    [
        ("", {}, "stand-in"),
        ("stand-in", {"OPENAI_API_KEY": "k"}, "stand-in"),
        ("gpt-x", {"OPENAI_API_KEY": "k"}, "openai:gpt-x"),
        ("openai:gpt-x", {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, "openai:gpt-x"),
        ("llama3.3:70b", {"OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"}, "openai:llama3.3:70b"),
        ("claude-x", {"ANTHROPIC_API_KEY": "k"}, "anthropic:claude-x"),
        ("anthropic:claude-x", {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, "anthropic:claude-x"),
    ],
)
def test_the_model_follows_from_its_name_and_the_keys(name: str, environment: dict[str, str], label: str) -> None:
    assert choose_model(name, environment).label == label


def test_each_key_alone_is_enough() -> None:
    assert choose_model("", {"OPENAI_API_KEY": "k"}).label.startswith("openai:")
    assert choose_model("", {"ANTHROPIC_API_KEY": "k"}).label.startswith("anthropic:")
    [model] = register_of("", {"ANTHROPIC_API_KEY": "k"}).models.values()
    assert (model.provider, model.key) == ("anthropic", "ANTHROPIC_API_KEY")


@pytest.mark.parametrize("name", ["gpt-x", "openai:gpt-x", "anthropic:claude-x"])
def test_a_model_without_its_key_is_an_error_that_names_the_variable(name: str) -> None:
    with pytest.raises(ValueError, match=r"needs \w+_API_KEY"):
        choose_model(name, {})


def test_the_screen_says_when_no_model_decides() -> None:
    assert "rule-based stand-in" in choose_model("", {}).note
    assert "openai:gpt-x" in choose_model("gpt-x", {"OPENAI_API_KEY": "k"}).note


BOUNDS = Limits()
Reply = Callable[[dict[str, Any]], Response]


def calls(*wanted: tuple[str, str], **changes: Any) -> Response:
    """A chat completion that asks for tool calls; arguments are given as raw text."""
    asked = [
        {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for number, (name, arguments) in enumerate(wanted)
    ]
    return JSONResponse(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "local",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "tool_calls",
                    "message": {"role": "assistant", "content": None, "tool_calls": asked},
                }
            ],
            "usage": {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1000},
            **changes,
        }
    )


@asynccontextmanager
async def model_server(reply: Reply, requests: list[dict[str, Any]]) -> AsyncIterator[str]:
    async def complete(request: Request) -> Response:
        requests.append({"authorization": request.headers["authorization"], **await request.json()})
        return reply(requests[-1])

    async with serving(Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])) as (address, _):
        yield f"{address}/v1"


async def triage_with(
    reply: Reply, requests: list[dict[str, Any]], gateway: FakeGateway, limits: Limits = BOUNDS
) -> Batch:
    async with model_server(reply, requests) as base_url:
        environment = {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "sk-test"}
        return await triaged(gateway, None, limits, mailbox="", name="local", environment=environment)


async def test_any_openai_compatible_endpoint_drives_the_loop() -> None:
    def reply(request: dict[str, Any]) -> Response:
        if request["messages"][-1]["role"] == "tool":
            return calls(("final_result", json.dumps(RESULT)))
        return calls(("crm_search_contacts", '{"email": "lena@customer.example"}'))

    requests: list[dict[str, Any]] = []
    gateway = FakeGateway(tickets=[TICKET])
    [report] = (await triage_with(reply, requests, gateway)).reports
    assert report.triage is not None
    assert (report.triage.intent, report.model, report.model_requests) == ("refund", "openai:local", 2)
    assert report.tokens == 2000
    assert requests[0]["authorization"] == "Bearer sk-test"
    assert requests[0]["model"] == "local"
    assert {meta["remit/model"] for _, _, meta in gateway.calls} == {"openai:local", "script"}


async def test_malformed_arguments_from_a_real_endpoint_are_bounded() -> None:
    gateway = FakeGateway(tickets=[TICKET])
    requests: list[dict[str, Any]] = []
    [report] = (await triage_with(lambda _: calls(("crm_search_contacts", '{"email": ')), requests, gateway)).reports
    assert report.effect == "failed"
    assert report.stopped.startswith("put off: ")
    assert len(requests) <= 10
    assert not gateway.called("crm_search_contacts")


async def test_endless_tool_calls_from_a_real_endpoint_are_bounded() -> None:
    gateway = FakeGateway(tickets=[TICKET])
    requests: list[dict[str, Any]] = []
    many = [("crm_search_contacts", "{}")] * 5
    [report] = (await triage_with(lambda _: calls(*many), requests, gateway, Limits(tool_calls=12))).reports
    assert report.effect == "escalated"
    assert len(gateway.called("crm_search_contacts")) <= 12


async def test_a_spendthrift_endpoint_is_stopped_by_its_own_count_of_tokens() -> None:
    usage = {"prompt_tokens": 50_000, "completion_tokens": 10_000, "total_tokens": 60_000}
    requests: list[dict[str, Any]] = []
    [report] = (
        await triage_with(
            lambda _: calls(("crm_search_contacts", "{}"), usage=usage), requests, FakeGateway(tickets=[TICKET])
        )
    ).reports
    assert (report.effect, len(requests)) == ("escalated", 2)
    assert "token" in report.stopped


async def test_an_endpoint_that_answers_a_web_page_does_not_crash_triage() -> None:
    requests: list[dict[str, Any]] = []
    [report] = (
        await triage_with(lambda _: HTMLResponse("<h1>Login</h1>"), requests, FakeGateway(tickets=[TICKET]))
    ).reports
    assert report.effect in {"failed", "escalated"}
    assert report.stopped


async def test_a_refused_key_is_said_and_not_shown() -> None:
    def reply(_request: dict[str, Any]) -> Response:
        return JSONResponse({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, 401)

    tickets = [ticket(number, "Hello", "Hi") for number in range(1, 5)]
    batch = await triage_with(reply, [], FakeGateway(tickets=tickets))
    assert "3 failed items in a row" in batch.trouble
    assert "401" in batch.trouble
    assert "sk-test" not in batch.trouble
