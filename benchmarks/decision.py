"""How long one decision takes: the policy in force beside plain Casbin over the same rules, in the same run.

    python benchmarks/decision.py

1,000 people in 10 tenants, 50 tools, a condition on every rule; 100, 1,000 and 10,000 rules. One thread, random calls,
half of them by an agent for a person. Both must give the same answer to the calls that Casbin decides. `apply` is how
many rules speak of a call's tool to its parties, on average.
"""

import argparse
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from connectors.contract import Effect, Idempotency, Output, Tool
from connectors.crm.tools import IssueRefund
from gateway.policy.casbin_judge import CasbinJudge
from gateway.policy.decision import Verdict
from gateway.policy.judge import Policy
from gateway.policy.load import policy_from_texts
from gateway.principal import Principal

MODEL = (Path(__file__).parents[1] / "policies" / "model.conf").read_text(encoding="utf-8")
SIZES = (100, 1_000, 10_000)
PLAIN_CALLS = {100: 40, 1_000: 12, 10_000: 3}
PEOPLE, AGENTS, TENANTS, ROLES, TOOLS = 1_000, 20, 10, 10, 50
"""`ROLES` in each tenant; who is given two of them has three, because half of the roles include the next one."""
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

CONDITIONS = (
    "args.amount <= {n}",
    "{n} < args.amount <= 5000",
    "args.currency in ['EUR', 'USD'] and args.amount < {n}",
    "not (args.reason == 'goodwill' and args.amount > {n})",
    "args.amount > {n} and starts_with(args.note, 'urgent')",
    "args.currency != 'PLN' and len(args.note) < {n}",
    "person.id is not None and now.hour < 20 and args.amount < {n}",
)
Call = tuple[Principal, str, Mapping[str, object]]


def _tools() -> list[Tool]:
    return [
        Tool(
            name=f"area{number % 10}_do_thing{number}",
            area="crm",
            title="",
            description="",
            effect=Effect.WRITE,
            idempotency=Idempotency.KEY,
            input=IssueRefund,
            output=Output,
        )
        for number in range(TOOLS)
    ]


def _policy(size: int, random: Random) -> Policy:
    tools = _tools()
    rules = []
    for number in range(size):
        role = f"role:t{number % TENANTS}r{number // TENANTS % ROLES}"
        tool = random.choice(tools).name
        condition = random.choice(CONDITIONS).format(n=random.randrange(1, 2_000))
        effect = random.choices(("allow", "ask", "deny"), (8, 1, 1))[0]
        rules.append(f'p, R{number}, {role}, {tool}, "{condition}", {effect}, "note {number}"')
    parties = [f"person:p{number}" for number in range(PEOPLE)] + [f"agent:a{number}" for number in range(AGENTS)]
    links = []
    for tenant in (f"t{number}" for number in range(TENANTS)):
        links += [f"g, role:{tenant}r{role}, role:{tenant}r{role + 1}, {tenant}" for role in range(0, ROLES, 2)]
    for number, party in enumerate(parties):
        tenant = f"t{number % TENANTS}"
        links += [f"g, {party}, role:{tenant}r{role}, {tenant}" for role in random.sample(range(ROLES), 2)]
    return policy_from_texts({"model.conf": MODEL, "roles.csv": "\n".join(links), "rules.csv": "\n".join(rules)}, tools)


def _calls(policy: Policy, random: Random, count: int) -> list[Call]:
    names = sorted(policy.tools)
    calls: list[Call] = []
    for _ in range(count):
        person, agent = random.randrange(PEOPLE), random.randrange(AGENTS)
        agent -= (agent - person) % TENANTS  # of the same tenant
        behind = f"a{agent % AGENTS}" if random.random() < 0.5 else None
        args = {
            "order_id": "ord_0001",
            "amount": Decimal(random.randrange(1, 300_000)) / 100,
            "currency": random.choice(("EUR", "USD", "PLN")),
            "reason": random.choice(("late", "goodwill")),
            "note": random.choice(("", "urgent: see ticket", "as agreed on the phone")),
        }
        calls.append((Principal(f"t{person % TENANTS}", f"p{person}", behind), random.choice(names), args))
    return calls


def _timed(decide: Callable[..., Any], calls: Sequence[Call], *, told: str = "") -> tuple[list[int], list[Any]]:
    """Nanoseconds and answer of each call."""
    durations, answers = [], []
    for number, (who, tool, args) in enumerate(calls, start=1):
        start = time.perf_counter_ns()
        answer = decide(who, tool, args, NOW)
        durations.append(time.perf_counter_ns() - start)
        answers.append(answer)
        if told:
            print(f"{told} {number}/{len(calls)}", file=sys.stderr, flush=True)
    return durations, answers


def _rules_of(policy: Policy, calls: Sequence[Call]) -> float:
    """How many rules speak of a call's tool to its parties, on average."""
    index, roles = policy.index, policy.roles
    counts = [
        len(index.get((role, tool), ()))
        for who, tool, _ in calls
        for party in who.parties
        for role in roles[who.tenant, party]
    ]
    return sum(counts) / len(calls)


def _percentile(durations: Sequence[int], percent: int) -> float:
    """In microseconds."""
    return sorted(durations)[min(len(durations) * percent // 100, len(durations) - 1)] / 1_000


def main() -> None:
    """Measure, compare and print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=50_000, help="decisions for each size (default 50000)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of rules")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {PEOPLE} people, {TENANTS} tenants of {ROLES} roles, {TOOLS} tools")
    print(
        f"{'rules':>7} {'apply':>6} {'load s':>8} {'p50 µs':>8} {'p99 µs':>8} {'Casbin p50':>12} {'and p99':>12} ratio"
    )
    for size in options.sizes:
        random = Random(size)
        start = time.perf_counter()
        policy = _policy(size, random)
        loading = time.perf_counter() - start
        calls = _calls(policy, random, options.calls)
        _timed(policy.decide, calls[:1_000])
        fast, decided = _timed(policy.decide, calls)
        some = calls[: PLAIN_CALLS.get(size, 3)]
        judge = CasbinJudge(MODEL, policy)
        plain, admitted = _timed(judge.admits, some, told=f"plain Casbin, {size} rules:")
        assert [decision.verdict is not Verdict.DENY for decision in decided[: len(some)]] == admitted, "they disagree"
        mine, theirs = _percentile(fast, 50), _percentile(plain, 50)
        print(
            f"{size:>7} {_rules_of(policy, calls):>6.1f} {loading:>8.2f} {mine:>8.1f} {_percentile(fast, 99):>8.1f} "
            f"{theirs:>12,.0f} {_percentile(plain, 99):>12,.0f} {theirs / mine:,.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
