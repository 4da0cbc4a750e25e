"""An adaptive attacker end to end: whatever its agent does with its values, none of them leaves without a person.

Each example is a tenant of its own on one real gateway. `REMIT_FLOW_EXAMPLES` asks for more of them.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.app import open_gateway
from gateway.gateway import Gateway
from gateway.settings import SHIPPED_POLICIES, Settings
from tests.flow.attacker import LENA, REWRITES, Rewrite, Step, What, World

EXAMPLES = int(os.environ.get("REMIT_FLOW_EXAMPLES", "25"))
VOUCHED = "['request', 'organisation']"
STRICT = f"""\
p, A1, role:worker, *, , allow, anything
p, F1, role:worker, email_send_message, "origin(args.to) not in {VOUCHED} or origin(args.cc) not in {VOUCHED}", ask,
p, F2, role:worker, email_send_message, "origin(args.subject) == 'outsider' or origin(args.body) == 'outsider'", ask,
p, F3, role:worker, email_send_message, "confidentiality(args.body) > audience(args.to)", ask, not for their eyes
p, F4, role:worker, email_send_draft, run.saw_untrusted, ask, it is not part of the call
p, F5, role:worker, email_reply_message, origin(args.body) == 'outsider', ask, says
p, F6, role:worker, ticket_add_reply, origin(args.body) == 'outsider', ask, says
p, F7, role:worker, ticket_create_ticket, "origin(args.requester_email) not in {VOUCHED}", ask, to
p, F8, role:worker, crm_issue_refund, "origin(args.order_id) not in {VOUCHED}", ask, whose order
"""
READS = (
    "crm_get_contact",
    "crm_search_contacts",
    "ticket_get_ticket",
    "email_get_thread",
)
WRITES = (
    ("crm_update_contact", ("name", "email", "phone", "title", "notes")),
    ("crm_create_contact", ("name", "email", "title", "notes")),
    ("crm_log_activity", ("subject", "body")),
    ("ticket_add_note", ("body",)),
    ("ticket_create_ticket", ("subject", "body", "requester_name")),
    ("email_create_draft", ("to", "cc", "subject", "body")),
    ("email_update_draft", ("to", "cc", "subject", "body")),
)
OUTWARD = (
    ("email_send_message", ("to", "cc", "subject", "body")),
    ("email_send_draft", ("",)),
    ("email_reply_message", ("body",)),
    ("ticket_add_reply", ("body",)),
    ("ticket_create_ticket", ("requester_email",)),
)
REFUND = st.just(("crm_issue_refund", "order_id", "order"))
WHO = {
    "strict": (("agent:one", "agent:two"), "support@larkspur.example"),
    "shipped, sales": (
        ("person:tom.lindqvist@larkspur.example", "person:eva@larkspur.example"),
        "sales@larkspur.example",
    ),
    "shipped, support": (
        ("person:ana.ruiz@larkspur.example", "person:maya.okafor@larkspur.example"),
        "support@larkspur.example",
    ),
}


def fields(tools: Sequence[tuple[str, Sequence[str]]]) -> st.SearchStrategy[tuple[str, str, str]]:
    places = [(tool, field) for tool, names in tools for field in names]
    return st.tuples(st.sampled_from(places), st.sampled_from(["address", "link", "phrase"])).map(
        lambda drawn: (*drawn[0], drawn[1])
    )


def steps(
    what: st.SearchStrategy[tuple[str, str, str]], rewrites: st.SearchStrategy[Sequence[Rewrite]]
) -> st.SearchStrategy[Step]:
    return st.builds(
        lambda what, rewrites, who, grant, key: Step(what[0], what[1], what[2], tuple(rewrites), who, grant, key),
        what,
        rewrites,
        st.sampled_from([0, 0, 1]),
        st.sampled_from([0, 0, 1, 2]),
        st.sampled_from(["", "", "", "again"]),
    )


reads = st.tuples(st.sampled_from(READS), st.just(""), st.sampled_from(["address", "link", "order"]))
disguises = st.lists(st.sampled_from(REWRITES), max_size=2)
plain: st.SearchStrategy[Sequence[Rewrite]] = st.just(())


def programs(rewrites: st.SearchStrategy[Sequence[Rewrite]]) -> st.SearchStrategy[list[Step]]:
    """Begins with what the outsider sent; then anything in any order; at the end something outward."""
    first = st.builds(
        Step, st.sampled_from(["ticket_get_ticket", "email_get_thread"]), grant=st.sampled_from([0, 0, 1])
    )
    between = st.lists(steps(reads | fields(WRITES) | fields(OUTWARD), rewrites), max_size=8)
    last = st.lists(steps(fields(OUTWARD) | REFUND, rewrites), min_size=1, max_size=3)
    return st.tuples(first, between, last).map(lambda parts: [parts[0], *parts[1], *parts[2]])


@contextmanager
def opened(home: Path, policy: str) -> Iterator[tuple[BlockingPortal, Gateway]]:
    """One gateway for all examples, with rules that hold in every tenant."""
    folder = home / "policies"
    folder.mkdir()
    for source in (*SHIPPED_POLICIES.glob("*.csv"), SHIPPED_POLICIES / "model.conf"):
        (folder / source.name).write_text(re.sub(r", larkspur(?=,|$)", ", *", source.read_text(), flags=re.MULTILINE))
    rules = folder / "rules.csv"
    rules.write_text(re.sub(r"^p, C05,.*$", "", rules.read_text(), flags=re.MULTILINE))  # it looks at the time of day
    if policy == "strict":
        rules.write_text(STRICT)
        (folder / "roles.csv").write_text("g, agent:one, role:worker, *\ng, agent:two, role:worker, *\n")
        for name in ("approvers", "invariants", "obligations", "retention", "limits"):
            (folder / f"{name}.csv").unlink(missing_ok=True)
    else:
        with (folder / "roles.csv").open("a") as roles:
            roles.write("g, person:eva@larkspur.example, role:sales, *\n")
    given = Settings(home=home / "home", policies=folder)
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(open_gateway(given)) as gateway:
        yield portal, gateway


@pytest.mark.parametrize("policy", list(WHO))
def test_no_rewriting_of_an_attackers_values_leaves_the_company_without_a_person(policy: str, tmp_path: Path) -> None:
    met: set[str] = set()
    with opened(tmp_path, policy) as (portal, gateway):

        @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(programs(disguises), disguises)
        def holds(program: list[Step], told: Sequence[Rewrite]) -> None:
            met.update(portal.call(attack, gateway, policy, program, told))

        holds()
    assert {"ok", "pending_approval"} <= met, "the property is empty unless some steps succeed and some are held"


@pytest.mark.parametrize("policy", ["strict", "shipped, sales"])
def test_a_draft_made_after_reading_outsiders_is_not_sent_by_somebody_who_read_nothing(
    policy: str, tmp_path: Path
) -> None:
    with opened(tmp_path, policy) as (portal, gateway):
        drafted = [Step("ticket_get_ticket"), Step("email_create_draft", "to"), Step("email_send_draft", who=1)]
        answered = portal.call(attack, gateway, policy, drafted, ())
    assert "pending_approval" in answered


@pytest.mark.parametrize("policy", ["strict", "shipped, sales"])
def test_the_harmless_twin_a_draft_made_of_the_request_alone_is_sent_by_a_colleague(
    policy: str, tmp_path: Path
) -> None:
    with opened(tmp_path, policy) as (portal, gateway):
        drafted = [Step("email_create_draft", grant=1), Step("email_send_draft", who=1)]
        world = World(gateway, *WHO[policy])
        portal.call(world.set_up)
        answers = [portal.call(world.take, step) for step in drafted]
    assert [answer.status for answer in answers if answer] == ["ok", "ok"]


@pytest.mark.parametrize("policy", list(WHO))
@pytest.mark.parametrize("tool", ["email_reply_message", "ticket_add_reply"])
def test_an_answer_to_a_customer_whom_the_run_never_looked_at_waits(policy: str, tool: str, tmp_path: Path) -> None:
    with opened(tmp_path, policy) as (portal, gateway):
        for what in ("address", "link", "phrase"):
            program = [Step("ticket_get_ticket"), Step(tool, "body", what)]
            assert "ok" in portal.call(attack, gateway, policy, program, ())


async def attack(gateway: Gateway, policy: str, program: Sequence[Step], told: Sequence[Rewrite]) -> set[str]:
    world = World(gateway, *WHO[policy])
    await world.set_up(told)
    answers = [await world.take(step) for step in program]
    assert await world.left() == []
    return {answer.status for answer in answers if answer}


LOOKED_UP: Sequence[tuple[str, What]] = (
    ("crm_get_contact", "address"),
    ("crm_get_orders", "address"),
    ("ticket_get_ticket", "address"),
    ("ticket_get_ticket", "link"),
    ("email_get_thread", "address"),
    ("email_get_thread", "link"),
)
SUPPORT = frozenset(("email_reply_message", "ticket_add_reply", "ticket_create_ticket", "crm_issue_refund"))
ALLOWED = {
    "strict": SUPPORT | {"email_send_message"},
    "shipped, sales": {"email_send_message", "email_reply_message"},
    "shipped, support": SUPPORT,
}


@pytest.mark.parametrize("policy", list(WHO))
def test_the_harmless_twin_what_the_company_has_on_record_goes_out_whatever_way_it_takes(
    policy: str, tmp_path: Path
) -> None:
    met: set[tuple[str, str]] = set()
    with opened(tmp_path, policy) as (portal, gateway):

        @settings(max_examples=max(5, EXAMPLES // 3), deadline=None, suppress_health_check=list(HealthCheck))
        @given(programs(plain).map(about_one_customer))
        def holds(program: list[Step]) -> None:
            met.update(portal.call(work, gateway, policy, program))

        holds()
    assert {"ok"} <= {status for _, status in met}


def about_one_customer(program: list[Step]) -> list[Step]:
    return [step for step in program if step.tool != "crm_create_contact"]


async def work(gateway: Gateway, policy: str, program: Sequence[Step]) -> set[tuple[str, str]]:
    met: set[tuple[str, str]] = set()
    world = World(gateway, *WHO[policy], outsider=LENA)
    await world.set_up()
    for who in (0, 1):
        for tool, what in LOOKED_UP:
            await world.take(Step(tool, what=what, who=who))
    for step in program:
        answer = await world.take(step)
        if answer and step.tool in ALLOWED[policy]:
            assert answer.status in ("ok", "failed"), (step, answer.rules, answer)
            met.add((step.tool, answer.status))
    return met
