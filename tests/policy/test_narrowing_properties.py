"""What a narrowed schema refuses is denied, and what an exact one accepts is not: for every policy and every call."""

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import Tool
from gateway.catalog import InvalidArguments, validate
from gateway.policy.decision import Verdict
from gateway.policy.judge import Policy
from gateway.policy.language.flow import Flow
from gateway.policy.language.history import History
from gateway.policy.narrowing.narrow import Narrower, Narrowing, narrow
from gateway.principal import Principal
from tests.policy.generated import ADDRESSES, AMOUNTS, BY_NAME, CALLED, LISTS, ODD_TEXTS, TIMES, generated, request
from tests.policy.making import NOW, TOOLS, policy
from tests.policy.schemas import accepts, check
from tests.policy.test_against_casbin import SPOKEN_OF

SEEDS = st.integers(min_value=0, max_value=10**9)


def as_written(tool: Tool, sent: Mapping[str, Any]) -> dict[str, Any] | None:
    """The call as the tool's model writes it, None being left out; None if the model refuses the call."""
    try:
        read = validate(tool, sent).model_dump()
    except InvalidArguments:
        return None
    return {name: _json(value) for name, value in read.items() if value is not None and name in sent}


def _json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, date) else value


def denied(rules: Policy, who: Principal, tool: Tool, sent: Mapping[str, Any], random: Random | None = None) -> bool:
    """Whether the call is denied; with a random source, at any time of any run."""
    args = validate(tool, sent).model_dump()
    times = TIMES if random else (NOW,)
    runs = [(History(), None), *([_run(random, tool.name) for _ in range(3)] if random else [])]
    return all(rules.decide(who, tool.name, args, now, *run).verdict is Verdict.DENY for now in times for run in runs)


def _run(random: Random, tool: str) -> tuple[History | None, Flow | None]:
    return request(random, tool)[4:]


# Calls that touch everything that conditions look at

TEXTS = (*ODD_TEXTS, "banana", "apple", "a", "ab", "b\u00e4", "K", "\u212a", "x" * 30, "a*b", "50.00")
VALUES: Mapping[str, tuple[Any, ...]] = {
    "amount": (*(float(each) for each in AMOUNTS), 1, 49, 50, 100.5, 200, 5000.01),
    "currency": ("EUR", "USD", "PLN", "SEK"),
    "reason": ("late", "goodwill"),
    "note": TEXTS,
    "order_id": ("ord_0001", "ord_abcd"),
    "deal_id": ("dea_0001",),
    "draft_id": ("dra_0001",),
    "ticket_id": ("tic_0001",),
    "version": (1, 2, 3, 2**31),
    "stage": (None, "won", "lost", "lead"),
    "close_date": (None, "2026-03-01", "2026-03-05", "2026-12-24"),
    "next_step": (None, *TEXTS),
    "mailbox": (*ADDRESSES, "Support@ACME.example", "a@other.example", "a@a.acme.example"),
    "subject": ("s", *TEXTS),
    "body": ("hello", "two\nlines"),
    "status": (None, "open", "solved", "closed"),
    "priority": (None, "high", "low"),
    "assignee": (None, *ADDRESSES, "B@Acme.Example"),
}
LISTS_OF: Mapping[str, tuple[Any, ...]] = {
    "to": (*ADDRESSES, "x@OTHER.example"),
    "cc": (*ADDRESSES, "x@OTHER.example"),
    "tags": ("vip", "x", "late"),
}


def a_call(random: Random, tool: Tool) -> dict[str, Any]:
    sent: dict[str, Any] = {}
    for name, field in tool.input.model_fields.items():
        if not field.is_required() and random.random() < 0.3:
            continue
        if name in LISTS_OF:
            sent[name] = random.choices(LISTS_OF[name], k=random.randrange(4))
            if not field.is_required() and random.random() < 0.2:
                sent[name] = None
        else:
            sent[name] = random.choice(VALUES[name])
    return sent


