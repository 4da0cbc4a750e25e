"""Checks `model.conf`: the Casbin model that this version of Remit honours, and no other."""

import re

from gateway.policy.files.lines import meaningful_lines
from gateway.policy.problem import Problem, suggest

FILE = "model.conf"

HONOURED: dict[tuple[str, str], str] = {
    ("request_definition", "r"): "sub, tenant, tool, args, person, agent, now, history, flow",
    ("policy_definition", "p"): "id, sub, tool, condition, eft, note",
    ("role_definition", "g"): "_, _, _",
    ("policy_effect", "e"): "some(where (p.eft == allow)) && !some(where (p.eft == deny))",
    ("matchers", "m"): (
        '(p.sub == "role:everyone" || g(r.sub, p.sub, r.tenant)) && covers(p.tool, r.tool) && eval(p.condition)'
    ),
}
"""Each definition by section and key."""

_SECTION = re.compile(r"\s*\[(\w+)\]\s*")
_DEFINITION = re.compile(r"\s*(\w+)\s*=\s*(.*?)\s*")
_BLANKS = re.compile(r"\s*([,()&|=!<>])\s*")


def check_model(text: str, problems: list[Problem]) -> None:
    """Note every way in which the model differs from the one that is honoured; blanks and comments do not matter."""
    seen: set[tuple[str, str]] = set()
    section = ""
    for number, line in meaningful_lines(FILE, text, problems):
        column = len(line) - len(line.lstrip()) + 1
        if header := _SECTION.fullmatch(line):
            section = header.group(1)
            if section not in (known := {name for name, _ in HONOURED}):
                problems.append(Problem(FILE, number, column, f"unknown section `{section}`{suggest(section, known)}"))
        elif definition := _DEFINITION.fullmatch(line):
            key, value = definition.groups()
            message = _mistake(section, key, value, seen)
            if message:
                problems.append(Problem(FILE, number, column, message))
            seen.add((section, key))
        else:
            problems.append(Problem(FILE, number, column, "expected `[section]` or `key = value`"))
    last = text.count("\n") + 1
    for section, key in HONOURED.keys() - seen if text else ():
        problems.append(Problem(FILE, last, 1, f"`{key}` is missing from section `[{section}]`"))


def _mistake(section: str, key: str, value: str, seen: set[tuple[str, str]]) -> str:
    if section not in {name for name, _ in HONOURED}:
        return "" if section else f"`{key}` stands before any section"
    if (section, key) in seen:
        return f"`{key}` is defined twice"
    if (section, key) not in HONOURED:
        return f"`{key}` in `[{section}]` is not honoured by this version of Remit: remove it"
    if _plain(value) != _plain(HONOURED[section, key]):
        return f"this version of Remit only honours `{key} = {HONOURED[section, key]}`"
    return ""


def _plain(value: str) -> str:
    return _BLANKS.sub(r"\1", value)
