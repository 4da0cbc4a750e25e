"""What a principal's schema becomes under the shipped policy, and under single rules."""

import re
from dataclasses import replace
from datetime import date
from typing import Any, Literal

import pytest
from pydantic import Field, create_model

from connectors.contract import Effect, Idempotency, Input, Output, Tool
from connectors.fields import Address
from gateway.policy.load import load_policy, policy_from_texts
from gateway.policy.narrowing.narrow import Narrower, Narrowing, narrow
from gateway.principal import Principal, parse_principal
from tests.policy.generated import BY_NAME
from tests.policy.making import ANA, BOT_FOR_ANA, MODEL, SHIPPED, TOOLS, policy, team_rules
from tests.policy.schemas import accepts, check

# What the shipped policy shows

SHIPPED_POLICY = load_policy(SHIPPED, TOOLS)


def shown(who: str, tool: str) -> Narrowing:
    return narrow(SHIPPED_POLICY, parse_principal(who, "larkspur"), BY_NAME[tool])


def prop(found: Narrowing, name: str) -> Any:
    return found.schema["properties"][name]


ANA_RUIZ, MAYA, TOM = (f"person:{name}@larkspur.example" for name in ("ana.ruiz", "maya.okafor", "tom.lindqvist"))
AT_LARKSPUR = r"@[lL][aA][rR][kK][sS][pP][uU][rR]\.[eE][xX][aA][mM][pP][lL][eE]$"


def rules_of(found: Narrowing) -> list[str]:
    return [rule for word in found.words for rule in re.findall(r"\(rule (\w+)\)", word)]


def test_ana_refunds_at_most_500_and_is_told_when_a_person_is_asked() -> None:
    found = shown(ANA_RUIZ, "crm_issue_refund")
    assert prop(found, "amount") == {
        "description": "How much to give back; at most what remains unrefunded.",
        "exclusiveMinimum": 0,
        "maximum": 500,
        "title": "Amount",
        "type": "number",
    }
    assert found.words[0] == (
        "When `amount` is above 50 and at most 500, a person is asked for approval: refunds above 50 need a second "
        "look (rule F02)."
    )
    assert rules_of(found) == ["F02", "W06", "V01"]
    assert not found.exact, "nobody knows beforehand what the run will have seen"


def test_the_triage_agent_searches_the_mailbox_of_support_only() -> None:
    found = shown("agent:triage", "email_search_messages")
    assert prop(found, "mailbox")["const"] == "support@larkspur.example"
    assert rules_of(found) == ["V02"]


def test_the_triage_agent_writes_within_the_company_and_only_with_a_person() -> None:
    found = shown("agent:triage", "email_send_message")
    for name in ("to", "cc"):
        assert prop(found, name)["items"]["pattern"] == AT_LARKSPUR
        assert prop(found, name)["description"].endswith("Policy: each must be at `larkspur.example`.")
    assert found.words[0] == "A person is asked for approval: a person reads what an agent sends (rule T08)."
    assert rules_of(found) == ["T08", "V02"]


def test_what_a_run_did_before_is_told_in_words() -> None:
    found = shown("agent:triage", "crm_issue_refund")
    assert prop(found, "amount")["maximum"] == 200
    assert not found.exact
    assert any(
        "so far is above 400, it is denied: one run refunds at most 400 in all (rule T11)" in word
        for word in found.words
    )


def test_sales_reads_and_answers_from_its_own_mailbox() -> None:
    for tool in ("email_search_messages", "email_get_thread", "email_create_draft", "email_reply_message"):
        found = shown(TOM, tool)
        assert prop(found, "mailbox")["const"] == "sales@larkspur.example"
        assert set(rules_of(found)) <= {"V02", "W14"}, "what else is asked depends on what the run will have seen"


def test_a_ticket_goes_to_a_colleague_however_the_address_is_spelt() -> None:
    found = shown(ANA_RUIZ, "ticket_update_ticket")
    given, nothing = prop(found, "assignee")["anyOf"]
    assert (given["pattern"], nothing) == (AT_LARKSPUR, {"type": "null"})
    call = {"ticket_id": "tic_0001", "version": 1}
    assert accepts(found.schema, {**call, "assignee": "Jonas.Weber@Larkspur.EXAMPLE"})
    assert accepts(found.schema, call)
    assert not accepts(found.schema, {**call, "assignee": "jonas@larkspur.example.evil.example"})
    assert not accepts(found.schema, {**call, "assignee": "jonas@notlarkspur.example"})


