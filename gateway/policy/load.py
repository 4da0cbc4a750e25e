"""Loads a policy folder: everything is checked first, then one immutable snapshot is built."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from connectors.contract import Tool
from gateway.policy.casbin_judge import expand_roles
from gateway.policy.files import (
    approvers,
    identity,
    intents,
    labels,
    limits,
    lists,
    model,
    obligations,
    retention,
    roles,
    rules,
)
from gateway.policy.files.identity_reading import read_identity, unknown_roles
from gateway.policy.files.lines import read_text
from gateway.policy.judge import Policy, Rule
from gateway.policy.problem import PolicyError, Problem

FILES = (
    model.FILE,
    roles.FILE,
    lists.FILE,
    rules.FILE,
    approvers.FILE,
    retention.FILE,
    obligations.FILE,
    intents.FILE,
    labels.FILE,
    limits.FILE,
    identity.FILE,
)
OPTIONAL = frozenset(FILES) - {model.FILE, roles.FILE, rules.FILE}


def load_policy(directory: Path, tools: Iterable[Tool]) -> Policy:
    """Read, check and compile the policy of a folder.

    Args:
        directory: The folder with `model.conf`, `roles.csv`, `rules.csv` and those of `OPTIONAL` that are wanted.
        tools: Every tool that a rule may name.

    Raises:
        PolicyError: With every problem found; then nothing of the folder may be used.
    """
    problems: list[Problem] = []
    return policy_from_texts(read_texts(directory, problems), tools, problems)


def read_texts(directory: Path, problems: list[Problem]) -> dict[str, str]:
    """The text of each file of a folder; of an optional file only if it is there."""
    present = [name for name in FILES if name not in OPTIONAL or (directory / name).exists()]
    return {name: read_text(directory / name, problems) for name in present}


def policy_from_texts(texts: Mapping[str, str], tools: Iterable[Tool], unread: Iterable[Problem] = ()) -> Policy:
    """Check and compile a policy that has been read already.

    Args:
        texts: The text of each file in `FILES`, optional ones if they are there; empty for one that could not be read.
        tools: Every tool that a rule may name.
        unread: What went wrong on reading the files.

    Raises:
        PolicyError: With every problem found, those of `unread` included.
    """
    known_tools = tuple(tools)
    problems = list(unread)
    unreadable = {problem.file for problem in problems}
    model.check_model(texts[model.FILE], problems)
    found_roles = roles.read_roles(texts[roles.FILE], problems)
    text_of_identity = texts.get(identity.FILE, "")
    names = frozenset(tool.name for tool in known_tools)
    known_as = read_identity(text_of_identity, names, problems) if text_of_identity.strip() else None
    claimed = known_as.given_roles if known_as else frozenset()
    known_roles = frozenset(found_roles.given) | frozenset(found_roles.including) | claimed
    found_lists = lists.read_lists(texts.get(lists.FILE, ""), problems)
    given_roles = None if roles.FILE in unreadable else known_roles
    reader = rules.RuleReader(known_tools, given_roles, found_lists, problems)
    found_rules = reader.read(texts[rules.FILE])
    subjects = None if roles.FILE in unreadable else frozenset(link.subject for link in found_roles.links)
    text = texts.get(approvers.FILE, "")
    approving = approvers.read_approvers(text, reader.types, given_roles, subjects, problems)
    keeping = retention.read_retention(texts.get(retention.FILE, ""), reader.types, problems)
    asking = intents.read_intents(texts.get(intents.FILE, ""), reader.types, problems)
    labelling = labels.read_labels(texts.get(labels.FILE, ""), known_tools, problems)
    text = texts.get(obligations.FILE, "")
    obliging = obligations.read_obligations(text, known_tools, given_roles, reader.lines_by_id, problems)
    taken = {*reader.lines_by_id, *(line.id for line in obliging)}
    limiting = limits.read_limits(texts.get(limits.FILE, ""), known_tools, given_roles, taken, problems)
    if rules.FILE not in unreadable:
        answering = {line.role for line in approving.approvers} | {line.role for line in approving.viewers}
        answering |= {line.role for line in approving.stoppers}
        spoken_of = reader.roles_spoken_of | answering | {line.role for line in (*obliging, *limiting)}
        problems.extend(_loose_ends(found_roles, spoken_of, claimed))
        if known_as:
            problems.extend(unknown_roles(known_as, text_of_identity, spoken_of | found_roles.including.keys()))
    if problems:
        raise PolicyError(sorted(problems, key=lambda each: (FILES.index(each.file), each.line, each.column)))
    return Policy(
        version=_version(texts),
        tools=names,
        rules=found_rules,
        links=found_roles.links,
        roles=expand_roles(found_roles.links),
        index=_index(found_rules),
        lists=found_lists,
        approving=approving,
        keeping=keeping,
        intents=asking,
        obliging=obliging,
        labelling=labelling,
        limits=limiting,
        identity=known_as,
    )


def _loose_ends(found: roles.Roles, spoken_of: set[str], claimed: frozenset[str]) -> Iterable[Problem]:
    """Roles that stand in one place only: most likely misspelt, and then a deny would silently miss its target."""
    known = spoken_of | {roles.EVERYONE}
    yield from (problem for role, problem in found.given.items() if role not in known | found.including.keys())
    held = known | found.given.keys() | claimed
    yield from (problem for role, problem in found.including.items() if role not in held)


def _index(found: Iterable[Rule]) -> dict[tuple[str, str], tuple[Rule, ...]]:
    index: dict[tuple[str, str], list[Rule]] = defaultdict(list)
    for rule in found:
        for tool in rule.tools:
            index[rule.role, tool].append(rule)
    return {key: tuple(speaking) for key, speaking in index.items()}


def _version(texts: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for name in (name for name in FILES if name in texts):
        data = texts[name].encode()
        digest.update(f"{name} {len(data)}\n".encode() + data)
    return digest.hexdigest()[:16]
