"""What changes from one policy to another: rules, roles, lists, approvers, retention and the like, line by line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.policy.files.obligations import Obligation, Redaction
from gateway.policy.judge import Policy, Rule
from gateway.policy.language.wording import literal, written


class Change(StrEnum):
    """What happened to a line."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """One line that differs.

    Args:
        what: `rule`, `role`, `list`, `approver`, `operator`, `viewer`, `retention`, `obligation`,
            `label` or `limit`.
        name: The rule's id, the list's name, or what the line says.
        change: What happened to it.
        fields: What differs: each field's value before and after; an empty text where there is none.
    """

    what: str
    name: str
    change: Change
    fields: Mapping[str, tuple[str, str]]

    def __str__(self) -> str:
        told = "; ".join(f"{name} {self._told(*values)}" for name, values in self.fields.items() if any(values))
        return f"{self.change} {self.what} {self.name}{f': {told}' if told else ''}"

    def _told(self, before: str, after: str) -> str:
        return f"{before or 'nothing'} → {after or 'nothing'}" if self.change is Change.CHANGED else before or after


def differences(old: Policy, new: Policy) -> tuple[Difference, ...]:
    """Every line that was added, removed or changed. Comments, blanks and the order of lines do not count."""
    return (
        *_of("rule", {rule.id: _rule(rule) for rule in old.rules}, {rule.id: _rule(rule) for rule in new.rules}),
        *_of("role", _links(old), _links(new)),
        *_lists(old, new),
        *_of("approver", _approvers(old), _approvers(new)),
        *_of("operator", _operators(old), _operators(new)),
        *_of("viewer", _viewers(old), _viewers(new)),
        *_of("stopper", _stoppers(old), _stoppers(new)),
        *_of("retention", _keeping(old), _keeping(new)),
        *_of("obligation", _obligations(old), _obligations(new)),
        *_of("label", _labels(old), _labels(new)),
        *_of("limit", _limits(old), _limits(new)),
    )


def _of(what: str, old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]]) -> Iterable[Difference]:
    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name), new.get(name)
        if before == after:
            continue
        change = Change.ADDED if before is None else Change.REMOVED if after is None else Change.CHANGED
        pairs = {
            field: ((before or {}).get(field, ""), (after or {}).get(field, "")) for field in after or before or {}
        }
        yield Difference(what, name, change, {field: pair for field, pair in pairs.items() if pair[0] != pair[1]})


def _rule(rule: Rule) -> Mapping[str, str]:
    condition = written(rule.condition) if rule.condition else ""
    return {
        "role": rule.role,
        "tool": rule.pattern,
        "condition": condition,
        "effect": rule.effect.value,
        "note": rule.note,
    }


def _links(policy: Policy) -> Mapping[str, Mapping[str, str]]:
    return {f"{link.subject} has {link.role} in {_tenant(link.tenant)}": {} for link in policy.links}


def _approvers(policy: Policy) -> Mapping[str, Mapping[str, str]]:
    return {
        f"{each.role} for {each.pattern} in {_tenant(each.tenant)}": {
            "quorum": str(each.quorum),
            "after": str(each.after) if each.after else "at once",
            "standing": str(each.standing) if each.standing else "none",
        }
        for each in policy.approving.approvers
    }


def _operators(policy: Policy) -> Mapping[str, Mapping[str, str]]:
    return {f"{each.person} runs {each.agent} in {_tenant(each.tenant)}": {} for each in policy.approving.operators}


def _viewers(policy: Policy) -> Mapping[str, Mapping[str, str]]:
    return {f"{each.role} for the {each.view} of {_tenant(each.tenant)}": {} for each in policy.approving.viewers}


def _stoppers(policy: Policy) -> Mapping[str, Mapping[str, str]]:
    return {f"{each.role} in {_tenant(each.tenant)}": {} for each in policy.approving.stoppers}


def _keeping(policy: Policy) -> Mapping[str, Mapping[str, str]]:
    return {f"of {each.pattern} in {_tenant(each.tenant)}": {"days": str(each.time.days)} for each in policy.keeping}


def _obligations(policy: Policy) -> Mapping[str, Mapping[str, str]]:
    return {each.id: _obligation(each) for each in policy.obliging}


def _labels(policy: Policy) -> Mapping[str, Mapping[str, str]]:
    return {
        f"{each.path} of {each.tool}": {
            "author": each.author or "",
            "confidentiality": each.confidentiality or "",
            "note": each.note,
        }
        for each in policy.labelling
    }


def _limits(policy: Policy) -> Mapping[str, Mapping[str, str]]:
    return {
        each.id: {
            "role": each.role,
            "tool": each.pattern,
            "most": f"{each.most:f} {each.what}",
            "per": each.per,
            "for each": " and ".join(each.whom),
            "note": each.note,
        }
        for each in policy.limits
    }


def _obligation(line: Obligation) -> Mapping[str, str]:
    said = {"role": line.role, "tool": line.pattern}
    if isinstance(line, Redaction):
        said |= {"redact": f"{' '.join(line.whats)} in {line.field}", "cap": ""}
    else:
        said |= {"redact": "", "cap": str(line.characters)}
    return {**said, "note": line.note}


def _tenant(tenant: str) -> str:
    return "every tenant" if tenant == "*" else tenant


def _lists(old: Policy, new: Policy) -> Iterable[Difference]:
    for name in dict.fromkeys((*old.lists, *new.lists)):
        before, after = old.lists.get(name, ()), new.lists.get(name, ())
        if set(before) != set(after):
            change = Change.ADDED if not before else Change.REMOVED if not after else Change.CHANGED
            pair = (", ".join(map(literal, before)), ", ".join(map(literal, after)))
            yield Difference("list", name, change, {"values": pair})