def test_the_assistant_sees_what_the_person_may_do_and_not_more() -> None:
    who = f"agent:assistant+{ANA_RUIZ}"
    assert not shown(who, "crm_issue_refund").possible
    assert prop(shown(who, "email_create_draft"), "mailbox")["const"] == "support@larkspur.example"
    answering = shown(who, "ticket_add_reply")
    assert "A person is asked for approval: the person confirms what a customer reads (rule A08)." in answering.words
    assert set(rules_of(answering)) == {"A08", "W04"}
    assert not shown("agent:assistant", "ticket_add_note").possible


def test_maya_may_do_everything_that_the_plain_schema_shows_and_is_told_when_a_person_is_asked() -> None:
    found = shown(MAYA, "crm_update_contact")
    assert found.schema == BY_NAME["crm_update_contact"].input.model_json_schema()
    assert found.words[0] == (
        "When `email` is given, a person is asked for approval: a changed address redirects a customer's mail "
        "(rule L02)."
    )
    assert rules_of(found) == ["L02", "V01"]


# What single conditions become

REFUND, MAIL, DRAFT = "crm_issue_refund", "email_send_message", "email_update_draft"
CASES: list[tuple[str, str, str, dict[str, Any] | None]] = [
    (REFUND, "args.amount <= 50", "amount", {"maximum": 50}),
    (REFUND, "10.5 <= args.amount < 20", "amount", {"minimum": 10.5, "exclusiveMaximum": 20}),
    (REFUND, "not args.amount > 99.90", "amount", {"maximum": 99.9}),
    (REFUND, "args.amount in [50, 20]", "amount", {"enum": [20, 50]}),
    (REFUND, "args.amount <= 20 or 80 <= args.amount <= 90", "amount", {"maximum": 90}),
    (REFUND, "args.amount < 9999999", "amount", {}),
    (REFUND, "args.currency == 'EUR'", "currency", {"const": "EUR"}),
    (REFUND, "args.currency not in ['EUR', 'USD', 'PLN', 'SEK']", "currency", {"enum": ["GBP", "CHF"]}),
    (REFUND, "starts_with(args.note, 'RMA (1)')", "note", {"pattern": r"^RMA \(1\)"}),
    (REFUND, "ends_with(args.note, 'ok?')", "note", {"pattern": r"ok\?$"}),
    (REFUND, "glob(args.note, 'a*b*c')", "note", {"pattern": r"^a[\s\S]*b[\s\S]*c$"}),
    (REFUND, "lower(args.note) == 'ok'", "note", {"pattern": "^[oO][kK\u212a]$"}),
    (REFUND, "2 < len(args.note) <= 9", "note", {"minLength": 3, "maxLength": 9}),
    (MAIL, "args.mailbox in ['b@x.example', 'a@x.example']", "mailbox", {"enum": ["a@x.example", "b@x.example"]}),
    (MAIL, "len(args.to) == 1", "to", {"maxItems": 1}),
    (MAIL, "len(args.cc) < 1", "cc", {"maxItems": 0}),
    (MAIL, "all_in(args.cc, ['a@x.example'])", "cc", {"items": {"const": "a@x.example"}}),
    (DRAFT, "args.subject is None", "subject", None),
    (DRAFT, "args.version == 1", "version", {"const": 1}),
]  # fmt: skip


def told(found: Narrowing, name: str, tool: Tool | None = None) -> dict[str, Any]:
    """The keywords about values that the plain schema does not have, or not so."""
    plain = (tool or BY_NAME["crm_issue_refund"]).input.model_json_schema()["properties"][name]
    return added(prop(found, name), plain)


