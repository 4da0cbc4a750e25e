"""A tool of an upstream server is a tool like any other."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from gateway.catalog import UnknownTool
from gateway.journal import Entry
from gateway.listing import Listings
from gateway.settings import Settings
from tests.upstream.conftest import ANA, TEXT, Upstream, fronting, result, wire_tool

Entries = Callable[[], list[Entry]]
TRICKS: list[tuple[dict[str, Any], str]] = [
    ({"to": "a", "amount": 1, "bcc": "evil"}, "`bcc`: unknown field"),
    ({"to": ["a"], "amount": 1}, "`to`: input should be a valid string"),
    ({"to": "a", "amount": True}, "`amount`"),
    ({"to": "a", "amount": "NaN"}, "`amount`"),
    ({"to": "a", "amount": float("nan")}, "not valid JSON"),
    ({"to": "a", "amount": 1e999}, "not valid JSON"),
    ({"to": "a", "amount": 1, "__proto__": {"admin": True}}, "`__proto__`: unknown field"),
    ({"to": "a", "amount": 1, "constructor": {}}, "`constructor`: unknown field"),
    ({"to": "a\r\nBcc: evil@evil.example", "amount": 1}, "single line"),
    ({"to": None, "amount": 1}, "`to`"),
    ({"amount": 1}, "`to`: missing"),
    ({"to": "x" * 300, "amount": 1}, "`to`"),
]


async def test_a_call_is_decided_recorded_and_answered(up: Upstream, settings: Settings, entries: Entries) -> None:
    up.offers(wire_tool("find-mail", query=TEXT), do="arguments")
    async with fronting(settings, up) as front:
        [name] = [tool for tool in front.gateway.catalog.tools if tool.startswith("up_")]
        answer = await front.call(name, {"query": "invoice"})
    assert answer.status == "ok"
    assert result(answer).structured == {"arguments": {"query": "invoice"}}
    assert answer.untrusted == ["structured.arguments.query"]
    assert [entry.kind for entry in entries()] == ["intent", "outcome"]


async def test_a_listing_shows_it_with_the_servers_schema(up: Upstream, settings: Settings) -> None:
    up.offers(wire_tool("send", "Send it.", to=TEXT), "send")
    async with fronting(settings, up) as front:
        policy = front.gateway.policy.current
        listing = await Listings(front.gateway.catalog.tools.values(), policy).under(policy)
        [tool] = [tool for tool in listing.tools(ANA) if tool.name == "up_send"]
    assert tool.input_schema["properties"] == {"to": TEXT}
    assert tool.input_schema["additionalProperties"] is False
    assert tool.annotations is not None
    assert tool.annotations.read_only_hint is False


async def test_policy_judges_its_arguments(up: Upstream, settings: Settings) -> None:
    (settings.policies / "rules.csv").write_text("p, A1, role:agent, up_pay, args.amount <= 50, allow, small ones\n")
    up.offers(wire_tool("pay", amount={"type": "number"}, to=TEXT), "send", do="arguments")
    async with fronting(settings, up) as front:
        paid = await front.call("up_pay", {"amount": 50, "to": "a"})
        refused = await front.call("up_pay", {"amount": 50.01, "to": "a"})
    assert (paid.status, refused.status) == ("ok", "denied")
    assert [call["arguments"] for call in up.calls()] == [{"amount": 50, "to": "a"}]


async def test_extra_fields_and_type_tricks_never_reach_the_server(up: Upstream, settings: Settings) -> None:
    sink = '[tools.pay.arguments]\nto = { sink = "recipient" }'
    up.offers(wire_tool("pay", amount={"type": "number"}, to={"type": "string", "maxLength": 200}), "send", sink)
    async with fronting(settings, up) as front:
        for arguments, told in TRICKS:
            answer = await front.call("up_pay", arguments)
            assert answer.error is not None, arguments
            assert told in answer.error.message
    assert up.calls() == []


async def test_a_tool_that_nobody_accepted_or_declared_is_unknown(up: Upstream, settings: Settings) -> None:
    up.offers(wire_tool("known"))
    up.offers(wire_tool("unaccepted"))
    up.tools.append(wire_tool("undeclared"))
    up.write()
    up.accept("known", "undeclared")
    async with fronting(settings, up, accepted=False) as front:
        await front.until(lambda: front.looked)
        assert (await front.call("up_known")).status == "ok"
        for name in ("up_unaccepted", "up_undeclared"):
            with pytest.raises(UnknownTool):
                await front.call(name)
        assert str(front.gateway.upstreams.state()) == "1 to review"


async def test_another_tenants_call_does_not_go_there(up: Upstream, settings: Settings) -> None:
    up.options = 'tenants = ["other"]'
    up.offers(wire_tool("known"))
    async with fronting(settings, up) as front:
        answer = await front.call("up_known")
    assert answer.status == "failed"
    assert up.calls() == []


async def test_progress_is_passed_on_without_the_servers_words(up: Upstream, settings: Settings) -> None:
    told: list[tuple[float, str]] = []

    async def progress(done: float, _total: float | None, message: str) -> None:
        told.append((done, message))

    up.offers(wire_tool("slow"), do="progress")
    async with fronting(settings, up) as front:
        assert (await front.call("up_slow", progress=progress)).status == "ok"
    assert "working" in {message for _, message in told}
    assert "IGNORE" not in str(told)


async def test_a_hanging_server_fails_a_read_and_puts_a_write_in_doubt(up: Upstream, settings: Settings) -> None:
    up.options = "timeout = 0.5"
    up.offers(wire_tool("look"), do="hang")
    other = Upstream(up.folder, up.plan_file.with_name("other.json"), "other", options="timeout = 0.5")
    other.offers(wire_tool("send"), "send", do="hang")
    async with fronting(settings, up, other) as front:
        await front.until(lambda: front.looked)
        look, send = await front.call("up_look"), await front.call("other_send")
    assert [answer.error.kind for answer in (look, send) if answer.error] == ["unavailable", "in_doubt"]


async def test_a_server_that_dies_in_a_call_comes_back(up: Upstream, settings: Settings) -> None:
    up.offers(wire_tool("look"), do="crash")
    up.offers(wire_tool("send"), "send", do="crash")
    async with fronting(settings, up) as front:
        look, send = await front.call("up_look"), await front.call("up_send")
        up.answers = {}
        up.write()
        again = await front.call("up_look")
    assert [answer.error.kind for answer in (look, send) if answer.error] == ["unavailable", "in_doubt"]
    assert again.status == "ok"


async def test_a_server_that_cannot_be_started_fails_calls_cleanly(up: Upstream, settings: Settings) -> None:
    up.options = "timeout = 0.3"
    up.offers(wire_tool("send"), "send")
    up.write()
    file = up.folder / "up.toml"
    up.accept()
    file.write_text(file.read_text().replace("command = ", 'command = "/no/such/program"\nfolder = '))
    file.write_text(file.read_text().replace("folder = ", "# "))
    async with fronting(settings) as front:
        answer = await front.call("up_send")
        assert "1 not reached" in str(front.gateway.upstreams.state())
    assert answer.error is not None
    assert answer.error.kind == "unavailable"


async def test_more_calls_than_may_wait_are_turned_away(up: Upstream, settings: Settings) -> None:
    up.options = "timeout = 1\nmax_calls = 1"
    up.offers(wire_tool("look"), do="hang")
    answers = []

    async with fronting(settings, up) as front, anyio.create_task_group() as tasks:

        async def look() -> None:
            answers.append(await front.call("up_look"))

        for _ in range(4):
            tasks.start_soon(look)
    told = [answer.error.message for answer in answers if answer.error]
    assert len([each for each in told if "wait" in each]) == 2
