"""Proofs: nothing is proved that some call breaks, and every counter-example is a call that the policy decides so."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from connectors.contract import Effect, Idempotency, Input, Output, Tool
from gateway.policy.check import check
from gateway.policy.compiled import Facts, compiled
from gateway.policy.decision import Verdict
from gateway.policy.history import History
from gateway.policy.judge import Policy
from gateway.policy.kinds import type_of_model
from gateway.policy.load import load_policy, policy_from_texts
from gateway.policy.parse import parse
from gateway.policy.problem import Problem
from gateway.policy.proof.invariants import REQUIREMENTS, Invariant, Who, read_invariants
from gateway.policy.proof.prove import Answer, prove_invariants
from gateway.policy.proof.world import Status
from gateway.principal import Principal
from tests.policy.making import MODEL, SHIPPED, TOOLS

SHIPPED_INVARIANTS = (SHIPPED / "invariants.csv").read_text(encoding="utf-8")
RULES = (SHIPPED / "rules.csv").read_text(encoding="utf-8")
SEEDS = st.integers(min_value=0, max_value=10**9)


def policy_of(rules: str, roles: str | None = None, tools: Sequence[Tool] = TOOLS) -> Policy:
    """The shipped policy with other rules, or a policy of these texts."""
    texts = {
        path.name: path.read_text(encoding="utf-8") for path in SHIPPED.iterdir() if path.suffix in (".csv", ".conf")
    }
    if roles is not None:
        texts = {"model.conf": MODEL, "roles.csv": roles}
    return policy_from_texts({**texts, "rules.csv": rules}, tools)


def statements(text: str, policy: Policy, tools: Sequence[Tool] = TOOLS) -> tuple[Invariant, ...]:
    problems: list[Problem] = []
    found = read_invariants(text, policy, tools, problems)
    assert not problems, problems
    return found


def answers(text: str, policy: Policy, tools: Sequence[Tool] = TOOLS) -> dict[str, Answer]:
    return {each.id: answer for each, answer in prove_invariants(policy, tools, statements(text, policy, tools))}


def answer(line: str, policy: Policy, tools: Sequence[Tool] = TOOLS) -> Answer:
    [found] = answers(f"i, X, {line}", policy, tools).values()
    return found


def test_every_invariant_of_the_shipped_policy_is_proved() -> None:
    found = answers(SHIPPED_INVARIANTS, load_policy(SHIPPED, TOOLS))
    assert {id_: each.status for id_, each in found.items()} == dict.fromkeys(found, Status.PROVED)
    assert len(found) >= 10


HOLES = {
    "a limit that no longer asks": ([('"50 < args.amount <= 500", ask', '"50 < args.amount <= 500", allow')], {"I02"}),
    "an agent that may": ([('"args.amount <= 200", ask', '"args.amount <= 200", allow')], {"I02", "I03", "I04"}),
    "a deny with a condition": (
        [('role:sales, crm_issue_refund, "", deny', 'role:sales, crm_issue_refund, "args.amount > 1", deny')],
        {"I03", "I05"},
    ),
    "a deny that speaks of somebody else": ([('"person.id is None", deny', "\"person.id == 'x'\", deny")], {"I11"}),
    "two limits raised": (
        [
            ('"args.amount > 5000", deny', '"args.amount > 50000", deny'),
            ("500 < args.amount <= 5000", "500 < args.amount"),
        ],
        {"I01"},
    ),
    "an at sign left out": (
        [
            ("ends_with(args.mailbox, '@larkspur", "ends_with(args.mailbox, 'larkspur"),
            ("# L:", 'p, S99, role:support_agent, email_get_*, "", allow, "read"\n# L:'),
        ],
        {"I06"},
    ),
    "one limit raised, the other still holding": (
        [('"args.amount > 5000", deny', '"args.amount > 50000", deny')],
        set(),
    ),
}


@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_cut_into_the_shipped_policy_is_found(hole: str) -> None:
    changes, broken = HOLES[hole]
    rules = RULES
    for written, instead in changes:
        assert rules.count(written) >= 1
        rules = rules.replace(written, instead)
    policy = policy_of(rules)
    found = answers(SHIPPED_INVARIANTS, policy)
    assert {id_ for id_, each in found.items() if each.status is Status.BROKEN} == broken
    assert {each.status for each in found.values()} <= {Status.PROVED, Status.BROKEN}


def test_a_counter_example_is_a_call_that_the_tool_accepts_and_the_policy_decides_so() -> None:
    policy = policy_of(
        RULES.replace("ends_with(args.mailbox, '@", "ends_with(args.mailbox, '").replace("'@larkspur", "'larkspur")
        + '\np, Z1, role:sales, email_send_message, "", allow, "all"'
    )
    found = answer('any person, email_send_message, "", never allow, ""', policy).example
    assert found is not None
    call = found.call
    assert json.loads(json.dumps(call.args)) == call.args
    tool = next(tool for tool in TOOLS if tool.name == call.tool)
    assert tool.input.model_validate(call.args).model_dump() == call.values
    assert policy.decide(call.principal, call.tool, call.values, call.now, call.history) == found.decision
    assert found.decision.verdict is Verdict.ALLOW


# A tool whose input is so small that every call can be tried.


class Small(Input):
    amount: Annotated[int, Field(ge=0, le=2)]
    price: (
        Annotated[Decimal, Field(ge=0, le=Decimal("0.1"), decimal_places=1, max_digits=2, allow_inf_nan=False)] | None
    ) = None
    word: Annotated[str, Field(pattern=r"^[aB]{0,2}$")]
    kind: Literal["x", "y"] | None = None
    flag: bool | None = None
    tags: Annotated[list[Literal["p", "q"]], Field(max_length=2)] | None = None


class Nothing(Output):
    pass


def tool_named(name: str) -> Tool:
    return Tool(name, "small", name, name, Effect.WRITE, Idempotency.KEY, Small, Nothing)


SMALL = (tool_named("small_do_one"), tool_named("small_do_two"))
WORDS = ["".join(letters) for count in range(3) for letters in itertools.product("aB", repeat=count)]
LISTS = [list(items) for count in range(3) for items in itertools.product("pq", repeat=count)]
ATOMS = (
    "args.amount {order} {number}",
    "{number} <= args.amount < {number}",
    "args.amount in [0, 2]",
    "args.amount != {number}",
    "args.price {order} 0.05",
    "args.price is None",
    "args.price == 0.1",
    "args.price + args.amount {order} 1.1",
    "args.word == '{word}'",
    "lower(args.word) == '{lower}'",
    "starts_with(args.word, '{word}')",
    "not ends_with(args.word, '{word}')",
    "glob(args.word, '{word}*{word}')",
    "len(args.word) {order} {number}",
    "args.word in ['a', 'aB']",
    "starts_with(lower(args.word), '{lower}')",
    "args.kind == 'x'",
    "args.kind is not None",
    "args.kind not in ['x']",
    "starts_with(args.kind, 'x')",
    "args.kind != args.word",
    "args.flag == True",
    "args.flag is None",
    "all_in(args.tags, ['p'])",
    "any_in(args.tags, ['q'])",
    "'p' in args.tags",
    "len(args.tags) {order} {number}",
    "person.id == 'ana'",
    "agent.id is None",
    "lower(agent.id) == 'bot'",
    "starts_with(person.id, 'a')",
    "ends_with(person.id, 'e') ",
    "tenant == 'acme'",
    "args.word == person.id",
    "now.hour {order} 12",
    "now.weekday in [5, 6]",
    "calls('small_*') {order} {number}",
)
ROLES = """
g, role:r0, role:everyone, *
g, role:r1, role:everyone, *
g, role:r2, role:r0, acme
g, person:ana, role:r0, acme
g, person:eve, role:r1, *
g, person:ana, role:r2, globex
g, agent:bot, role:r0, acme
g, agent:bot, role:r1, globex
"""
EVERYBODY = [
    Principal(tenant, person, agent)
    for tenant in ("acme", "globex", "other")
    for person in ("ana", "eve", "zoe", "a", "B", None)
    for agent in ("bot", "new", None)
    if person or agent
]
MOMENTS = [datetime(2026, 1, day, hour, tzinfo=UTC) for day in (2, 3) for hour in (11, 12, 13)]


def condition(random: Random, depth: int = 0) -> str:
    kind = random.random()
    if depth < 2 and kind < 0.4:
        word = random.choice((" and ", " or "))
        return "(" + word.join(condition(random, depth + 1) for _ in range(2)) + ")"
    if depth < 3 and kind < 0.5:
        return f"not ({condition(random, depth + 1)})"
    return random.choice(ATOMS).format(
        order=random.choice(("<", "<=", ">", ">=")), number=random.randrange(3),
        word=random.choice(WORDS), lower=random.choice(("", "a", "b", "ab")),
    )  # fmt: skip


def sound_condition(random: Random) -> str:
    """A condition that the loader accepts."""
    while True:
        text = condition(random) if random.random() < 0.85 else ""
        node, _ = parse(text) if text else (None, [])
        if not text or (node and not check(node, type_of_model(Small))):
            return text


def is_meant(about: Who, who: Principal, policy: Policy) -> bool:
    """What a statement's `who` says, read once more from its description."""
    party = {"anyone": True, "person": who.person, "agent": who.agent}[about.subject]
    other = who.agent if about.subject == "person" else who.person
    if not party or (about.company == "alone" and other) or (about.company == "for a person" and not other):
        return False
    roles = dict(zip(who.parties, policy.groups(who), strict=True))
    looked_at = [roles[name] for name in who.parties if about.subject in ("anyone", name.partition(":")[0])]
    held = frozenset().union(*looked_at)
    return about.having <= held and not about.lacking & held


