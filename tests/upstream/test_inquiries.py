"""What an upstream server asks in the course of a call reaches the client that made the call, in every pair of eras."""

from collections.abc import Callable
from pathlib import Path

import mcp.types as wire
import pytest
from mcp import Client

from gateway.journal import Entry
from gateway.principal import Principal
from gateway.server import build_server
from gateway.settings import Settings
from gateway.upstream.catalogue import read_pinned
from tests.upstream.asking import (
    ERAS,
    HANDSHAKES,
    HEAD,
    MODERN,
    PASSES,
    ROOTS,
    SAYS_INTERNAL,
    Caller,
    client_of,
    form,
    offers_asking,
    page,
    sampling,
    told,
)
from tests.upstream.conftest import ANA, ROLES, Upstream, fronting, wire_tool

MAYA = Principal("larkspur", person="maya@larkspur.example")
Entries = Callable[[], list[Entry]]
both_eras = pytest.mark.parametrize("mode", ERAS)
both_servers = pytest.mark.parametrize("modern", [True, False], ids=["modern server", "older server"])


@both_eras
@both_servers
async def test_its_form_prompt_and_roots_are_answered_by_the_client_that_made_the_call(
    up: Upstream, settings: Settings, entries: Entries, mode: str, modern: bool
) -> None:
    up.modern = modern
    offers_asking(up, user=form(), model=sampling(), places=ROOTS)
    caller = Caller()
    async with fronting(settings, up) as front, client_of(front, caller, mode) as client:
        answer = told(await client.call_tool("up_ask"))
    assert answer["status"] == "ok", answer
    said = answer["result"]["structured"]["said"]
    assert said["user"] == {"action": "accept", "content": {"name": "Ana"}}
    assert said["model"]["content"] == {"type": "text", "text": "Paris"}
    assert said["places"] == {"roots": [{"uri": "file[:]///work", "name": "work"}]}
    kinds = [str(entry.kind) for entry in entries()]
    rounds = 1 if modern else 3
    assert kinds == ["intent", *["inquired", "informed"] * rounds, "outcome"]


@both_eras
@both_servers
async def test_what_its_user_declines_is_told_and_the_call_goes_on(
    up: Upstream, settings: Settings, mode: str, modern: bool
) -> None:
    up.modern = modern
    offers_asking(up, user=form())
    caller = Caller(lambda _: wire.ElicitResult(action="decline"))
    async with fronting(settings, up) as front, client_of(front, caller, mode) as client:
        answer = told(await client.call_tool("up_ask"))
    assert answer["result"]["structured"]["said"] == {"user": {"action": "decline"}}


@both_servers
async def test_a_server_is_told_of_what_the_client_can_do_and_its_file_passes_and_of_nothing_else(
    up: Upstream, settings: Settings, modern: bool
) -> None:
    up.modern = modern
    up.options = HEAD
    more = f'passes = ["form"]\n{SAYS_INTERNAL.format("ask")}'
    up.offers(wire_tool("ask"), more=more, do="asks", requests={"model": sampling()})
    caller = Caller()
    async with fronting(settings, up) as front, client_of(front, caller) as client:
        answer = told(await client.call_tool("up_ask"))
    assert caller.asked == 0
    if modern:
        assert "does not pass on" in answer["error"]["message"]
    else:
        assert "not" in answer["result"]["structured"]["said"]["model"]


async def test_a_client_that_can_be_asked_nothing_is_asked_nothing(up: Upstream, settings: Settings) -> None:
    up.modern = True
    offers_asking(up, user=form())
    async with fronting(settings, up) as front, Client(build_server(front.gateway, ANA), mode=MODERN) as client:
        answer = told(await client.call_tool("up_ask"))
    assert answer["status"] == "failed"
    assert "`form`" in answer["error"]["message"]


@both_servers
async def test_a_page_of_a_host_that_the_file_names_is_opened(up: Upstream, settings: Settings, modern: bool) -> None:
    up.modern = modern
    offers_asking(up, pay=page("https://pay.example/now?order=1"))
    caller = Caller(lambda _: wire.ElicitResult(action="accept"))
    async with fronting(settings, up) as front, client_of(front, caller) as client:
        answer = told(await client.call_tool("up_ask"))
    assert answer["result"]["structured"]["said"] == {"pay": {"action": "accept"}}
    [asked] = caller.forms
    assert isinstance(asked, wire.ElicitRequestURLParams)
    assert asked.url == "https://pay.example/now?order=1"


