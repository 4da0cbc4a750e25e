"""What an answer says of how confidential its result is: what is kept for the run, whichever way the answer came."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.contract import Confidentiality
from gateway.answer import Answer
from gateway.answers import ok
from gateway.call import call_tool
from gateway.declared import Declared
from gateway.flow.arguments import UNTRACED
from gateway.flow.ledger import Scope
from gateway.flow.levels import most_confidential
from gateway.gateway import Decided, ToolCall
from gateway.principal import Principal, parse_principal
from gateway.results.stage import present
from tests.flow.conftest import Calls, OpenFlow, database_url, opened, policies
from tests.results.test_stage import ForgetfulCrm

__all__ = ["database_url", "opened", "policies"]

ONE = parse_principal("agent:one", "larkspur")
LENA = "lena@brightlab.example"
WORDS = {"public": "public", "internal": "internal", "customer": "confidential", "secret": "restricted"}


async def kept_last(calls: Calls, who: Principal = ONE) -> str:
    """The level of what was kept last for a caller's run, in the answer's words."""
    scope = Scope(who.tenant, who.name, datetime(2000, 1, 1, tzinfo=UTC))
    seen = await calls.gateway.runs.ledger.seen_after(scope, 0)
    return WORDS[seen[-1].sight.label.confidentiality]


async def a_ticket(calls: Calls) -> Answer[Any]:
    return await calls("ticket_get_ticket", ticket_id=await calls.ticket("Where is it?", LENA))


async def an_empty_search(calls: Calls) -> Answer[Any]:
    return await calls("crm_search_contacts", query="nobody of this name")


async def our_manual(calls: Calls) -> Answer[Any]:
    await calls.document("Scales are calibrated with a weight.", "internal")
    return await calls("knowledge_search_documents", query="calibrated")


async def a_note_of_our_own(calls: Calls) -> Answer[Any]:
    note = {"ticket_id": await calls.ticket("Where is it?", LENA), "body": "Called back."}
    return await calls("ticket_add_note", **note)


@pytest.mark.parametrize(
    ("made", "level"),
    [(a_ticket, "confidential"), (an_empty_search, "public"), (our_manual, None), (a_note_of_our_own, None)],
)
async def test_it_says_what_is_kept_for_the_run(
    opened: OpenFlow, made: Callable[[Calls], Awaitable[Answer[Any]]], level: str | None
) -> None:
    async with opened() as calls:
        answer = await made(calls)
        assert answer.status == "ok", answer
        assert answer.to_wire()["confidentiality"] == await kept_last(calls)
        assert level in (None, answer.confidentiality)


async def test_a_line_of_policy_that_makes_a_field_secret_makes_the_answer_restricted(
    opened: OpenFlow, policies: Path
) -> None:
    (policies / "labels.csv").write_text("label, ticket_get_ticket, subject, -, secret, for few eyes\n")
    async with opened() as calls:
        assert (await a_ticket(calls)).confidentiality == "restricted" == await kept_last(calls)


async def test_an_answer_given_again_says_what_is_kept_for_the_run_that_hears_it_now(
    opened: OpenFlow, policies: Path
) -> None:
    declared = Declared.model_validate({"remit/key": "k"})
    call = ToolCall(ONE, "crm_create_contact", {"name": "Lena", "email": LENA}, declared)
    async with opened() as calls:
        first = await call_tool(calls.gateway, call)
        kept = json.loads(await calls.gateway.settled.find("larkspur", first.call_id) or "")
        assert kept["confidentiality"] is None, "it is found out anew for whoever repeats the call"
        again = await call_tool(calls.gateway, replace(call, id="call_again"))
        assert again.confidentiality == await kept_last(calls) == "confidential"
    (policies / "labels.csv").write_text("label, crm_create_contact, name, -, secret, for few eyes\n")
    async with opened() as calls:
        stricter = await call_tool(calls.gateway, replace(call, id="call_later"))
        assert stricter.confidentiality == await kept_last(calls) == "restricted"


async def test_a_result_that_was_found_out_says_it_too(opened: OpenFlow) -> None:
    async with opened() as calls:
        crm: Any = ForgetfulCrm(calls.gateway.back_ends.crm)
        gateway = replace(calls.gateway, back_ends=replace(calls.gateway.back_ends, crm=crm))
        found = await call_tool(gateway, ToolCall(ONE, "crm_create_contact", {"name": "Lena", "email": LENA}))
        assert (found.status, found.confidentiality) == ("ok", await kept_last(calls))


async def test_what_has_no_result_says_nothing(opened: OpenFlow) -> None:
    async with opened() as calls:
        assert "confidentiality" not in (await calls("crm_get_contact", contact_id="con_none2345")).to_wire()


async def test_a_result_that_nobody_looked_at_counts_as_its_tools_most_confidential_field(opened: OpenFlow) -> None:
    async with opened() as calls:
        policy, tools = calls.gateway.policy.current, calls.gateway.catalog.tools
        output = await calls.ok("ticket_get_ticket", ticket_id=await calls.ticket("Hello"))
        decided = Decided(
            call=ToolCall(ONE, "ticket_get_ticket", {}),
            policy=policy,
            tool=tools["ticket_get_ticket"],
            arguments=output,
            decision=policy.decide(ONE, "ticket_get_ticket", {}, calls.gateway.now()),
            earlier=None,
            traced=UNTRACED,
            facts={},
        )
        assert (await present(calls.gateway, decided, ok("call_1", output, []))).confidentiality == "confidential"


async def test_the_most_confidential_field_is_what_somebody_declared_or_what_its_author_makes_of_it(
    opened: OpenFlow,
) -> None:
    async with opened() as calls:
        tool = calls.gateway.catalog.tools["ticket_get_ticket"]
    assert most_confidential(tool) is Confidentiality.CUSTOMER
    bare = replace(tool, authors={}, confidentiality={}, owners=frozenset())
    assert most_confidential(bare) is Confidentiality.CUSTOMER, "what nobody declared is anyone's"
    secret = {next(iter(tool.authors)): Confidentiality.SECRET}
    assert most_confidential(replace(tool, confidentiality=secret)) is Confidentiality.SECRET
    public = dict.fromkeys(tool.authors, Confidentiality.PUBLIC)
    assert most_confidential(replace(tool, confidentiality=public, owners=frozenset())) is Confidentiality.PUBLIC
