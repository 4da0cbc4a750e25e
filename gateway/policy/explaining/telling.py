"""Tells people and programs how a decision came about and what would change it."""

from collections.abc import Iterator
from typing import Any

from pydantic_core import to_jsonable_python

from gateway.policy.decision import Decision, Verdict
from gateway.policy.explaining.explain import Considered, Explanation, PartyView
from gateway.policy.explaining.remedies import Remedies

_WOULD = {Verdict.ALLOW: "would allow it", Verdict.ASK: "would ask for approval", Verdict.DENY: "would deny it"}


def told(explanation: Explanation) -> str:
    """The decision, and for each party the rules considered: several lines of text."""
    decision, who = explanation.decision, explanation.principal
    when = explanation.now.isoformat(timespec="seconds")
    return "\n".join(
        [
            f"{decision.verdict}: {decision.reason}",
            f"{who} calls {explanation.tool} at {when} under policy {decision.policy_version}",
            *(line for view in explanation.parties for line in _party(view)),
            *_limits(explanation),
        ]
    )


def _limits(explanation: Explanation) -> Iterator[str]:
    if explanation.limits:
        yield from ("", "limits that count it, and deny it once they are reached:")
    yield from (f"  {each.id}  {each.words}" for each in explanation.limits)


def _party(view: PartyView) -> Iterator[str]:
    yield ""
    yield f"{view.party}: {view.verdict}"
    yield f"  roles: {', '.join(view.roles)}"
    if not view.considered:
        yield "  no rule about these roles speaks of this tool"
    width = max((len(each.rule.id) for each in view.considered), default=0)
    for each in view.considered:
        yield f"  {each.rule.id:{width}}  {each.rule.effect:5}  {each.outcome:19}  {_because(each)}"


def _because(considered: Considered) -> str:
    return "; ".join(map(str, considered.because)) or "always"


def told_remedies(found: Remedies, verdict: Verdict) -> str:
    """What would make a call more permitted: a line for each way, or one that says that none was found."""
    lines = [f"with {each.field} {each.words}, {_rules(each.decision)}" for each in found.arguments]
    lines += [f"with {each.fact} {each.words}, {_rules(each.decision)}" for each in found.flow]
    for missing in found.roles:
        given = " and ".join(f"{role} for {party}" for party, role in missing.roles)
        lines.append(f"with {given} as well, {_rules(missing.decision)}")
    if lines:
        return "\n".join(["What would change that:", *(f"  {line}" for line in lines)])
    if verdict is Verdict.ALLOW:
        return ""
    return "No change of one argument and no further role would make that better."


def _rules(decision: Decision) -> str:
    ids = f"rule {decision.rules[0]}" if len(decision.rules) == 1 else f"rules {' and '.join(decision.rules)}"
    return f"{ids} {_WOULD[decision.verdict]}"


def as_data(explanation: Explanation, found: Remedies | None = None) -> dict[str, Any]:
    """The same as JSON data; without remedies only the decision."""
    decision = explanation.decision
    data: dict[str, Any] = {
        "verdict": decision.verdict.value,
        "rules": list(decision.rules),
        "reason": decision.reason,
        "policy_version": decision.policy_version,
        "tool": explanation.tool,
        "tenant": explanation.principal.tenant,
        "at": explanation.now.isoformat(),
    }
    if found is None:
        return data
    return {
        **data,
        "parties": [
            {
                "party": view.party,
                "verdict": view.verdict.value,
                "roles": list(view.roles),
                "considered": [_considered(each) for each in view.considered],
            }
            for view in explanation.parties
        ],
        "limits": [{"limit": each.id, "words": each.words, "note": each.note} for each in explanation.limits],
        "remedies": [
            *(
                {
                    "argument": each.field,
                    "values": each.words,
                    "example": to_jsonable_python(each.value),
                    **_outcome(each.decision),
                }
                for each in found.arguments
            ),
            *({"flow": each.fact, "values": each.words, **_outcome(each.decision)} for each in found.flow),
            *({"roles": dict(missing.roles), **_outcome(missing.decision)} for missing in found.roles),
        ],
    }


def _considered(considered: Considered) -> dict[str, Any]:
    rule = considered.rule
    return {
        "rule": rule.id,
        "effect": rule.effect.value,
        "note": rule.note,
        "outcome": considered.outcome.value,
        "because": [
            {"condition": part.text, "holds": part.holds, "values": dict(part.values)} for part in considered.because
        ],
    }


def _outcome(decision: Decision) -> dict[str, Any]:
    return {"verdict": decision.verdict.value, "rules": list(decision.rules)}