def added(after: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    old = {**before, **before.get("anyOf", [{}])[0]}
    new = {**after, **after.get("anyOf", [{}])[0]}
    said = {"title", "description", "type", "default", "format", "anyOf"}
    changed = {keyword: value for keyword, value in new.items() if keyword not in said and old.get(keyword) != value}
    return {keyword: added(value, old[keyword]) if keyword == "items" else value for keyword, value in changed.items()}


@pytest.mark.parametrize(("tool", "condition", "name", "expected"), CASES)
def test_a_condition_becomes_keywords(tool: str, condition: str, name: str, expected: dict[str, Any] | None) -> None:
    found = under(f"{tool} | {condition} | allow", tool=tool)
    assert (told(found, name, BY_NAME[tool]) if name in found.schema["properties"] else None) == expected


def under(*rules: str, tool: str = "crm_issue_refund", lists: str = "") -> Narrowing:
    """Ana's narrowing under these rules about her team."""
    found = narrow(policy(team_rules(*rules), lists=lists), ANA, BY_NAME[tool])
    check(found.schema)
    return found


def test_what_two_rules_allow_is_shown_together_and_what_a_third_denies_is_not() -> None:
    found = under(
        "crm_issue_refund | args.amount <= 50 | allow",
        "crm_issue_refund | args.amount > 50 | ask",
        "crm_issue_refund | args.amount > 500 | deny",
    )
    assert told(found, "amount") == {"maximum": 500}
    assert found.exact


def test_what_an_agent_may_do_for_a_person_is_what_both_may() -> None:
    rules = (
        "p, R1, role:team, crm_issue_refund, \"args.amount <= 100 and args.currency in ['EUR', 'USD']\", allow,\n"
        "p, R2, role:bot, crm_issue_refund, \"args.amount >= 10 and args.currency != 'USD'\", allow,"
    )
    found = narrow(policy(rules), BOT_FOR_ANA, BY_NAME["crm_issue_refund"])
    assert told(found, "amount") == {"minimum": 10, "maximum": 100}
    assert told(found, "currency") == {"const": "EUR"}
    assert found.exact


def test_limits_that_depend_on_each_other_are_told_in_words() -> None:
    found = under(
        "crm_issue_refund | args.currency == 'EUR' and args.amount <= 100 | allow",
        "crm_issue_refund | args.currency == 'USD' and args.amount <= 500 | allow",
    )
    assert told(found, "amount") == {"maximum": 500}
    assert told(found, "currency") == {"enum": ["EUR", "USD"]}
    assert found.words == (
        "Permitted only when `currency` is `EUR` and `amount` is at most 100 (rule R1); "
        "or when `currency` is `USD` (rule R2).",
    )
    assert not found.exact


def test_a_denied_value_in_the_middle_is_told_in_words() -> None:
    found = under("crm_issue_refund | True | allow", "crm_issue_refund | args.amount == 13 | deny | an unlucky number")
    assert found.schema == BY_NAME["crm_issue_refund"].input.model_json_schema()
    assert found.words == ("When `amount` is 13, it is denied: an unlucky number (rule R2).",)


def test_time_is_told_in_words_and_never_looked_at() -> None:
    found = under("crm_issue_refund | now.hour >= 8 and args.amount <= 50 | allow")
    assert told(found, "amount") == {"maximum": 50}
    assert found.words == ("Permitted only when the hour (UTC) is at least 8 (rule R1).",)
    assert not found.exact


def test_an_argument_that_must_be_given_is_required_and_not_null() -> None:
    found = under("crm_update_deal | args.amount <= 50 | allow", tool="crm_update_deal")
    assert found.schema["required"] == ["deal_id", "version", "amount"]
    assert told(found, "amount", BY_NAME["crm_update_deal"]) == {"maximum": 50}
    assert "default" not in prop(found, "amount")
    assert not accepts(found.schema, {"deal_id": "dea_0001", "version": 1, "amount": None})


def test_an_argument_whose_default_is_denied_must_be_sent() -> None:
    found = under("crm_search_contacts | args.limit <= 10 and args.query != '' | allow", tool="crm_search_contacts")
    assert found.schema["required"] == ["query", "limit"]
    assert told(found, "limit", BY_NAME["crm_search_contacts"]) == {"maximum": 10}
    assert "default" not in prop(found, "limit")
    assert found.words == ("Permitted only when `query` is not `` (rule R1).",)


def test_an_argument_that_must_be_left_out_is_not_shown_and_not_accepted() -> None:
    found = under("email_update_draft | args.to is None and args.cc is None | allow", tool="email_update_draft")
    assert not {"to", "cc"} & found.schema["properties"].keys()
    call = {"mailbox": "a@x.example", "draft_id": "dra_0001", "version": 1}
    assert accepts(found.schema, call)
    assert not accepts(found.schema, {**call, "to": ["a@x.example"]})


def test_who_calls_is_put_in() -> None:
    line = "crm_issue_refund | args.note == person.id and agent.id is None and tenant == 'acme' | allow"
    found = under(line)
    assert told(found, "note") == {"const": "ana"}
    assert found.exact
    assert not under("crm_issue_refund | tenant == 'globex' | allow").possible
    assert not under("crm_issue_refund | starts_with(agent.id, 'x') | allow").possible


def test_a_named_list_is_put_in_and_cut_short_in_words() -> None:
    lists = "\n".join(f"list, partners, p{number}.example" for number in range(9))
    found = under(
        "email_send_message | domain(args.mailbox) in lists.partners | allow",
        "email_send_message | not all_in(domain(args.to), lists.partners) and now.hour < 8 | deny",
        tool="email_send_message",
        lists=lists,
    )
    assert prop(found, "mailbox")["pattern"].count("|") == 8
    assert "`p5.example` and 3 more" in " ".join(found.words)


def test_a_tool_of_which_every_call_is_denied_is_not_possible() -> None:
    found = under("crm_issue_refund | args.amount > 100 | allow", "crm_issue_refund | args.amount > 50 | deny")
    assert not found.possible
    assert not under("crm_issue_refund | args.currency == 'EUR' and args.currency == 'USD' | allow").possible


# Inputs of forms that no shipped tool has


class Place(Input):
    city: str
    floor: int | None = None


class Odd(Input):
    place: Place
    back: Place | None = None
    on: date = date(2026, 1, 1)
    urgent: bool = False
    retries: int | None = 3
    size: Literal["s", "m"] = "s"
    words: list[int] = Field(default=[])


ODD = Tool("crm_do_odd", "crm", "", "", Effect.WRITE, Idempotency.KEY, Odd, Output)


def odd(condition: str) -> Narrowing:
    texts = {
        "model.conf": (SHIPPED / "model.conf").read_text(encoding="utf-8"),
        "roles.csv": "g, person:ana, role:team, acme",
        "rules.csv": f'p, R1, role:team, crm_do_odd, "{condition}", allow,',
    }
    found = narrow(policy_from_texts(texts, [ODD]), ANA, ODD)
    check(found.schema)
    return found


def test_records_are_told_in_words_and_keep_their_definitions() -> None:
    found = odd("args.place.city == 'Lund' and args.place.floor >= 2 and args.back is None")
    assert found.schema["$defs"] == Odd.model_json_schema()["$defs"]
    assert "back" not in found.schema["properties"]
    assert found.words == ("Permitted only when `place.city` is `Lund` and `place.floor` is at least 2 (rule R1).",)


@pytest.mark.parametrize(
    ("condition", "name", "expected", "required"),
    [
        ("args.urgent", "urgent", {"const": True}, ["place", "urgent"]),
        ("not args.urgent", "urgent", {"const": False}, ["place"]),
        ("args.retries is not None", "retries", {}, ["place"]),
        ("args.retries is None", "retries", {}, ["place", "retries"]),
        ("args.retries > 3", "retries", {"exclusiveMinimum": 3}, ["place", "retries"]),
        ("args.size == 'm'", "size", {"const": "m"}, ["place", "size"]),
        ("'2026-03-01' <= args.on <= '2026-03-01'", "on", {"const": "2026-03-01"}, ["place", "on"]),
        ("all_in(args.words, [2, 1])", "words", {"items": {"enum": [1, 2]}}, ["place"]),
        ("not any_in(args.words, [1])", "words", {}, ["place"]),
    ],
)
def test_defaults_are_kept_only_while_they_are_permitted(
    condition: str, name: str, expected: dict[str, Any], required: list[str]
) -> None:
    found = odd(condition)
    assert told(found, name, ODD) == expected
    assert found.schema["required"] == required
    assert ("default" in prop(found, name)) is (name not in required)


# Conditions that are read again for each caller

SENDERS: tuple[Any, ...] = (str, str | None, Address, Literal["ana", "eve"])


def test_a_condition_means_for_each_tool_what_its_own_arguments_are_whatever_else_is_listed() -> None:
    tools = [
        replace(
            ODD, name=f"odd_do_thing{number}", input=create_model(f"Odd{number}", __base__=Input, sender=(kind, ...))
        )
        for number, kind in enumerate(SENDERS)
    ]
    rules = """p, R1, role:team, odd_*, "lower(args.sender) == person.id", allow,
p, R2, role:team, odd_*, "args.sender != person.id and person.id != 'eve'", deny,
"""
    roles = "g, person:ana, role:team, acme\ng, person:eve, role:team, acme\n"
    texts = {"model.conf": MODEL, "roles.csv": roles, "rules.csv": rules}
    several = policy_from_texts(texts, tools)
    narrower = Narrower(several, tools)
    for who in (ANA, Principal("acme", person="eve"), Principal("acme", person="ana")):
        found = narrower.narrow(who)
        for tool in tools:
            alone = narrow(several, who, tool)
            assert (found[tool.name].schema, found[tool.name].words) == (alone.schema, alone.words)
