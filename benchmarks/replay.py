"""How long it takes to decide 100,000 recorded decisions again, under the old and the new policy.

    python benchmarks/replay.py

The journal is written by the gateway's own writer into a temporary folder, every decision by the shipped policy. The
new policy lowers one limit; which of the calls must flip is known beforehand, and replay must find exactly these.
"""

import argparse
import asyncio
import platform
import resource
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from connectors.contract import Tool
from connectors.registry import TOOLS
from gateway.database import Database
from gateway.journal import Entry, Journal, Kind
from gateway.policy.decision import Verdict
from gateway.policy.judge import Policy
from gateway.policy.language.flow import UNTOUCHED
from gateway.policy.language.flow_written import assumed
from gateway.policy.load import policy_from_texts, read_texts
from gateway.principal import Principal
from gateway.replay import replay

POLICIES = Path(__file__).parents[1] / "policies"
ENTRIES, BATCH = 100_000, 2_000
GOAL = 10.0
"""Seconds."""
START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
KINDS = {Verdict.ALLOW: Kind.INTENT, Verdict.ASK: Kind.PENDING, Verdict.DENY: Kind.DENIED}
COMPANY = "larkspur.example"
TEAM = ("ana.ruiz", "jonas.weber")
PEOPLE = (*TEAM, "maya.okafor", "tom.lindqvist", "ines.moreau")
CHANGES = (
    ('crm_issue_refund, "args.amount <= 50", allow', 'crm_issue_refund, "args.amount <= 40", allow'),
    ('crm_issue_refund, "50 < args.amount <= 500", ask', 'crm_issue_refund, "40 < args.amount <= 500", ask'),
)
BY_NAME = {tool.name: tool for tool in TOOLS}


def _policies() -> tuple[Policy, Policy]:
    texts = read_texts(POLICIES, [])
    rules = texts["rules.csv"]
    for before, after in CHANGES:
        if before not in rules:
            sys.exit(f"the shipped policy no longer says `{before}`")
        rules = rules.replace(before, after)
    return policy_from_texts(texts, TOOLS), policy_from_texts({**texts, "rules.csv": rules}, TOOLS)


def _arguments(random: Random) -> tuple[Tool, dict[str, Any]]:
    number = f"{random.randrange(10_000):04d}"
    address = f"{random.choice(('support', 'sales', 'lena'))}@{random.choice((COMPANY, 'brightlab.example'))}"
    refund = {"order_id": f"ord_{number}", "amount": random.randrange(1, 9_000) / 100}
    calls: tuple[tuple[str, dict[str, Any]], ...] = (
        ("crm_issue_refund", {**refund, "currency": "EUR", "reason": "late"}),
        ("crm_get_contact", {"contact_id": f"con_{number}"}),
        ("crm_update_deal", {"deal_id": f"dea_{number}", "version": 1, "close_date": "2026-06-01", "amount": 100}),
        ("email_send_message", {"mailbox": address, "to": [address], "subject": number, "body": "Hello. " * 40}),
        ("ticket_update_ticket", {"ticket_id": f"tic_{number}", "version": 2, "assignee": address, "tags": ["vip"]}),
    )
    name, args = random.choice(calls)
    return BY_NAME[name], args


def _entries(policy: Policy, random: Random) -> Iterator[tuple[Entry, bool]]:
    """Entries as the gateway writes them, and whether the change must flip them."""
    for number in range(ENTRIES):
        tool, args = _arguments(random)
        person = random.choice(PEOPLE)
        who = Principal("larkspur", f"{person}@{COMPANY}", random.choice((None, None, "assistant", "triage")))
        at = START + timedelta(seconds=number)
        values = tool.input.model_validate({**args, **_python(args)})
        flow = assumed(UNTOUCHED, tool, values.model_dump())
        decision = policy.decide(who, tool.name, values.model_dump(), at, flow=flow)
        body: dict[str, Any] = {"tool": tool.name, "person": who.person, "agent": who.agent, "client": "bench"}
        body |= {"arguments": values.model_dump(mode="json"), "verdict": decision.verdict, "rules": [*decision.rules]}
        body |= {
            "flow": flow.told(),
            "reason": decision.reason,
            "policy_version": decision.policy_version,
            "arguments_hash": "0" * 64,
        }
        entry = Entry(f"call_{number}", who.tenant, who.name, at, KINDS[decision.verdict], body)
        is_planted = (
            tool.name == "crm_issue_refund"
            and person in TEAM
            and who.agent is None
            and Decimal(40) < Decimal(str(args["amount"])) <= Decimal(50)
        )
        yield entry, is_planted


def _python(args: dict[str, Any]) -> dict[str, Any]:
    """The arguments that JSON has no type for."""
    made: dict[str, Any] = {"amount": Decimal(str(args["amount"]))} if "amount" in args else {}
    return made | ({"close_date": datetime.fromisoformat(args["close_date"]).date()} if "close_date" in args else {})


async def _write(database: Database, policy: Policy) -> int:
    journal, planted, batch = Journal(database, timeout=60), 0, []
    for entry, is_planted in _entries(policy, Random(1)):
        planted += is_planted
        batch.append(journal.append(entry))
        if len(batch) == BATCH:
            await asyncio.gather(*batch)
            batch.clear()
    await asyncio.gather(*batch)
    journal.close()
    return planted


def main() -> int:
    """Measure; exit status 1 if the flips are not exactly those planted or the goal is missed."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    old, new = _policies()
    with TemporaryDirectory() as folder:
        database = Database.in_file(Path(folder) / "remit.db")
        planted = asyncio.run(_write(database, old))
        start = time.perf_counter()
        found = replay(database, old, new, TOOLS, timedelta(days=1))
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"Python {platform.python_version()}, {platform.machine()}, {len(old.rules)} rules")
    print(f"{found.decisions} decisions made again under two policies in {seconds:.2f} s, {peak:.0f} MB at most")
    print(f"planted {planted} flips, found {found.flipped}, of {len(found.flips)} kinds")
    for flip, flipped in found.flips.items():
        print(f"  {flipped.count} × {flip.before} → {flip.after}  {flip.tool}  {flip.principal}")
    print(f"undecidable: {dict(found.undecidable)}, decided otherwise when recorded: {found.aged}")
    is_good = found.decisions == ENTRIES and planted == found.flipped > 0 and seconds < GOAL
    print("goal met" if is_good else f"goal missed: exactly the planted flips in under {GOAL:.0f} s")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
