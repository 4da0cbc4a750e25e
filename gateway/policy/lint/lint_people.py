"""Warnings about who: roles that nobody has, names that look misspelt, questions that nobody may answer."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from gateway.policy.decision import Verdict
from gateway.policy.files.approvers import Approver, Stopper, Viewer
from gateway.policy.files.lines import Line
from gateway.policy.files.roles import ANY_TENANT, EVERYONE
from gateway.policy.judge import Policy, Rule
from gateway.policy.language import patterns
from gateway.policy.language.expression import Compare, Constant, Fact, FactName, Node, Values, parts
from gateway.policy.problem import Problem, suggest


def lint_roles(policy: Policy, lines: Iterable[Line]) -> Iterator[Problem]:
    """Lines of `roles.csv` that are said twice, name a role that nobody has, or a tenant that looks misspelt."""
    held = {EVERYONE}.union(*policy.roles.values(), *policy.claimed_roles())
    explained = {link.subject for link in policy.links if link.role == EVERYONE}
    tenants: dict[str, set[str]] = defaultdict(set)
    for link in policy.links:
        tenants[link.tenant].add(link.subject)
    common = {tenant for tenant, subjects in tenants.items() if len(subjects) > 1}
    seen: dict[tuple[str, ...], int] = {}
    for line in lines:
        kind, subject, role, tenant = line.cells
        said = (subject.text, role.text, tenant.text)
        if said in seen:
            yield line.warning(kind, "repeated-line", f"line {seen[said]} says the same")
        seen.setdefault(said, line.number)
        for cell in (subject, role):
            if cell.text.startswith("role:") and cell.text not in held | explained:
                explained.add(cell.text)
                hint = f"if that is meant, say `g, {cell.text}, {EVERYONE}, *`"
                yield line.warning(cell, "unheld-role", f"nobody has `{cell.text}`: {hint}")
        if len(tenants[tenant.text]) == 1 and (near := suggest(tenant.text, common)):
            message = f"nobody else is in tenant `{tenant.text}`{near}"
            yield line.warning(tenant, "near-name", message)


def lint_names(policy: Policy, lines: Mapping[str, Line]) -> Iterator[Problem]:
    """Persons, agents and tenants in conditions that `roles.csv` does not know, but knows one very like it."""
    subjects = {link.subject for link in policy.links}
    known: Mapping[FactName, set[str]] = {
        "person": {name.removeprefix("person:") for name in subjects if name.startswith("person:")},
        "agent": {name.removeprefix("agent:") for name in subjects if name.startswith("agent:")},
        "tenant": {link.tenant for link in policy.links} - {ANY_TENANT},
    }
    for rule in policy.rules:
        for fact, literal in _named(rule.condition) if rule.condition else ():
            name = str(literal.value)
            if name not in known[fact.name] and (near := suggest(name, known[fact.name])):
                line = lines[rule.id]
                message = f"roles.csv knows no {fact.name} `{name}`{near}"
                yield line.warning(line.cells[4], "near-name", message, literal.at)


def _named(condition: Node) -> Iterator[tuple[Fact, Constant]]:
    for part in parts(condition):
        for pair in pairwise(part.operands) if isinstance(part, Compare) else ():
            for fact, other in (pair, pair[::-1]):
                if isinstance(fact, Fact):
                    literals = other.items if isinstance(other, Values) else (other,)
                    yield from ((fact, each) for each in literals if isinstance(each, Constant) and each.value)


def lint_approvers(policy: Policy, rules: Mapping[str, Line], lines: Iterable[Line]) -> Iterator[Problem]:
    """Lines of `approvers.csv` by which nobody can approve or look, and rules that ask what nobody may answer."""
    found = tuple(lines)
    approver_lines = (line for line in found if line.cells[0].text == "approver")
    for approver, line in zip(policy.approving.approvers, approver_lines, strict=True):
        where = "any tenant" if approver.tenant == ANY_TENANT else f"tenant `{approver.tenant}`"
        people = _people_who_answer_like(policy, approver)
        if not _people_with(policy, approver.role, approver.tenant):
            yield line.warning(line.cells[1], "no-approver", f"no person has `{approver.role}` in {where}")
        elif len(people) < approver.quorum:
            message = f"{approver.quorum} people must say yes, and {len(people)} may in {where}"
            option = next(cell for cell in line.cells[4:] if cell.text.startswith("quorum"))
            yield line.warning(option, "no-approver", message)
        if message := patterns.cut_word(approver.pattern):
            yield line.warning(line.cells[2], "cut-word", message)
    lookers: dict[str, Sequence[Viewer | Stopper]] = {
        "viewer": policy.approving.viewers,
        "stopper": policy.approving.stoppers,
    }
    for kind, mine in lookers.items():
        for each, line in zip(mine, (line for line in found if line.cells[0].text == kind), strict=True):
            if not _people_with(policy, each.role, each.tenant):
                where = "any tenant" if each.tenant == ANY_TENANT else f"tenant `{each.tenant}`"
                yield line.warning(line.cells[1], "no-approver", f"no person has `{each.role}` in {where}")
    yield from _lint_operators(policy, found)
    for rule in policy.rules:
        if rule.effect is Verdict.ASK and (tool_and_tenant := _unanswered(policy, rule)):
            tool, tenant = tool_and_tenant
            where = "every tenant" if tenant == ANY_TENANT else f"tenant `{tenant}`"
            line = rules[rule.id]
            yield line.warning(line.cells[3], "no-approver", f"nobody may approve `{tool}` in {where}")


def _unanswered(policy: Policy, rule: Rule) -> tuple[str, str] | None:
    """A tool that the rule asks about, and a tenant where somebody has the rule's role and nobody may approve."""
    asking = {tenant for (tenant, _), held in policy.roles.items() if rule.role in held}
    for tenant in sorted(asking):
        for tool in sorted(rule.tools):
            if not any(_serves(policy, approver, tool, tenant) for approver in policy.approving.approvers):
                return tool, tenant
    return None