ATOMS: Mapping[str, tuple[str, ...]] = {
    "crm_issue_refund": (
        "args.amount <= {number}",
        "args.amount > {number}",
        "{number} <= args.amount < {number}",
        "args.amount == {number}",
        "args.amount in [50, 51, 200]",
        "args.currency == 'EUR'",
        "args.currency in ['EUR', 'USD']",
        "starts_with(args.note, {text})",
        "ends_with(args.note, {text})",
        "glob(args.note, 'a*n*a')",
        "starts_with(lower(args.note), 'b')",
        "lower(args.note) in ['k', 'banana']",
        "ends_with(lower(args.note), 'i')",
        "args.note in ['', 'a', 'banana']",
        "domain(args.note) == 'acme.example'",
        "len(args.note) >= 2",
        "len(args.note) == 1",
        "len(args.note) <= 2.5",
        "50 == args.amount",
        "(args.amount > 50) == True",
        "args.amount + total('crm_issue_refund', 'amount') <= {number}",
        "now.hour >= 9",
    ),
    "crm_update_deal": (
        "args.amount is None",
        "args.amount is not None and args.amount <= {number}",
        "args.amount <= {number}",
        "args.amount != {number}",
        "args.stage == 'won'",
        "args.stage is not None",
        "args.stage not in ['won', 'lost']",
        "args.close_date > '2026-03-02'",
        "'2026-03-05' <= args.close_date <= '2026-03-05'",
        "args.close_date is None",
        "args.close_date >= now.date",
        "args.next_step is None",
        "starts_with(args.next_step, 'a')",
        "args.next_step == args.stage",
        "len(args.next_step) < 4",
        "args.version <= 2",
    ),
    "email_send_message": (
        "all_in(domain(args.to), ['acme.example'])",
        "all_in(domain(args.to), ['acme.example', 'other.example'])",
        "all_in(domain(args.cc), lists.ours)",
        "any_in(domain(args.cc), ['evil.example'])",
        "any_in(args.to, ['a@acme.example'])",
        "all_in(args.to, ['a@acme.example', 'b@acme.example'])",
        "'a@acme.example' in args.cc",
        "args.mailbox in args.to",
        "len(args.cc) < 1",
        "1 < len(args.to) <= 2",
        "args.mailbox == 'support@acme.example'",
        "lower(args.mailbox) == 'support@acme.example'",
        "domain(args.mailbox) == 'acme.example'",
        "domain(args.mailbox) in lists.ours",
        "ends_with(args.mailbox, '.example')",
        "starts_with(domain(args.mailbox), 'a')",
        "ends_with(domain(args.mailbox), 'acme.example')",
        "glob(args.mailbox, 's*@acme*')",
    ),
    "email_update_draft": (
        "args.to is None",
        "args.cc is None",
        "args.to is not None and all_in(domain(args.to), ['acme.example'])",
        "all_in(domain(args.to), ['acme.example'])",
        "args.to is None or not any_in(args.to, ['c@evil.example'])",
        "args.subject is None",
        "args.version == 2",
        "args.body is not None",
    ),
    "ticket_update_ticket": (
        "args.assignee == person.id",
        "args.assignee is None",
        "args.assignee is not None and domain(args.assignee) != 'acme.example'",
        "args.status in ['solved', 'closed']",
        "args.status == 'open'",
        "args.tags is None",
        "any_in(args.tags, ['vip'])",
        "all_in(args.tags, ['vip', 'late'])",
        "all_in(['vip'], args.tags)",
        "len(args.tags) <= 1",
        "args.priority == 'high'",
        "person.id is not None",
        "tenant == 'acme'",
        "calls('crm_*') < 2",
    ),
}


def a_condition(random: Random, tool: str, depth: int = 0) -> str:
    kind = random.random()
    if depth == 0 and kind < 0.15:
        return ""
    if depth < 2 and kind < 0.45:
        parts = [a_condition(random, tool, depth + 1) for _ in range(random.randrange(2, 4))]
        return f"({random.choice((' and ', ' or ')).join(parts)})"
    if depth < 3 and kind < 0.65:
        return f"not {a_condition(random, tool, depth + 1)}"
    return random.choice(ATOMS[tool]).format(number=random.choice(AMOUNTS), text=repr(random.choice(ODD_TEXTS)))


WORKING = Principal("acme", person="a@acme.example", agent="bot")


def a_policy(random: Random, tool: str) -> Policy:
    """Some rules about one tool for a person and an agent."""
    lines = []
    for number in range(random.randrange(1, 7)):
        effect = "allow" if number == 0 else random.choice(("allow", "ask", "deny"))
        role = random.choice(("role:team", "role:everyone", "role:bot"))
        condition = a_condition(random, tool).replace('"', '""')
        lines.append(f'p, R{number}, {role}, {tool}, "{condition}", {effect}, note {number}')
    lines += ["p, T1, role:team, crm_get_contact, , allow,", "p, T2, role:bot, crm_get_contact, , allow,"]
    if random.random() < 0.8:
        lines.append(f"p, T3, role:bot, {tool}, , allow,")
    roles = "g, person:a@acme.example, role:team, acme\ng, agent:bot, role:bot, acme\n"
    return policy("\n".join(lines), roles, lists=LISTS)


def check_shown(rules: Policy, who: Principal, tool: Tool, found: Narrowing, random: Random, calls: int = 15) -> None:
    plain = tool.input.model_json_schema()
    check(found.schema)
    json.dumps(found.schema, allow_nan=False)
    for _ in range(calls):
        sent = a_call(random, tool)
        written = as_written(tool, sent)
        if written is None or not accepts(plain, sent):
            continue
        if not denied(rules, who, tool, sent, random):
            assert found.possible
            assert accepts(found.schema, written), (written, sent)
        shown = accepts(found.schema, sent)
        if found.exact and shown:
            for now in TIMES:
                args = validate(tool, sent).model_dump()
                assert rules.decide(who, tool.name, args, now, *_run(random, tool.name)).verdict is not Verdict.DENY, (
                    sent
                )


@settings(max_examples=250, deadline=None)
@given(SEEDS)
def test_what_a_schema_refuses_is_denied_and_what_an_exact_one_accepts_is_not(seed: int) -> None:
    random = Random(seed)
    tool = BY_NAME[random.choice(CALLED)]
    rules = a_policy(random, tool.name)
    check_shown(rules, WORKING, tool, narrow(rules, WORKING, tool), random)


@settings(max_examples=80, deadline=None)
@given(SEEDS)
def test_it_holds_for_every_principal_of_a_policy_with_roles_and_tenants(seed: int) -> None:
    random, made = Random(seed), generated(seed)
    rules = policy(SPOKEN_OF + made.rules, made.roles, lists=made.lists)
    narrower = Narrower(rules, TOOLS)
    for who, name, *_ in made.requests[:3]:
        found = narrower.narrow(who)
        check_shown(rules, who, BY_NAME[name], found[name], random)
        assert {tool.name for tool in TOOLS if found[tool.name].possible} <= rules.visible(who, NOW)
