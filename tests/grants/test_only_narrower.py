"""Whatever a grant says: what it lets through, policy lets through without it."""

import os
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.registry import TOOLS
from gateway.catalog import validate
from gateway.flow.arguments import UNTRACED
from gateway.gateway import ToolCall, decide
from gateway.grants.bounds import why_outside
from gateway.grants.grant import Grant, Terms, narrow
from gateway.policy.decision import Decision, Verdict
from tests.gateway.conftest import OpenGateway
from tests.grants.granting import ANA, INES, TRIAGE
from tests.grants.test_tokens_of_grants import GRANT

EXAMPLES = int(os.environ.get("REMIT_GRANT_EXAMPLES", "300"))
BY_NAME = {tool.name: tool for tool in TOOLS}
REFUND = {"order_id": "ord_1234", "currency": "EUR", "reason": "late"}
AMOUNTS = st.one_of(st.integers(1, 700), st.floats(0.01, 700).map(lambda value: round(value, 2)), st.just("50.00"))
CALLS: st.SearchStrategy[tuple[str, dict[str, Any]]] = st.one_of(
    AMOUNTS.map(lambda amount: ("crm_issue_refund", {**REFUND, "amount": amount})),
    st.sampled_from(["con_1234", "con_5678"]).map(lambda contact: ("crm_get_contact", {"contact_id": contact})),
    st.sampled_from(["a@b.example", "A@B.example"]).map(
        lambda email: ("crm_create_contact", {"name": "Kim", "email": email})
    ),
    st.just(("ticket_search_tickets", {})),
)  # fmt: skip
PATTERNS = st.sampled_from(
    ["*", "crm_*", "crm_get_*", "crm_issue_refund", "crm_create_contact", "ticket_*", "nothing_*"]
)
VALUES = st.one_of(AMOUNTS, st.sampled_from(["con_1234", "a@B.EXAMPLE", "EUR", "late", "", True]))
ARGUMENTS = st.sampled_from(["amount", "contact_id", "email", "currency", "no_such"])
TERMS = st.builds(
    Terms,
    request=st.text(max_size=20),
    tools=st.none() | st.lists(PATTERNS, max_size=3).map(tuple),
    limits=st.dictionaries(PATTERNS, st.integers(0, 3), max_size=2),
    targets=st.dictionaries(
        st.sampled_from(sorted(BY_NAME)),
        st.dictionaries(ARGUMENTS, st.lists(VALUES, max_size=3).map(tuple), max_size=2),
        max_size=2,
    )
    | st.fixed_dictionaries({"crm_issue_refund": st.fixed_dictionaries({"amount": st.tuples(AMOUNTS, AMOUNTS)})}),
)
MADE = st.dictionaries(st.sampled_from(sorted(BY_NAME)), st.integers(0, 3), max_size=3)


def under(terms: Terms) -> Grant:
    return Grant(GRANT.id, GRANT.run, GRANT.principal, terms, GRANT.issued_at, GRANT.expires_at)


async def test_no_grant_lets_any_call_through_that_policy_would_not(opened: OpenGateway) -> None:
    seen: set[tuple[Verdict, Verdict]] = set()
    async with opened() as gateway:
        policy = gateway.policy.current

        @settings(max_examples=EXAMPLES, deadline=None)
        @given(TERMS, CALLS, MADE, st.sampled_from([ANA, INES, TRIAGE]))
        def holds(terms: Terms, made_call: tuple[str, dict[str, Any]], made: dict[str, int], who: Any) -> None:
            tool = BY_NAME[made_call[0]]
            arguments = validate(tool, made_call[1])
            plain = ToolCall(who, tool.name, made_call[1])
            granted = ToolCall(who, tool.name, made_call[1], grant=under(terms), made=made)
            without, within = (
                decide(gateway, each, policy, tool, arguments, None, UNTRACED).decision for each in (plain, granted)
            )
            seen.add((without.verdict, within.verdict))
            assert within.verdict.strictness >= without.verdict.strictness
            assert within == without or (within.verdict is Verdict.DENY and within.rules == ("grant",))

        holds()
    wanted = {(Verdict.ALLOW, Verdict.ALLOW), (Verdict.ALLOW, Verdict.DENY), (Verdict.DENY, Verdict.DENY)}
    assert wanted <= seen, "the property is empty unless grants both let through and deny"


@settings(max_examples=EXAMPLES, deadline=None)
@given(TERMS, TERMS, CALLS, MADE)
def test_to_add_to_a_grant_never_lets_more_through(
    terms: Terms, more: Terms, made_call: tuple[str, dict[str, Any]], made: dict[str, int]
) -> None:
    tool = BY_NAME[made_call[0]]
    arguments = validate(tool, made_call[1])
    # Fewer tools, further limits, further targets: only what the first grant does not speak of yet.
    narrower = terms.model_copy(
        update={
            "tools": more.tools if terms.tools is None else terms.tools[:1],
            "limits": {**more.limits, **terms.limits},
            "targets": {**more.targets, **terms.targets},
        }
    )
    if why_outside(under(terms), tool, arguments, made):
        assert why_outside(under(narrower), tool, arguments, made)


@given(st.sampled_from(Verdict), st.text(max_size=5))
def test_a_decision_is_narrowed_to_no_or_left_as_it_is(verdict: Verdict, outside: str) -> None:
    decision = Decision(verdict, ("R1",), "because", "v")
    found = narrow(decision, outside)
    assert found == decision or (found.verdict is Verdict.DENY and outside)


def test_an_amount_is_one_value_in_every_spelling() -> None:
    tool = BY_NAME["crm_issue_refund"]
    arguments = validate(tool, {**REFUND, "amount": "50.00"})
    assert arguments.model_dump()["amount"] == Decimal(50)
    for allowed in (50, 50.0, "50", "5E1"):
        terms = Terms(targets={"crm_issue_refund": {"amount": (allowed,)}})
        assert why_outside(under(terms), tool, arguments, {}) == ""