def _serves(policy: Policy, approver: Approver, tool: str, tenant: str) -> bool:
    return approver.answers_for(tool, tenant) and _people_with(policy, approver.role, tenant)


def _lint_operators(policy: Policy, lines: Iterable[Line]) -> Iterator[Problem]:
    """Lines about a person or an agent who is not in the tenant."""
    operator_lines = (line for line in lines if line.cells[0].text == "operator")
    for operator, line in zip(policy.approving.operators, operator_lines, strict=True):
        for cell, party in zip(line.cells[1:3], (operator.agent, operator.person), strict=True):
            if not _is_in(policy, party, operator.tenant):
                message = f"roles.csv gives `{party}` no role in tenant `{operator.tenant}`"
                yield line.warning(cell, "near-name", message)


def _is_in(policy: Policy, party: str, tenant: str) -> bool:
    """Whether a party has a role in the tenant; for `*`, in any."""
    return any(
        link.subject == party and (tenant in (ANY_TENANT, link.tenant) or link.tenant == ANY_TENANT)
        for link in policy.links
    )


def _people_who_answer_like(policy: Policy, like: Approver) -> set[str]:
    """The people who may answer for some tool that the line speaks of, in the tenant where most of them are."""
    found: dict[str, set[str]] = defaultdict(set)
    for tool in (tool for tool in policy.tools if like.answers_for(tool, like.tenant)):
        roles = {each.role for each in policy.approving.approvers if each.answers_for(tool, like.tenant)}
        for (where, party), held in policy.roles.items():
            if party.startswith("person:") and held & roles and like.tenant in (ANY_TENANT, where):
                found[where].add(party)
    everywhere = found.pop(ANY_TENANT, set())
    return max((people | everywhere for people in found.values()), key=len, default=everywhere)


def _people_with(policy: Policy, role: str, tenant: str) -> bool:
    """Whether a person has the role in the tenant; for `*`, in any."""
    return any(
        role in held and party.startswith("person:") and (tenant == ANY_TENANT or where in (ANY_TENANT, tenant))
        for (where, party), held in policy.roles.items()
    )
