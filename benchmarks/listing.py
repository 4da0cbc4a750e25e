"""How long it takes to list tools for one principal, their schemas narrowed by policy.

    python benchmarks/listing.py

1,000 tools with input models of their own, and a few thousand rules, a condition on most. `plain` is the list of the
same tools without policy; `cold` the first list that a principal asks for, `kept` every further one until the policy
changes; `prepare` happens once for each policy, beside other requests. Each principal has other roles. What was made
before is kept out of the garbage collector's sight (`gc.freeze`), as 1,000 models are what it would mostly look at.
"""

import argparse
import gc
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import mcp.types as wire
from pydantic import BaseModel, create_model

from connectors.contract import Effect, Idempotency, Output, Tool
from connectors.crm.tools import IssueRefund, SearchContacts, UpdateDeal
from connectors.email.tools import SendEmail
from connectors.ticketing.tools import UpdateTicket
from gateway.listing import Listing, described
from gateway.policy.judge import Policy
from gateway.policy.load import policy_from_texts
from gateway.policy.narrowing.outcomes import needs_caller
from gateway.principal import Principal

MODEL = (Path(__file__).parents[1] / "policies" / "model.conf").read_text(encoding="utf-8")
ROLES, PEOPLE = 12, 40

CONDITIONS: dict[type[BaseModel], tuple[str, ...]] = {
    IssueRefund: (
        "args.amount <= {n}",
        "{n} < args.amount <= 5000",
        "args.currency in ['EUR', 'USD'] and args.amount < {n}",
        "not (args.reason == 'goodwill' and args.amount > {n})",
        "now.hour < 20 and args.amount < {n}",
    ),
    UpdateDeal: (
        "args.amount is None",
        "args.amount is not None and args.amount > {n}",
        "args.stage not in ['won', 'lost']",
        "args.close_date is None or args.close_date >= now.date",
    ),
    SendEmail: (
        "args.mailbox == 'team{n}@larkspur.example'",
        "all_in(domain(args.to), ['larkspur.example'])",
        "not ends_with(args.mailbox, '@larkspur.example')",
        "len(args.to) <= {n} and all_in(domain(args.cc), ['larkspur.example', 'partner{n}.example'])",
        "any_in(domain(args.to), ['rival.example', 'rival{n}.example'])",
        "args.mailbox == person.id",
    ),
    UpdateTicket: (
        "args.status in ['solved', 'closed']",
        "args.assignee is not None and domain(args.assignee) != 'larkspur.example'",
        "args.priority == 'urgent' and args.status == 'solved'",
        "args.tags is not None and any_in(args.tags, ['vip'])",
        "args.status is None or args.status == 'pending'",
        "args.assignee == person.id",
    ),
    SearchContacts: ("", "args.limit <= 20", "calls('area*') < {n}"),
}


def _tools(count: int) -> list[Tool]:
    models = list(CONDITIONS)
    return [
        Tool(
            name=f"area_do_thing{number}",
            area="area",
            title=f"Thing {number}",
            description=f"Does thing {number}. It cannot be undone.",
            effect=Effect.WRITE,
            idempotency=Idempotency.KEY,
            input=create_model(f"Input{number}", __base__=models[number % len(models)]),
            output=Output,
        )
        for number in range(count)
    ]


def _policy(tools: Sequence[Tool], rules: int, random: Random) -> Policy:
    lines = []
    for number in range(rules):
        tool = tools[number % len(tools)]
        # Every tool has one rule for all; the others speak of some team.
        role = "role:staff" if number < len(tools) else f"role:r{random.randrange(ROLES)}"
        condition = random.choice(CONDITIONS[tool.input.__bases__[0]]).format(n=random.randrange(1, 2_000))
        effect = "allow" if number < len(tools) else random.choices(("allow", "ask", "deny"), (4, 3, 3))[0]
        lines.append(f'p, R{number}, {role}, {tool.name}, "{condition}", {effect}, "note {number}"')
    lines += [
        "p, A1, role:agent, area_*, , ask, a person confirms",
        "p, A2, role:agent, *, person.id is None, deny, no",
    ]
    links = ["g, agent:assistant, role:agent, acme"]
    for number in range(PEOPLE):
        links += [
            f"g, person:p{number}@larkspur.example, role:r{role}, acme" for role in random.sample(range(ROLES), 4)
        ]
        links.append(f"g, person:p{number}@larkspur.example, role:staff, acme")
    return policy_from_texts({"model.conf": MODEL, "roles.csv": "\n".join(links), "rules.csv": "\n".join(lines)}, tools)


def _each(run: Callable[[Principal], list[wire.Tool]], principals: Sequence[Principal]) -> tuple[list[float], float]:
    """Milliseconds for each principal, and how many tools they see on average."""
    durations, seen = [], []
    for principal in principals:
        start = time.perf_counter()
        found = run(principal)
        durations.append((time.perf_counter() - start) * 1_000)
        seen.append(len(found))
    return durations, statistics.mean(seen)


def _told(what: str, durations: Sequence[float], note: str = "") -> str:
    return f"{what:<28} median {statistics.median(durations):8.3f} ms   worst {max(durations):8.3f} ms   {note}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", type=int, default=1_000, help="how many tools (default 1000)")
    parser.add_argument("--rules", type=int, default=3_000, help="how many rules (default 3000)")
    options = parser.parse_args()
    tools = _tools(options.tools)
    policy = _policy(tools, options.rules, Random(1))
    plain = {tool.name: described(tool) for tool in tools}
    start = time.perf_counter()
    listing = Listing(policy, tools, plain)
    late = sum(bool(rule.condition and needs_caller(rule.condition)) for rule in policy.rules)
    print(
        f"Python {platform.python_version()}, {options.tools} tools, {len(policy.rules)} rules, "
        f"{late} of them read again for each caller"
    )
    print(f"{'prepare, once per policy':<28} {(time.perf_counter() - start) * 1_000:15.0f} ms")
    gc.collect()
    gc.freeze()
    people = [Principal("acme", person=f"p{number}@larkspur.example") for number in range(PEOPLE)]
    behind = [Principal("acme", person=who.person, agent="assistant") for who in people]
    durations, seen = _each(lambda _: [each.model_copy() for each in plain.values()], people)
    print(_told("plain", durations, f"{seen:.0f} tools"))
    for what, principals in (("a person", people), ("an agent for a person", behind)):
        durations, seen = _each(listing.tools, principals)
        changed = statistics.mean(
            sum(tool.input_schema is not plain[tool.name].input_schema for tool in listing.tools(who))
            for who in principals[-5:]
        )
        print(_told(f"{what}, cold", durations, f"{seen:.0f} tools, {changed:.0f} with a narrowed schema"))
        durations, _ = _each(listing.tools, [principals[-1]] * PEOPLE)
        print(_told(f"{what}, kept", durations))


if __name__ == "__main__":
    main()