def small_rules(random: Random) -> str:
    lines = [f'p, S{number}, role:r{number}, small_do_one, "1 > 2", allow, ""' for number in range(3)]
    for number in range(random.randrange(1, 6)):
        role = random.choice(("role:r0", "role:r1", "role:r2", "role:everyone"))
        effect = random.choice(("allow", "allow", "ask", "deny"))
        tool = random.choice(("small_*", "small_do_one", "small_do_two"))
        lines.append(f'p, R{number}, {role}, {tool}, "{sound_condition(random)}", {effect}, ""')
    return "\n".join(lines)


SPACE: dict[str, list[object]] = {
    "amount": [0, 1, 2],
    "price": [None, Decimal(0), Decimal("0.1")],
    "word": list(WORDS),
    "kind": [None, "x", "y"],
    "flag": [None, True, False],
    "tags": [None, *LISTS],
}
MOST_CALLS = 4_000


def every_call(random: Random, text: str) -> Iterator[tuple[Principal, dict[str, object], datetime, History]]:
    """Every call that differs in what the text mentions; if these are too many, some of them."""
    spaces = [values if f"args.{name}" in text else values[:1] for name, values in SPACE.items()]
    moments = MOMENTS if "now." in text else MOMENTS[:1]
    runs = [History({"small_do_two": [{}] * count}) for count in range(4 if "calls(" in text else 1)]
    calls = list(itertools.product(itertools.product(*spaces), moments, runs))
    for who in EVERYBODY:
        for values, now, history in random.sample(calls, min(len(calls), MOST_CALLS // len(EVERYBODY))):
            yield who, dict(zip(SPACE, values, strict=True)), now, history


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_the_solver_agrees_with_trying_every_call(seed: int) -> None:
    random = Random(seed)
    rules, requirement = small_rules(random), random.choice(list(REQUIREMENTS))
    policy = policy_of(rules, ROLES, SMALL)
    who = random.choice(("anyone", "any person", "any agent for a person", "anyone without role:r0", "any agent alone"))
    own = sound_condition(random)
    line = f'{who}, small_do_one, "{own}", {requirement}, ""'
    [statement] = statements(f"i, X, {line}", policy, SMALL)
    found = answer(line, policy, SMALL)
    meant = compiled(statement.condition) if statement.condition else lambda _: True

    def breaks_it(who: Principal, args: Mapping[str, object], now: datetime, history: History) -> bool:
        if not is_meant(statement.who, who, policy):
            return False
        try:
            if meant(Facts(args, who.person, who.agent, who.tenant, now, history)) is not True:
                return False
        except Exception:  # noqa: BLE001
            return False
        return policy.decide(who, "small_do_one", args, now, history).verdict in statement.forbidden

    broken = any(breaks_it(*call) for call in every_call(random, own + rules))
    assert not (broken and found.status is Status.PROVED), (line, rules)
    if found.status is Status.UNDECIDED:
        assert "args.kind != args.word" in own + rules or "args.word == person.id" in own + rules, found.reason
    if found.example:
        call = found.example.call
        assert breaks_it(call.principal, call.values, call.now, call.history)
