"""What is claimed about a condition without a call is true of every call."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import Confidentiality
from gateway.policy.files.lists import read_lists
from gateway.policy.language.compiled import Facts, compiled
from gateway.policy.language.expression import Constant, Node
from gateway.policy.language.flow import Flow, Level, Origin
from gateway.policy.language.kinds import Type, type_of_tool
from gateway.policy.language.parse import parse
from gateway.policy.lint.extent import Extent, extent_of
from gateway.policy.lint.reach import always, cases_of, implies, never
from tests.policy.generated import BY_NAME, CALLED, LISTS, Request, condition, flow, request
from tests.policy.making import TOOLS

TYPES: Mapping[str, Type] = {tool.name: type_of_tool(tool) for tool in TOOLS}
REFUNDS = TYPES["crm_issue_refund"]


def node_of(written: str) -> Node:
    node, mistakes = parse(written, read_lists(LISTS, [])) if written else (Constant(True, 0), [])
    assert node is not None, mistakes
    return node


def told_of_all(random: Random, tool: str) -> Flow:
    """A data flow of which everything is known that can be asked about."""
    found = flow(random, tool) or Flow()
    sinks = [path.removesuffix("[]") for path in BY_NAME[tool].sinks]
    return replace(
        found,
        origins={**dict.fromkeys(sinks, random.choice(list(Origin))), **found.origins},
        confidentiality={**dict.fromkeys(sinks, random.choice(list(Confidentiality))), **found.confidentiality},
        audience={**dict.fromkeys(sinks, random.choice(list(Confidentiality))), **found.audience},
        first_time={**dict.fromkeys(sinks, False), **found.first_time},
    )


def outcome(node: Node, asked: Request) -> object:
    """True, False, or None when it cannot be evaluated."""
    who, _, args, now, history, flow = asked
    try:
        return compiled(node)(Facts(args, who.person, who.agent, who.tenant, now, history, flow))
    except Exception:  # noqa: BLE001 - whatever a condition raises denies
        return None


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(CALLED))
def test_no_call_contradicts_what_is_claimed(seed: int, tool: str) -> None:
    random = Random(seed)
    one, two = node_of(condition(random, tool)), node_of(condition(random, tool))
    first, second, arguments = cases_of(one), cases_of(two), TYPES[tool]
    for _ in range(6):
        # What is claimed leaves aside that the data flow could not be found out.
        asked = (*request(random, tool)[:-1], told_of_all(random, tool))
        holds, other = outcome(one, asked), outcome(two, asked)
        if never(first, arguments, TYPES):
            assert holds is not True
        if always(first, one, arguments, TYPES):
            assert holds is True
        if implies(first, second, arguments, TYPES):
            assert holds is not True or other is not False


def test_the_generated_conditions_reach_every_claim() -> None:
    random, seen = Random(7), Counter[str]()
    for number in range(1500):
        tool = CALLED[number % len(CALLED)]
        one, two = node_of(condition(random, tool)), node_of(condition(random, tool))
        cases = cases_of(one)
        seen["never"] += never(cases, TYPES[tool], TYPES)
        seen["always"] += always(cases, one, TYPES[tool], TYPES)
        seen["implies"] += implies(cases, cases_of(two), TYPES[tool], TYPES)
    assert min(seen["never"], seen["always"], seen["implies"]) > 20, seen


NUMBERS = st.one_of(st.integers(-5, 15), st.decimals(-5, 15, places=1))
EDGES = st.tuples(st.sampled_from(["<", "<=", ">", ">="]), NUMBERS)


@given(st.lists(EDGES, max_size=5), st.booleans(), NUMBERS)
def test_a_number_within_all_bounds_is_never_called_impossible(
    edges: list[tuple[str, int | Decimal]], whole: bool, value: int | Decimal
) -> None:
    extent = Extent(whole=whole)
    for relation, edge in edges:
        extent = extent.narrowed(relation, edge)  # type: ignore[arg-type] # one of the four
    fits = all({"<": value < n, "<=": value <= n, ">": value > n, ">=": value >= n}[r] for r, n in edges)
    if fits and (not whole or value == int(value)):
        assert not extent.is_empty()
        assert extent.admits(value)
        assert (found := extent.candidates()) is None or value in found


@given(st.lists(st.tuples(st.sampled_from(["<", "<=", ">", ">="]), st.integers(-3, 6)), max_size=4))
def test_whole_numbers_without_a_value_between_their_bounds_are_called_impossible(
    edges: list[tuple[str, int]],
) -> None:
    extent = Extent(whole=True)
    for relation, edge in edges:
        extent = extent.narrowed(relation, edge)  # type: ignore[arg-type] # one of the four
    possible = [
        value
        for value in range(-9, 13)
        if all({"<": value < n, "<=": value <= n, ">": value > n, ">=": value >= n}[r] for r, n in edges)
    ]
    assert extent.is_empty() is (not possible)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("args.amount", Extent(low=(Decimal(0), True), high=(Decimal(1_000_000), False))),
        ("args.amount + 5", Extent(low=(Decimal(5), True), high=(Decimal(1_000_005), False))),
        ("args.amount + calls('crm_*')", Extent(low=(Decimal(0), True))),
        ("total('crm_issue_refund', 'amount')", Extent(low=(0, False))),
        ("len(args.note)", Extent(low=(0, False), high=(200, False), whole=True)),
        ("now.hour", Extent(low=(Decimal(0), False), high=(Decimal(23), False), whole=True)),
        ("now.date", Extent()),
        ("person.id", Extent(optional=True)),
        ("run.records", Extent(low=(Decimal(0), False), whole=True)),
        ("run.saw_untrusted", Extent(choices=(True, False))),
        ("confidentiality(args.note)", Extent(choices=tuple(Level))),
        ("origin(args.order_id)", Extent(choices=tuple(origin.value for origin in Origin))),
        ("lower(args.note)", Extent()),
    ],
)
def test_the_values_of_a_part_follow_from_what_the_tool_declares(written: str, expected: Extent) -> None:
    assert extent_of(node_of(written), REFUNDS, TYPES) == expected


def test_the_choices_of_a_field_are_its_values_and_nothing_when_it_may_be_left_out() -> None:
    stage = extent_of(node_of("args.stage"), TYPES["crm_update_deal"], TYPES)
    assert stage.candidates() == ("lead", "qualified", "proposal", "negotiation", "won", "lost", None)
    assert not stage.admits("won!")
    assert extent_of(node_of("args.limit"), TYPES["crm_list_deals"], TYPES).candidates() == tuple(range(1, 51))
