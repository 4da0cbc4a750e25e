"""Proofs against trying: over small policies every call is tried, and over large ones many are."""

import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Annotated, Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from connectors.contract import Confidentiality, Effect, Idempotency, Input, Output, Sink, Tool
from gateway.policy.decision import Verdict
from gateway.policy.judge import Policy
from gateway.policy.language.check import check
from gateway.policy.language.compiled import Facts, compiled
from gateway.policy.language.flow import Flow, Integrity, Origin
from gateway.policy.language.history import History
from gateway.policy.language.kinds import type_of_tool
from gateway.policy.language.parse import parse
from gateway.policy.proof.invariants import REQUIREMENTS, Who
from gateway.policy.proof.prove import prove_stricter
from gateway.policy.proof.world import Status
from gateway.principal import Principal
from tests.policy.generated import generated
from tests.policy.making import TOOLS, policy
from tests.policy.proving import answer, policy_about, statements
from tests.policy.test_against_casbin import SPOKEN_OF

SEEDS = st.integers(min_value=0, max_value=10**9)

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


SINKS = {"amount": Sink.AMOUNT, "word": Sink.CONTENT, "tags[]": Sink.RECIPIENT}


def tool_named(name: str) -> Tool:
    return Tool(name, "small", name, name, Effect.WRITE, Idempotency.KEY, Small, Nothing, SINKS)


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
    "origin(args.word) in ['request', 'organisation']",
    "origin(args.word) == origin(args.tags)",
    "origin(args.amount) != 'outsider'",
    "confidentiality(args.word) {order} audience(args.tags)",
    "confidentiality(args.word) != 'customer'",
    "first_time(args.tags)",
    "run.saw_untrusted and origin(args.tags) == 'outsider'",
    "run.integrity == 'customer'",
    "run.saw_private",
    "run.confidentiality {order} 'internal'",
    "run.has_grant or run.is_intended",
    "run.denials {order} {number}",
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
        if not text or (node and not check(node, type_of_tool(SMALL[0]))):
            return text


def is_meant(about: Who, who: Principal, loaded: Policy) -> bool:
    """What a statement's `who` says, read once more from its description."""
    party = {"anyone": True, "person": who.person, "agent": who.agent}[about.subject]
    other = who.agent if about.subject == "person" else who.person
    if not party or (about.company == "alone" and other) or (about.company == "for a person" and not other):
        return False
    roles = dict(zip(who.parties, loaded.groups(who), strict=True))
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


def some_flows(random: Random) -> list[Flow]:
    """Some of the data flows that there can be: of every argument everything is known."""
    return [
        Flow(
            origins={name: random.choice(list(Origin)) for name in ("amount", "word", "tags")},
            confidentiality={"word": random.choice(list(Confidentiality))},
            audience={"tags": random.choice(list(Confidentiality))},
            integrity=random.choice(list(Integrity)),
            seen=random.choice(list(Confidentiality)),
            has_grant=random.random() < 0.5,
            is_intended=random.random() < 0.5,
            first_time={"tags": random.random() < 0.5},
            denials=random.randrange(3),
        )
        for _ in range(12)
    ]


AnyCall = tuple[Principal, dict[str, object], datetime, History, Flow]
FLOWING = ("run.", "origin(", "confidentiality(", "first_time(")


