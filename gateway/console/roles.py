"""What each role may do: tool by tool, in words."""

from collections.abc import Iterator
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.responses import Response

from connectors.contract import Tool
from gateway.console.seeing import may_view
from gateway.console.visit import Visit
from gateway.policy.decision import Verdict
from gateway.policy.files.approvers import View
from gateway.policy.files.roles import ANY_TENANT, EVERYONE
from gateway.policy.judge import Policy, Rule
from gateway.policy.language.english import said


@dataclass(frozen=True)
class Role:
    """A role of the tenant, and the people, agents and roles that were given it."""

    name: str
    subjects: tuple[str, ...]


@dataclass(frozen=True)
class Term:
    """One rule about one tool: what it says, when, and why it is there."""

    rule: str
    verdict: Verdict
    role: str
    when: str
    note: str


@dataclass(frozen=True)
class ToolTerms:
    """Every rule of a role, and of those it includes, about one tool; denies first, for they win."""

    tool: Tool
    terms: tuple[Term, ...]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts that occur, the strictest first."""
        return tuple(dict.fromkeys(term.verdict for term in self.terms))


async def show_all(visit: Visit) -> Response:
    """List the roles that the person may look at: all as a viewer of policy, otherwise their own."""
    return visit.page("roles.html", roles=_visible(visit), all=may_view(visit.policy, visit.person, View.POLICY))


async def show_one(visit: Visit) -> Response:
    """Show what one of them may do."""
    name = f"role:{visit.request.path_params['role']}"
    role = next((each for each in _visible(visit) if each.name == name), None)
    if role is None:
        raise HTTPException(404)
    found = tuple(_tools(visit, name))
    speaking = tuple(each for each in found if each.terms)
    silent = tuple(each.tool for each in found if not each.terms)
    return visit.page("role.html", role=role, tools=speaking, silent=silent, policy_version=visit.policy.version)


def _visible(visit: Visit) -> list[Role]:
    roles = _roles(visit.policy, visit.person.tenant)
    if may_view(visit.policy, visit.person, View.POLICY):
        return roles
    [own] = visit.policy.groups(visit.person)
    return [Role(each.name, ()) for each in roles if each.name.removeprefix("role:") in own]


def _roles(policy: Policy, tenant: str) -> list[Role]:
    given: dict[str, list[str]] = {EVERYONE: []}
    for link in policy.links:
        if link.tenant in (ANY_TENANT, tenant):
            given.setdefault(link.role, []).append(link.subject)
    return [Role(name, tuple(subjects)) for name, subjects in sorted(given.items())]


def _included(policy: Policy, tenant: str, role: str) -> frozenset[str]:
    """A role, those that it includes and theirs in turn, and the one that everyone has."""
    included, new = {role, EVERYONE}, {role}
    while new:
        links = (link for link in policy.links if link.subject in new and link.tenant in (ANY_TENANT, tenant))
        new = {link.role for link in links} - included
        included |= new
    return frozenset(included)


def _tools(visit: Visit, role: str) -> Iterator[ToolTerms]:
    included = _included(visit.policy, visit.person.tenant, role)
    for tool in visit.console.gateway.catalog.tools.values():
        rules = [rule for each in included for rule in visit.policy.index.get((each, tool.name), ())]
        ordered = sorted(rules, key=lambda rule: (-rule.effect.strictness, rule.position))
        yield ToolTerms(tool, tuple(map(_term, ordered)))


def _term(rule: Rule) -> Term:
    when = f"when {said(rule.condition)}" if rule.condition else "always"
    return Term(rule.id, rule.effect, rule.role.removeprefix("role:"), when, rule.note)
