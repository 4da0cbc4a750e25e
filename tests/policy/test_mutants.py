"""One thing of the shipped policy written wrongly: the check refuses it or warns, or the table of decisions changes.

The table is looked at as a whole: the decisions, and whether each rule applies to each call. A rule that says `at most
51` instead of 50 changes no decision where a stricter rule asks above 50 anyway, but applies to calls to which it did
not. A normal run tries some mutants of each line, chosen by a seed; `REMIT_MUTANTS=all` tries every one.
"""

import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from random import Random

import pytest

from gateway.policy.decision import Verdict
from gateway.policy.judge import Policy, Rule
from gateway.policy.language.compiled import Facts
from gateway.policy.language.flow import Flow
from gateway.policy.language.history import EMPTY, History
from gateway.policy.lint.lint import lint
from gateway.policy.load import FILES, policy_from_texts
from gateway.policy.problem import PolicyError
from gateway.principal import Principal
from tests.policy.making import NOW, SHIPPED, TOOLS
from tests.policy.test_shipped_policy import DECISIONS, FLOWS, LATER_DECISIONS, NOTHING_SEEN, principal

TEXTS: Mapping[str, str] = {
    name: (SHIPPED / name).read_text(encoding="utf-8") for name in FILES if (SHIPPED / name).exists()
}
LINES = [
    (name, number)
    for name in ("roles.csv", "lists.csv", "rules.csv", "approvers.csv")
    for number, line in enumerate(TEXTS[name].splitlines())
    if line and not line.startswith("#")
]
EACH = None if os.environ.get("REMIT_MUTANTS") == "all" else 4
OPERATORS: Mapping[str, tuple[str, ...]] = {
    "<=": ("<", ">", ">="),
    "<": ("<=", ">"),
    ">": (">=", "<"),
    ">=": (">", "<="),
    "==": ("!=",),
    "!=": ("==",),
    "+": ("<",),
    " not in ": (" in ",),
    " in ": (" not in ",),
    " and ": (" or ",),
    " or ": (" and ",),
    " is not ": (" is ",),
    " is ": (" is not ",),
    "not ": ("",),
}
OPERATOR = re.compile("|".join(re.escape(symbol) for symbol in sorted(OPERATORS, key=len, reverse=True)))


def misspelt(text: str, random: Random) -> str:
    """The text with a letter left out, doubled, changed, or two exchanged."""
    while True:
        at = random.randrange(len(text))
        changed = random.choice(
            (
                text[:at] + text[at + 1 :],
                text[:at] + text[at] + text[at:],
                text[:at] + random.choice("abehilnorstu") + text[at + 1 :],
                text[:at] + text[at : at + 2][::-1] + text[at + 2 :],
            )
        )
        if changed not in (text, ""):
            return changed


def cells_of(line: str) -> list[tuple[int, int]]:
    """Where each value of a line starts and ends, quotes left aside."""
    return [match.span(1) if match[1] is not None else match.span(2) for match in CELL.finditer(line)]


CELL = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",]*?))\s*(?:,|$)')


def mutants(name: str, line: str, random: Random) -> Iterator[str]:
    """The line with one thing written wrongly; its note is not touched, because nothing depends on it."""
    values = [span for span in cells_of(line) if span[0] < span[1]]
    named = [span for span in values[1:] if name != "rules.csv" or span in (cells_of(line)[1:4] + cells_of(line)[5:6])]
    for start, end in named:
        for _ in range(3):
            yield line[:start] + misspelt(line[start:end], random) + line[end:]
    if name == "rules.csv":
        yield from rule_mutants(line, random)
    if name != "approvers.csv":  # no decision is made by it
        yield "# gone"


def rule_mutants(line: str, random: Random) -> Iterator[str]:
    start, end = cells_of(line)[4]
    condition, effect = line[start:end], cells_of(line)[5]
    for verdict in sorted(set(Verdict) - {line[slice(*effect)]}):
        yield line[: effect[0]] + verdict + line[effect[1] :]
    if not condition:
        return
    yield line[:start] + line[end:]
    for pattern in (r"[a-z_]+(?:\.[a-z]+)*", r"'[^']*'", r"[A-Z]\w+"):
        for found in re.finditer(pattern, condition):
            yield line[: start + found.start()] + misspelt(found[0], random) + line[start + found.end() :]
    for found in re.finditer(r"\b[0-9]+\b", condition):
        for other in (str(int(found[0]) + 1), str(int(found[0]) - 1), found[0] + "0"):
            yield line[: start + found.start()] + other + line[start + found.end() :]
    for found in OPERATOR.finditer(condition):
        for other in OPERATORS[found[0]]:
            yield line[: start + found.start()] + other + line[start + found.end() :]


Call = tuple[Principal, str, Mapping[str, object], datetime, History | None, Flow]
Row = tuple[Verdict, tuple[str, ...], Mapping[str, object]]


def calls() -> Iterator[Call]:
    for who, tool, args, *_ in DECISIONS:
        yield principal(who), tool, args, NOW, EMPTY, NOTHING_SEEN
    for who, tool, args, now, history, *_ in LATER_DECISIONS:
        yield principal(who), tool, args, now, history, NOTHING_SEEN
    for case in FLOWS:
        yield case.principal, case.tool, case.args, case.now, case.history, case.flow


def table(policy: Policy) -> Iterator[Row]:
    """Each row's decision and the rules behind it, and which rules apply to the call whoever makes it."""
    for caller, tool, args, now, history, flow in calls():
        decision = policy.decide(caller, tool, args, now, history, flow)
        facts = Facts(args, caller.person, caller.agent, caller.tenant, now, history, flow)
        speaking = (rule for rule in policy.rules if tool in rule.tools)
        yield decision.verdict, decision.rules, {rule.id: applies(rule, facts) for rule in speaking}


def applies(rule: Rule, facts: Facts) -> object:
    try:
        return rule.matches(facts)
    except Exception:  # noqa: BLE001 - whatever a condition raises denies
        return None


@cache
def expected() -> list[Row]:
    return list(table(policy_from_texts(TEXTS, TOOLS)))


def is_noticed(texts: Mapping[str, str]) -> bool:
    try:
        policy = policy_from_texts(texts, TOOLS)
    except PolicyError:
        return True
    same = all(one == other for one, other in zip(table(policy), expected(), strict=True))
    return not same or bool(lint(policy, texts, TOOLS))


@pytest.mark.parametrize(("name", "number"), LINES)
def test_every_mutant_of_a_line_is_noticed(name: str, number: int) -> None:
    lines = TEXTS[name].splitlines()
    random = Random(f"{name} {lines[number]}")
    made = list(dict.fromkeys(mutants(name, lines[number], random)))
    tried = made if EACH is None else random.sample(made, min(EACH, len(made)))
    survivors = [
        mutant
        for mutant in tried
        if not is_noticed({**TEXTS, name: "\n".join([*lines[:number], mutant, *lines[number + 1 :]])})
    ]
    assert survivors == []
