"""How long the shipped statements take to prove over a policy of 1,000 rules, and to find a hole planted in it.

    python benchmarks/prove.py

The shipped policy, and beside it ten tenants with ten roles each, 1,000 people and 20 agents; every added rule has a
condition on its arguments. Every call of every caller is covered, those who are not listed included.
"""

import argparse
import platform
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

from connectors.registry import TOOLS
from gateway.policy.judge import Policy
from gateway.policy.load import policy_from_texts, read_texts
from gateway.policy.proof.invariants import FILE, read_invariants
from gateway.policy.proof.prove import CounterExample, prove_invariants, prove_stricter
from gateway.policy.proof.world import Status

POLICIES = Path(__file__).parents[1] / "policies"
RULES, PEOPLE, AGENTS, TENANTS, ROLES = 1_000, 1_000, 20, 10, 10
GOAL = 10.0
"""Seconds for all statements together."""

TEMPLATES = (
    "crm_issue_refund, \"args.amount <= {small} and args.currency in ['EUR', '{currency}']\", ask",
    "crm_issue_refund, \"args.amount > {large} or args.reason == 'goodwill'\", deny",
    'crm_update_deal, "args.amount is None or args.amount < {large}", {effect}',
    "crm_update_contact, \"args.email is None or domain(args.email) == '{word}.example'\", {effect}",
    "crm_log_activity, \"len(args.subject) > {small} and glob(lower(args.body), '*{word}*')\", {effect}",
    "email_send_message, \"args.mailbox == '{word}@larkspur.example' and len(args.to) < {few}\", {effect}",
    "email_send_message, \"any_in(args.to, ['{word}@rival.example']) or len(args.cc) > {few}\", deny",
    "email_create_draft, \"ends_with(args.mailbox, '{word}@larkspur.example') and now.hour < 20\", {effect}",
    'ticket_update_ticket, "args.assignee is None or args.assignee == person.id", {effect}',
    "ticket_update_ticket, \"args.tags is not None and any_in(args.tags, ['{word}', 'vip'])\", {effect}",
    "ticket_create_ticket, \"domain(args.requester_email) == '{word}.example'\", {effect}",
    "knowledge_search_documents, \"starts_with(args.query, '{word}') or calls('knowledge_*') < {small}\", {effect}",
)
WORDS = [first + second for first in ("north", "south", "east", "west") for second in ("wind", "field", "gate", "port")]
HOLE = "\"4000 < args.amount <= 4100 and args.currency == 'PLN' and starts_with(args.note, 'vip ')\""


def _policy(random: Random, hole: str = "") -> Policy:
    texts = read_texts(POLICIES, [])
    shipped = sum(line.startswith("p,") for line in texts["rules.csv"].splitlines())
    rules = []
    for number in range(RULES - shipped):
        role = f"role:t{number % TENANTS}r{number // TENANTS % ROLES}"
        line = random.choice(TEMPLATES).format(
            small=random.randrange(1, 50),
            large=random.randrange(500, 9_000),
            few=random.randrange(1, 20),
            currency=random.choice(("USD", "GBP", "CHF")),
            word=random.choice(WORDS),
            effect=random.choice(("allow", "allow", "ask")) if number // TENANTS % ROLES else "ask",
        )
        rules.append(f'p, G{number}, {role}, {line}, ""')
    if hole:
        rules[len(rules) // 2] = f'p, HOLE, role:t3r4, crm_issue_refund, {hole}, allow, ""'
    links = []
    for person in range(PEOPLE):
        tenant, roles = person % TENANTS, random.sample(range(1, ROLES), 2)
        links += [f"g, person:p{person}, role:t{tenant}r{role}, t{tenant}" for role in roles]
    # The first role of each tenant only ever asks: it is the agents'.
    links += [f"g, agent:a{number}, role:t{number % TENANTS}r0, t{number % TENANTS}" for number in range(AGENTS)]
    texts["roles.csv"] += "\n" + "\n".join(links)
    texts["rules.csv"] += "\n" + "\n".join(rules)
    return policy_from_texts(texts, TOOLS)


def _prove(policy: Policy) -> tuple[Counter[Status], float, list[tuple[str, CounterExample]]]:
    invariants = read_invariants((POLICIES / FILE).read_text(encoding="utf-8"), policy, TOOLS, [])
    statuses: Counter[Status] = Counter()
    examples = []
    start = before = time.perf_counter()
    for invariant, answer in prove_invariants(policy, TOOLS, invariants):
        now = time.perf_counter()
        took = f"{answer.questions:6} questions  {now - before:6.2f} s"
        print(f"  {invariant.id}  {answer.status:16}  {took}  {answer.reason}")
        before = now
        statuses[answer.status] += 1
        if answer.example:
            examples.append((invariant.id, answer.example))
    return statuses, time.perf_counter() - start, examples


def main() -> int:
    """Measure; exit status 1 if a statement is not proved, the hole is not found, or the goal is missed."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}")
    sound = _policy(Random(1))
    print(f"{len(sound.rules)} rules, {PEOPLE} people, {AGENTS} agents, {TENANTS} tenants")
    statuses, sound_seconds, _ = _prove(sound)
    print(f"all statements: {sound_seconds:.2f} s")
    print(f"with a hole in one of the rules: {HOLE}")
    holed = _policy(Random(1), HOLE)
    _, holed_seconds, examples = _prove(holed)
    print(f"all statements: {holed_seconds:.2f} s")
    for name, example in examples:
        decided = f"{example.decision.verdict} by {', '.join(example.decision.rules)}"
        print(f"  {name}: {example.call.principal}: {dict(example.call.args)} → {decided}")
    start = time.perf_counter()
    looser = [tool for tool, answer in prove_stricter(sound, holed, TOOLS) if answer.status is not Status.PROVED]
    print(f"what the change made looser: {', '.join(looser)} in {time.perf_counter() - start:.2f} s")
    is_found = any(example.decision.rules == ("HOLE",) for _, example in examples)
    is_good = statuses.keys() == {Status.PROVED} and is_found and max(sound_seconds, holed_seconds) < GOAL
    print("goal met" if is_good else f"goal missed: everything proved, the hole found, under {GOAL:.0f} s")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