@both_eras
async def test_its_log_reaches_a_client_that_wants_it_after_it_is_on_record(
    up: Upstream, settings: Settings, entries: Entries, mode: str
) -> None:
    up.offers(wire_tool("noisy"), more='passes = ["log"]', do="logs", times=3)
    caller = Caller()
    async with fronting(settings, up) as front, client_of(front, caller, mode, log_level="info") as client:
        if mode == HANDSHAKES:
            await client.session.send_request(
                wire.SetLevelRequest(params=wire.SetLevelRequestParams(level="info")), wire.EmptyResult
            )
        assert told(await client.call_tool("up_noisy"))["status"] == "ok"
    assert [(line.level, line.data, line.logger) for line in caller.lines] == [("error", "IGNORE THIS", "up_noisy")] * 3
    assert [str(entry.kind) for entry in entries()] == ["intent", "logged", "outcome"]


async def test_its_log_reaches_nobody_who_does_not_want_it(up: Upstream, settings: Settings) -> None:
    up.offers(wire_tool("noisy"), more='passes = ["log"]', do="logs", times=3)
    caller = Caller()
    async with fronting(settings, up) as front, client_of(front, caller) as client:
        assert told(await client.call_tool("up_noisy"))["status"] == "ok"
    assert caller.lines == []


@both_servers
async def test_a_write_whose_client_answers_is_made_once_and_recorded_once(
    up: Upstream, settings: Settings, entries: Entries, modern: bool
) -> None:
    up.modern = modern
    offers_asking(up, "write", "write", user=form())
    async with fronting(settings, up) as front, client_of(front, Caller()) as client:
        answer = told(await client.call_tool("up_write"))
    assert answer["status"] == "ok"
    found = entries()
    assert [str(entry.kind) for entry in found] == ["intent", "inquired", "informed", "outcome"]
    assert len({entry.call_id for entry in found}) == 1


async def test_what_is_asked_and_answered_is_in_the_journal_by_kind_and_hash_and_not_in_words(
    up: Upstream, settings: Settings, entries: Entries
) -> None:
    up.modern = True
    offers_asking(up, user=form("What is your secret?"))
    async with fronting(settings, up) as front, client_of(front, Caller()) as client:
        await client.call_tool("up_ask")
    bodies = [entry.body for entry in entries() if str(entry.kind) in {"inquired", "informed"}]
    assert [body["kinds"] for body in bodies] == [["form"], ["form"]]
    assert bodies[1]["given"] == ["accept"]
    assert "secret" not in str(bodies)
    assert "Ana" not in str(bodies)


@pytest.mark.parametrize(
    ("head", "told_of"),
    [
        ("", "`clearance` is missing"),
        ('clearance = "internal"', "`pages` is missing"),
        (HEAD, "`tools.ask.text` is `customer`, and so is what the server asks, above its `clearance`"),
    ],
)
def test_a_file_that_passes_questions_on_without_bounds_is_refused(up: Upstream, head: str, told_of: str) -> None:
    up.options = head
    up.offers(wire_tool("ask"), more=PASSES)
    up.write()
    with pytest.raises(Exception, match=told_of):
        read_pinned(up.folder)


@both_servers
async def test_an_approved_call_asks_its_client_and_goes_on(
    up: Upstream, settings: Settings, entries: Entries, policies: Path, modern: bool
) -> None:
    (policies / "rules.csv").write_text("p, A1, role:agent, up_write, , ask, a person looks\n")
    (policies / "roles.csv").write_text(f"{ROLES}g, person:maya@larkspur.example, role:lead, larkspur\n")
    (policies / "approvers.csv").write_text("approver, role:lead, up_*, *\n")
    up.modern = modern
    offers_asking(up, "write", "write", user=form())
    caller = Caller()
    at_once = settings.model_copy(update={"approval_hold": 0.0})
    async with fronting(at_once, up) as front, client_of(front, caller) as client:
        waits = told(await client.call_tool("up_write"))
        assert (waits["status"], caller.asked) == ("pending_approval", 0)
        book, policy = front.gateway.approvals, front.gateway.policy.current
        await book.answer(waits["approval"]["id"], MAYA, policy, True, "as agreed", front.gateway.now())
        assert told(await client.call_tool("up_write"))["status"] == "ok"
    assert caller.asked == 1
    kinds = [str(entry.kind) for entry in entries()]
    assert kinds[-4:] == ["intent", "inquired", "informed", "outcome"]
