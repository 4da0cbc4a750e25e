"""What `tools/list` shows each principal, and for how long."""

from pathlib import Path
from unittest.mock import patch

import mcp.types as wire
from mcp import Client

from gateway.cli.tools import limits
from gateway.listing import Listing, Listings, described
from gateway.policy.load import load_policy
from gateway.policy.narrowing.narrow import Narrower, narrow
from gateway.principal import Principal
from gateway.server import build_server
from tests.gateway.conftest import OpenGateway
from tests.policy.making import ANA, BOT, BOT_FOR_ANA, TOOLS, policy

PLAIN = {tool.name: described(tool) for tool in TOOLS}
RULES = """\
p, A1, role:team, crm_get_*, , allow, look around
p, A2, role:team, crm_issue_refund, args.amount <= 50, allow, small refunds
p, A3, role:team, crm_issue_refund, 50 < args.amount <= 500, ask, refunds above 50 need a second look
p, A4, role:team, email_send_message, args.mailbox == person.id, allow, from the own mailbox only
p, A5, role:team, ticket_add_note, person.id != 'ana', allow, everybody but ana
p, B1, role:bot, crm_issue_refund, args.amount <= 100, allow, small refunds
p, B2, role:bot, *, person.id is None, deny, only for a person
"""
ROLES = "g, person:ana, role:team, acme\ng, person:eve, role:team, acme\ng, agent:bot, role:bot, acme\n"
EVE = Principal("acme", person="eve")
RULING = policy(RULES, ROLES)


def seen(listing: Listing, who: Principal) -> dict[str, wire.Tool]:
    return {tool.name: tool for tool in listing.tools(who)}


def test_each_principal_sees_its_tools_with_its_own_limits() -> None:
    listing = Listing(RULING, TOOLS, PLAIN)
    of_ana, of_eve = seen(listing, ANA), seen(listing, EVE)
    assert of_eve.keys() - of_ana.keys() == {"ticket_add_note"}
    for name, found in (("ana", of_ana), ("eve", of_eve)):
        assert found["email_send_message"].input_schema["properties"]["mailbox"]["const"] == name
    assert seen(listing, BOT_FOR_ANA).keys() == {"crm_issue_refund"}
    assert seen(listing, BOT_FOR_ANA)["crm_issue_refund"].input_schema["properties"]["amount"]["maximum"] == 100
    assert not seen(listing, BOT)
    assert not seen(listing, Principal("globex", person="ana"))


def test_a_tool_that_policy_does_not_narrow_is_shown_as_it_is() -> None:
    shown = seen(Listing(RULING, TOOLS, PLAIN), ANA)
    assert shown["crm_get_orders"] is PLAIN["crm_get_orders"]
    assert shown["crm_issue_refund"].output_schema == PLAIN["crm_issue_refund"].output_schema
    assert shown["crm_issue_refund"].annotations == PLAIN["crm_issue_refund"].annotations


def test_what_a_schema_cannot_say_stands_below_the_description() -> None:
    shown = seen(Listing(RULING, TOOLS, PLAIN), ANA)["crm_issue_refund"]
    assert shown.description == (
        f"{PLAIN['crm_issue_refund'].description}\n\nPolicy:\n- When `amount` is above 50 and at most 500, a person is "
        "asked for approval: refunds above 50 need a second look (rule A3)."
    )


def test_a_list_is_worked_out_once_for_each_principal_while_the_policy_is_in_force() -> None:
    listing = Listing(RULING, TOOLS, PLAIN)
    with patch.object(Narrower, "narrow", autospec=True, side_effect=Narrower.narrow) as narrowing:
        assert [listing.tools(who) is listing.tools(who) for who in (ANA, EVE, ANA)] == [True, True, True]
    assert narrowing.call_count == 2


def test_of_the_remembered_lists_the_one_not_asked_for_longest_is_forgotten() -> None:
    with patch("gateway.listing._MOST_REMEMBERED", 2 * len(TOOLS)):
        listing = Listing(RULING, TOOLS, PLAIN)
    kept = listing.tools(ANA)
    first = listing.tools(EVE)
    assert listing.tools(ANA) is kept
    listing.tools(BOT)
    assert listing.tools(ANA) is kept
    assert listing.tools(EVE) is not first


async def test_a_new_policy_is_shown_at_once_and_the_same_one_is_not_worked_out_again() -> None:
    listings = Listings(TOOLS, RULING)
    before = await listings.under(RULING)
    assert await listings.under(RULING) is before
    after = await listings.under(policy(RULES.replace("<= 500", "<= 300"), ROLES))
    assert seen(after, ANA)["crm_issue_refund"].input_schema["properties"]["amount"]["maximum"] == 300


def test_a_narrowing_is_the_same_whether_it_was_prepared_or_not() -> None:
    fresh, prepared = Narrower(RULING, TOOLS), Narrower(RULING, TOOLS)
    prepared.prepare(100)
    for who in (ANA, EVE, BOT, BOT_FOR_ANA):
        for name, narrowing in fresh.narrow(who).items():
            other = prepared.narrow(who)[name]
            assert (narrowing.schema, narrowing.words) == (other.schema, other.words)


async def test_a_client_sees_the_narrowed_list_and_a_changed_policy_without_a_new_connection(
    opened: OpenGateway, policies: Path
) -> None:
    ana = Principal("larkspur", person="ana@larkspur.example")
    rules = policies / "rules.csv"
    async with opened() as gateway, Client(build_server(gateway, ana), cache=None) as client:
        for limit in (500, 90):
            rules.write_text(rules.read_text().replace("args.amount > 500", f"args.amount > {limit}"))
            gateway.policy.current = load_policy(policies, TOOLS)
            refund = next(tool for tool in (await client.list_tools()).tools if tool.name == "crm_issue_refund")
            assert refund.input_schema["properties"]["amount"]["maximum"] == limit
            assert "When `amount` is above 50, a person is asked for approval" in (refund.description or "")


def test_the_command_tells_limits_in_a_line_each() -> None:
    by_name = {tool.name: tool for tool in TOOLS}
    rules = policy(
        "p, A1, role:team, email_send_message, \"args.mailbox in ['a@x.example', 'b@x.example'] and len(args.cc) < 1 "
        "and all_in(domain(args.to), ['x.example'])\", allow,\n"
        'p, A2, role:team, email_update_draft, "args.to is None and args.cc is not None", ask, a look\n',
        "g, person:ana, role:team, acme\n",
    )
    assert [*limits(by_name["email_send_message"], narrow(rules, ANA, by_name["email_send_message"]))] == [
        "mailbox: one of a@x.example, b@x.example",
        "to: each must be at `x.example`",
        "cc: at most 0 of them",
    ]
    assert [*limits(by_name["email_update_draft"], narrow(rules, ANA, by_name["email_update_draft"]))] == [
        "to: must be left out",
        "cc: must be given",
        "A person is asked for approval: a look (rule A2).",
    ]