def every_call(random: Random, text: str) -> Iterator[AnyCall]:
    """Every call that differs in what the text mentions; if these are too many, some of them."""
    spaces = [values if f"args.{name}" in text else values[:1] for name, values in SPACE.items()]
    moments = MOMENTS if "now." in text else MOMENTS[:1]
    runs = [History({"small_do_two": [{}] * count}) for count in range(4 if "calls(" in text else 1)]
    flows = some_flows(random) if any(word in text for word in FLOWING) else [Flow()]
    calls = list(itertools.product(itertools.product(*spaces), moments, runs, flows))
    for who in EVERYBODY:
        for values, now, history, flow in random.sample(calls, min(len(calls), MOST_CALLS // len(EVERYBODY))):
            yield who, dict(zip(SPACE, values, strict=True)), now, history, flow


@settings(max_examples=80, deadline=None)
@given(SEEDS)
def test_the_solver_agrees_with_trying_every_call(seed: int) -> None:
    random = Random(seed)
    rules, requirement = small_rules(random), random.choice(list(REQUIREMENTS))
    loaded = policy_about(SMALL, rules, ROLES)
    who = random.choice(("anyone", "any person", "any agent for a person", "anyone without role:r0", "any agent alone"))
    own = sound_condition(random)
    line = f'{who}, small_do_one, "{own}", {requirement}, ""'
    [statement] = statements(f"i, X, {line}", loaded, SMALL)
    found = answer(line, loaded, SMALL)
    meant = compiled(statement.condition) if statement.condition else lambda _: True

    def breaks_it(who: Principal, args: Mapping[str, object], now: datetime, history: History, flow: Flow) -> bool:
        if not is_meant(statement.who, who, loaded):
            return False
        try:
            if meant(Facts(args, who.person, who.agent, who.tenant, now, history, flow)) is not True:
                return False
        except Exception:  # noqa: BLE001
            return False
        return loaded.decide(who, "small_do_one", args, now, history, flow).verdict in statement.forbidden

    broken = any(breaks_it(*call) for call in every_call(random, own + rules))
    assert not (broken and found.status is Status.PROVED), (line, rules)
    if found.status is Status.UNDECIDED:
        assert "outside what can be translated: two texts that both depend on the call" in found.reason
    if found.example:
        call = found.example.call
        assert breaks_it(call.principal, call.values, call.now, call.history, call.flow)


@settings(max_examples=50, deadline=None)
@given(SEEDS)
def test_a_change_is_called_stricter_only_if_no_call_shows_otherwise(seed: int) -> None:
    random = Random(seed)
    before, after = small_rules(random), small_rules(random)
    if random.random() < 0.5:
        after = before.replace("p, R0,", "# p, R0,").replace(", allow,", random.choice((", allow,", ", ask,")), 4)
    old, new = policy_about(SMALL, before, ROLES), policy_about(SMALL, after, ROLES)
    found = dict(prove_stricter(old, new, SMALL))["small_do_one"]

    def loosened(who: Principal, args: Mapping[str, object], now: datetime, history: History, flow: Flow) -> bool:
        verdicts = [each.decide(who, "small_do_one", args, now, history, flow).verdict for each in (old, new)]
        return verdicts[1].strictness < verdicts[0].strictness

    shown = any(loosened(*call) for call in every_call(random, before + after))
    assert not (shown and found.status is Status.PROVED)
    if found.example:
        call = found.example.call
        assert loosened(call.principal, call.values, call.now, call.history, call.flow)


COMPLETE: Mapping[str, Mapping[str, object]] = {
    "crm_issue_refund": {"order_id": "ord_0001", "reason": "late"},
    "crm_update_deal": {"deal_id": "dea_0001", "version": 1},
    "email_send_message": {"body": "text"},
    "email_update_draft": {"draft_id": "dra_0001"},
    "ticket_update_ticket": {"ticket_id": "tic_0001", "version": 1},
}


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_nothing_that_a_valid_call_shows_is_proved_impossible(seed: int) -> None:
    made = generated(seed)
    loaded = policy(SPOKEN_OF + made.rules, made.roles, lists=made.lists)
    impossible = {Verdict.ALLOW: "never allow", Verdict.ASK: "always allow", Verdict.DENY: "never deny"}
    for who, name, args, now, history, flow in made.requests:
        tool = next(tool for tool in TOOLS if tool.name == name)
        try:
            values = tool.input.model_validate({**COMPLETE[name], **args}).model_dump()
        except ValidationError:
            continue
        kind = "agent" if who.agent else "person"
        company = "for a person" if who.agent and who.person else "alone"
        verdict = loaded.decide(who, name, values, now, history, flow).verdict
        line = f'any {kind} {company}, {name}, "tenant == \'{who.tenant}\'", {impossible[verdict]}, ""'
        is_known = history is not None and flow is not None and len(flow.origins) == len(tool.sinks)
        if is_known:
            assert answer(line, loaded).status is not Status.PROVED
