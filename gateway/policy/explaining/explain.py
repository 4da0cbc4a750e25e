"""Explains a decision: the rules considered for each party, and the part of each condition that decided its outcome."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway.policy.decision import Decision, Verdict
from gateway.policy.files.limits import Limit
from gateway.policy.judge import Policy, Rule
from gateway.policy.language.compiled import Facts, compiled
from gateway.policy.language.expression import Earlier, Fact, Field, FlowFact, Logic, Node, Not, Now, parts
from gateway.policy.language.flow import UNTOUCHED, Flow, Integrity, Origin
from gateway.policy.language.history import EMPTY, History
from gateway.policy.language.wording import shortened, written
from gateway.principal import Principal

_ORIGINS: Mapping[str, str] = {
    Origin.REQUEST: "the person's request has it",
    Origin.ORGANISATION: "the organisation's own data has it, or there is none",
    Origin.CUSTOMER: "only a known customer's words have it",
    Origin.NOWHERE: "nothing that the run has seen has it: the model made it up",
    Origin.OUTSIDER: "it is known only from text that outsiders may have written",
}
_INTEGRITY: Mapping[str, str] = {
    Integrity.ORGANISATION: "the run has seen nothing that anyone else wrote",
    Integrity.CUSTOMER: "the run has seen what a customer wrote",
    Integrity.ANYONE: "the run has seen what anyone could have written",
}


class Outcome(StrEnum):
    """What became of a rule, worded for people."""

    APPLIES = "applies"
    DOES_NOT_APPLY = "does not apply"
    BROKEN = "cannot be evaluated"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a condition that decided the outcome.

    Args:
        text: The part as the rule writes it, such as `args.amount <= 50`.
        holds: Whether it is true; None when it could not be evaluated.
        values: What it looked at, by name: `args.amount` is `80`.
    """

    text: str
    holds: bool | None
    values: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        says = "cannot be evaluated" if self.holds is None else f"is {str(self.holds).lower()}"
        told = ", ".join(f"{name} is {value}" for name, value in self.values)
        return f"{self.text} {says}: {told}" if told else f"{self.text} {says}"


@dataclass(frozen=True, slots=True)
class Considered:
    """A rule that speaks of the tool and of one of the party's roles."""

    rule: Rule
    outcome: Outcome
    because: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class PartyView:
    """What the rules say of one party alone: `considered` has them in the order of the file."""

    party: str
    roles: tuple[str, ...]
    considered: tuple[Considered, ...]

    @property
    def verdict(self) -> Verdict:
        """What the rules considered make of the call: a rule that cannot be evaluated denies."""
        if any(each.outcome is Outcome.BROKEN for each in self.considered):
            return Verdict.DENY
        effects = {each.rule.effect for each in self.considered if each.outcome is Outcome.APPLIES}
        return max(effects, key=lambda effect: effect.strictness, default=Verdict.DENY)

    @property
    def made_by(self) -> tuple[Rule, ...]:
        """The rules that made the verdict; none when nothing allows the call."""
        return tuple(
            each.rule
            for each in self.considered
            if each.outcome is Outcome.BROKEN or (each.outcome is Outcome.APPLIES and each.rule.effect is self.verdict)
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """One decision, how each party contributed to it, and the limits that would count the call.

    What is used up of a limit is known only where calls are begun: it may deny what is allowed here.
    """

    principal: Principal
    tool: str
    now: datetime
    decision: Decision
    parties: tuple[PartyView, ...]
    limits: tuple[Limit, ...] = ()


def explain(
    policy: Policy,
    principal: Principal,
    tool: str,
    args: Mapping[str, object],
    now: datetime,
    history: History | None = EMPTY,
    flow: Flow | None = UNTOUCHED,
) -> Explanation:
    """Explain what `policy.decide` answers to the same question. Pure, and never raises."""
    facts = Facts(args, principal.person, principal.agent, principal.tenant, now, history, flow)
    views = tuple(
        PartyView(party, tuple(sorted(roles)), tuple(_considered(policy, roles, tool, facts)))
        for party, roles in zip(principal.parties, policy.groups(principal), strict=True)
    )
    decision = policy.decide(principal, tool, args, now, history, flow)
    return Explanation(principal, tool, now, decision, views, policy.limits_on(principal, tool))


def rules_about(policy: Policy, roles: frozenset[str], tool: str) -> tuple[Rule, ...]:
    """The rules that speak of a tool and of one of these roles (without prefix), in the order of the file."""
    return tuple(rule for rule in policy.rules if tool in rule.tools and rule.role.removeprefix("role:") in roles)


def _considered(policy: Policy, roles: frozenset[str], tool: str, facts: Facts) -> Iterator[Considered]:
    for rule in rules_about(policy, roles, tool):
        if rule.condition is None:
            yield Considered(rule, Outcome.APPLIES, ())
        else:
            holds = truth(rule.condition, facts)
            outcome = Outcome.BROKEN if holds is None else Outcome.APPLIES if holds else Outcome.DOES_NOT_APPLY
            yield Considered(rule, outcome, tuple(_part(part, facts) for part in _deciding(rule.condition, facts)))


def truth(condition: Node, facts: Facts) -> bool | None:
    """Whether a condition holds; None when it cannot be evaluated."""
    try:
        value = compiled(condition)(facts)
    except Exception:  # noqa: BLE001 - as when deciding: whatever goes wrong, it could not be evaluated
        return None
    return value if isinstance(value, bool) else None


def _deciding(node: Node, facts: Facts) -> Iterator[Node]:
    """The smallest parts that make the condition what it is: of an `and` that is false, those that are false."""
    match node:
        case Not(operand=operand):
            yield from _deciding(operand, facts)
        case Logic(operands=operands):
            holds = truth(node, facts)
            alike = [operand for operand in operands if truth(operand, facts) is holds]
            # Evaluation stops at the first part that fails; all parts that agree with the outcome decide it otherwise.
            for operand in alike[:1] if holds is None else alike:
                yield from _deciding(operand, facts)
        case _:
            yield node


def _part(node: Node, facts: Facts) -> Part:
    sources = dict.fromkeys(part for part in parts(node) if isinstance(part, (Field, Fact, Now, Earlier, FlowFact)))
    return Part(written(node), truth(node, facts), tuple((written(each), _value(each, facts)) for each in sources))


def _why(source: Node, value: object) -> str:
    """What an origin or an integrity means."""
    match source, value:
        case FlowFact(name="origin"), str(origin):
            return _ORIGINS[origin]
        case FlowFact(name="integrity"), str(integrity):
            return _INTEGRITY[integrity]
    return ""


def _value(source: Node, facts: Facts) -> str:
    try:
        value = compiled(source)(facts)
        why = _why(source, value)
        return f"{shortened(value)} ({why})" if why else shortened(value)
    except Exception:  # noqa: BLE001 - an argument, a history or a flow that is not there
        return "missing"
