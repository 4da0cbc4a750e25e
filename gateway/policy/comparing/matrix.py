"""Who may call what, in words: one row for each role, person and agent, one column for each tool."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.policy.decision import Verdict
from gateway.policy.files.roles import ANY_TENANT, EVERYONE
from gateway.policy.judge import Policy, Rule
from gateway.policy.language.expression import Node
from gateway.policy.language.wording import written

NEVER = "never"
_WORDS = {Verdict.ALLOW: "may", Verdict.ASK: "must ask", Verdict.DENY: "never"}


@dataclass(frozen=True, slots=True)
class Access:
    """What rules say of one tool: in words, and as a set that is equal where the rules mean the same."""

    words: str
    meant: frozenset[tuple[Node | None, Verdict]] = frozenset()


_NO_ACCESS = Access(NEVER)


@dataclass(frozen=True, slots=True)
class Cell:
    """What the rules say of one row and one tool, and said before; in equal words if only a list in them changed."""

    row: str
    tool: str
    before: str
    after: str


def access(policy: Policy, tools: Iterable[str]) -> dict[tuple[str, str], Access]:
    """What each role, and each person and agent in a tenant, may do with each tool, on its own.

    Returns:
        By (row, tool) words such as `must ask when args.amount > 50, may otherwise`; `never` where no rule allows it.
        The row is `role:…`, or `person:… in <tenant>`.
    """
    names, memo = tuple(tools), dict[tuple[frozenset[str], str], Access]()
    found: dict[tuple[str, str], Access] = {}
    for row, roles in _rows(policy).items():
        for tool in names:
            key = (roles, tool)
            if key not in memo:
                memo[key] = _access([rule for role in roles for rule in policy.index.get((role, tool), ())])
            found[row, tool] = memo[key]
    return found


def changed_access(old: Policy, new: Policy, tools: Iterable[str]) -> tuple[Cell, ...]:
    """The cells of the two policies' matrices that differ; who has a row in one only could `never` do anything."""
    names = tuple(tools)
    before, after = access(old, names), access(new, names)
    cells = ((key, before.get(key, _NO_ACCESS), after.get(key, _NO_ACCESS)) for key in dict.fromkeys((*before, *after)))
    return tuple(Cell(*key, was.words, now.words) for key, was, now in cells if was != now)


def _access(rules: Sequence[Rule]) -> Access:
    words = in_words(rules)
    return _NO_ACCESS if words == NEVER else Access(words, frozenset((rule.condition, rule.effect) for rule in rules))


def in_words(rules: Sequence[Rule]) -> str:
    """What a set of rules says of one tool: the strictest first decides, so what it leaves over goes to the next."""
    conditions = {verdict: _conditions(rules, verdict) for verdict in Verdict}
    if conditions[Verdict.DENY] is None or not (_speaks(conditions[Verdict.ASK]) or _speaks(conditions[Verdict.ALLOW])):
        return NEVER
    told: list[str] = []
    for verdict in (Verdict.DENY, Verdict.ASK, Verdict.ALLOW):
        found = conditions[verdict]
        if found is None:
            told.append(f"{_WORDS[verdict]}{' otherwise' if told else ''}")
            break
        if found:
            told.append(f"{_WORDS[verdict]} when {' or '.join(found)}")
    return ", ".join(told)


def _speaks(conditions: list[str] | None) -> bool:
    return conditions is None or bool(conditions)


def _conditions(rules: Iterable[Rule], verdict: Verdict) -> list[str] | None:
    """The conditions of the rules with an effect; None if one of them always applies."""
    found = [rule for rule in rules if rule.effect is verdict]
    if any(rule.condition is None for rule in found):
        return None
    written_out = sorted({written(rule.condition) for rule in found if rule.condition})
    return [f"({each})" for each in written_out] if len(written_out) > 1 else written_out


def _rows(policy: Policy) -> Mapping[str, frozenset[str]]:
    """The roles, inherited ones included, of each role and of each listed person and agent."""
    included: dict[str, set[str]] = {}
    for link in policy.links:
        included.setdefault(link.subject, set()).add(link.role)
    roles = sorted({rule.role for rule in policy.rules} | {link.role for link in policy.links})
    rows = {role: _closure(role, included) for role in roles}
    for (tenant, subject), held in sorted(policy.roles.items()):
        rows[f"{subject} in {'every tenant' if tenant == ANY_TENANT else tenant}"] = held
    return rows


def _closure(role: str, included: Mapping[str, set[str]]) -> frozenset[str]:
    """A role with what it includes in any tenant, and what everyone has."""
    found, queue = {role, EVERYONE}, [role]
    for each in queue:  # grows on the way
        fresh = included.get(each, set()) - found
        found |= fresh
        queue += sorted(fresh)
    return frozenset(found)
