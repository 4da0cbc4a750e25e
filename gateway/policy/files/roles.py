"""Reads `roles.csv`: who has which role in which tenant, and which role includes which other."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.policy.files.lines import Line, read_lines
from gateway.policy.problem import Problem, suggest

FILE = "roles.csv"
EVERYONE = "role:everyone"
"""The role that every caller has without being given it."""
ANY_TENANT = "*"
MAX_CHAIN = 10
"""How many names a chain may have, the person or agent included: Casbin looks no further."""

ROLE = re.compile(r"role:[a-z][a-z0-9_]{0,60}")
_PARTY = re.compile(r"(person|agent):[^\s:*,]\S{0,253}")
_TENANT = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}|\*")


@dataclass(frozen=True, slots=True)
class Link:
    """One line: the subject (`person:…`, `agent:…` or `role:…`) has the role in the tenant; `*` is every tenant."""

    subject: str
    role: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Roles:
    """What `roles.csv` says: the links, and where each role is first mentioned as given and as including others."""

    links: tuple[Link, ...]
    given: Mapping[str, Problem]
    including: Mapping[str, Problem]


def read_roles(text: str, problems: list[Problem]) -> Roles:
    """Read the file's text; every mistake is added to `problems`.

    The values of `given` and `including` are ready-made problems for a role that turns out to be known nowhere else.
    """
    links: list[tuple[Line, Link]] = []
    given: dict[str, Problem] = {}
    including: dict[str, Problem] = {}
    for line in read_lines(FILE, text, problems):
        if link := _link(line, problems):
            links.append((line, link))
        for cell in line.cells[2:3]:
            if ROLE.fullmatch(cell.text):
                given.setdefault(cell.text, line.problem(cell, f"no rule speaks of `{cell.text}`"))
        for cell in line.cells[1:2]:
            if ROLE.fullmatch(cell.text):
                nobody = line.problem(cell, f"nobody has `{cell.text}` and no rule speaks of it")
                including.setdefault(cell.text, nobody)
    _check_chains(links, problems)
    return Roles(tuple(link for _, link in links), given, including)


def _link(line: Line, problems: list[Problem]) -> Link | None:
    kind, *rest = line.cells
    if kind.text != "g":
        problems.append(line.problem(kind, f"unknown line type `{kind.text}`: lines of roles.csv start with `g`"))
        return None
    if len(rest) != 3:
        message = f"expected 4 columns (g, subject, role, tenant), found {len(line.cells)}"
        problems.append(line.problem(kind, message))
        return None
    subject, role, tenant = rest
    found = [
        line.problem(cell, message)
        for cell, message in (
            (subject, _subject_mistake(subject.text)),
            (role, role_mistake(role.text)),
            (tenant, tenant_mistake(tenant.text)),
        )
        if message
    ]
    problems.extend(found)
    return None if found else Link(subject.text, role.text, tenant.text)


def _subject_mistake(subject: str) -> str:
    if subject == EVERYONE:
        return f"`{EVERYONE}` is built in and cannot be given a role"
    if _PARTY.fullmatch(subject) or ROLE.fullmatch(subject):
        return ""
    if ":" not in subject and subject:
        return f"subject `{subject}` needs a prefix — did you mean `person:{subject}` or `agent:{subject}`?"
    return f"subject `{subject}` must be `person:…`, `agent:…` or `role:…`"


def role_mistake(role: str) -> str:
    """What is wrong with the form of a role's name; empty when nothing is."""
    if ROLE.fullmatch(role):
        return ""
    if ROLE.fullmatch(f"role:{role}"):
        return f"role `{role}` needs its prefix — did you mean `role:{role}`?"
    return f"role `{role}` must be `role:` and a name in lower case, such as `role:support_agent`"


def known_role_mistake(role: str, roles: frozenset[str] | None) -> str:
    """What is wrong with a role that a line is about, everyone's included; empty when nothing is.

    Args:
        role: As the line has it.
        roles: Those that `roles.csv` mentions; None if it could not be read.
    """
    if (message := role_mistake(role)) or roles is None or role in roles | {EVERYONE}:
        return message
    return unknown_role(role, roles)


def unknown_role(role: str, known: Iterable[str]) -> str:
    """That there is no such role, with the one that was most likely meant."""
    near = suggest(role.removeprefix("role:"), (each.removeprefix("role:") for each in known), prefix="role:")
    return f"unknown role `{role}`{near or ': roles.csv does not mention it'}"


def tenant_mistake(tenant: str) -> str:
    """What is wrong with the form of a tenant's name; empty when nothing is."""
    return (
        "" if _TENANT.fullmatch(tenant) else f"tenant `{tenant}` must be a name in lower case, or `*` for every tenant"
    )


def _check_chains(links: Iterable[tuple[Line, Link]], problems: list[Problem]) -> None:
    """Cycles, and chains longer than Casbin follows, whatever the tenants: a circle across two is a mistake too."""
    includes: dict[str, list[str]] = defaultdict(list)
    for line, link in links:
        if path := _path(includes, link.role, link.subject):
            loop = " → ".join(f"`{name}`" for name in (link.subject, *path))
            problems.append(line.problem(line.cells[1], f"roles include each other in a circle: {loop}"))
        else:
            includes[link.subject].append(link.role)
    too_long: dict[str, bool] = {}
    for line, link in links:
        if link.role not in too_long:
            too_long[link.role] = _is_too_long(includes, link.role)
        if too_long[link.role]:
            message = f"the chain of roles that starts here has more than {MAX_CHAIN} names: no more are followed"
            problems.append(line.problem(line.cells[1], message))


def _path(includes: Mapping[str, list[str]], start: str, goal: str) -> list[str]:
    """The names from one role to another along what they include; empty when there is no way."""
    came_from = {start: start}
    queue = [start]
    for name in queue:
        if name == goal:
            path = [name]
            while path[-1] != start:
                path.append(came_from[path[-1]])
            return path[::-1]
        for following in includes.get(name, ()):
            if following not in came_from:
                came_from[following] = name
                queue.append(following)
    return []


def _is_too_long(includes: Mapping[str, list[str]], role: str) -> bool:
    """Whether a subject that is given this role starts a chain of more names than are followed."""
    names, frontier = 1, {role}
    while frontier and names <= MAX_CHAIN:
        names += 1
        frontier = {following for name in frontier for following in includes.get(name, ())}
    return names > MAX_CHAIN
