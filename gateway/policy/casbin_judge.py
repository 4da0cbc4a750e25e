"""Casbin: its role manager expands the roles when a policy is loaded, and its enforcer judges the same policy slowly.

The slow judge is the reference: it takes the model file as it stands and evaluates every rule by Casbin's matcher, so
that the tests can hold the fast judge against it. This is the only module that imports Casbin.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

import casbin
from casbin.persist.adapter import Adapter
from casbin.rbac.default_role_manager import RoleManager

from gateway.policy.decision import Verdict
from gateway.policy.files.roles import ANY_TENANT, EVERYONE, MAX_CHAIN, Link
from gateway.policy.judge import Policy, Rule
from gateway.policy.language.compiled import clock, earlier
from gateway.policy.language.expression import (
    Call,
    Compare,
    Constant,
    Earlier,
    Fact,
    Field,
    FlowFact,
    Logic,
    Node,
    Not,
    Now,
    Scalar,
    Sum,
    Values,
)
from gateway.policy.language.flow import UNTOUCHED, Flow
from gateway.policy.language.flow_facts import reader
from gateway.policy.language.functions import FUNCTIONS
from gateway.policy.language.history import EMPTY, History
from gateway.policy.language.patterns import covers
from gateway.principal import Principal


def expand_roles(links: Iterable[Link]) -> dict[tuple[str, str], frozenset[str]]:
    """All roles of every person and agent by (tenant, subject), inherited ones and `role:everyone` included.

    A link in the tenant `*` holds in every tenant. Casbin's own domain manager compares each new link with all earlier
    ones; one plain role manager for each tenant gives the same answer in linear time.
    """
    by_tenant: dict[str, list[Link]] = defaultdict(list)
    for link in links:
        by_tenant[link.tenant].append(link)
    everywhere = by_tenant[ANY_TENANT]
    expanded: dict[tuple[str, str], frozenset[str]] = {}
    alike: dict[frozenset[str], frozenset[str]] = {}  # the same roles are one set: it is found the quicker
    for tenant, own in by_tenant.items():
        here = own if tenant == ANY_TENANT else [*own, *everywhere]
        manager = RoleManager(MAX_CHAIN)
        for link in here:
            manager.add_link(link.subject, link.role)
        memo: dict[str, frozenset[str]] = {}
        for subject in {link.subject for link in here if not link.subject.startswith("role:")}:
            held = _implicit(manager, subject, memo) | {EVERYONE}
            expanded[tenant, subject] = alike.setdefault(held, held)
    return expanded


def _implicit(manager: Any, name: str, memo: dict[str, frozenset[str]]) -> frozenset[str]:  # noqa: ANN401 - untyped
    """The roles of a name, direct and inherited. Chains are short: the loader refused longer ones."""
    if name not in memo:
        direct = manager.get_roles(name)
        memo[name] = frozenset(direct).union(*(_implicit(manager, role, memo) for role in direct))
    return memo[name]


class CasbinJudge:
    """Plain Casbin over a loaded policy: a full evaluation of every rule for every request.

    Casbin knows two effects only. It is asked twice: with `ask` counted as allow, then with `ask` counted as deny.

    Args:
        model: The text of `model.conf`.
        policy: The loaded policy; its links and rules are used, not its index or its compiled conditions.
    """

    def __init__(self, model: str, policy: Policy) -> None:
        self._model, self._links, self._rules = model, policy.links, policy.rules
        self._lenient = _enforcer(model, policy.links, policy.rules, {Verdict.ASK: "allow"})
        self._strict = _enforcer(model, policy.links, policy.rules, {Verdict.ASK: "deny"})

    @cached_property
    def _single(self) -> Sequence[Any]:
        every = dict.fromkeys(Verdict, "allow")
        return [_enforcer(self._model, self._links, [rule], every) for rule in self._rules]

    def admits(self, principal: Principal, tool: str, args: Mapping[str, object], now: datetime) -> bool:
        """Whether a call is allowed or asked for: one plain enforcement for each party."""
        about = (principal.tenant, tool, args, principal.person, principal.agent, now, EMPTY, UNTOUCHED)
        return all(_enforce(self._lenient, (party, *about)) for party in principal.parties)

    def decide(
        self,
        principal: Principal,
        tool: str,
        args: Mapping[str, object],
        now: datetime,
        history: History | None = EMPTY,
        flow: Flow | None = UNTOUCHED,
    ) -> tuple[Verdict, tuple[str, ...]]:
        """The verdict, and the ids of the rules that made it in the order of the file."""
        about = (principal.tenant, tool, args, principal.person, principal.agent, now, history, flow)
        found = [self._party((party, *about)) for party in principal.parties]
        verdict = max((verdict for verdict, _ in found), key=lambda each: each.strictness)
        ids = {id_ for found_verdict, ids in found if found_verdict is verdict for id_ in ids}
        return verdict, tuple(rule.id for rule in self._rules if rule.id in ids)

    def _party(self, request: Sequence[object]) -> tuple[Verdict, frozenset[str]]:
        outcomes = {rule: _enforce(single, request) for rule, single in zip(self._rules, self._single, strict=True)}
        verdict = Verdict.DENY
        if None not in outcomes.values() and _enforce(self._lenient, request):
            verdict = Verdict.ALLOW if _enforce(self._strict, request) else Verdict.ASK
        made = (rule for rule, outcome in outcomes.items() if outcome is None or (outcome and rule.effect is verdict))
        return verdict, frozenset(rule.id for rule in made)


def _enforce(enforcer: Any, request: Sequence[object]) -> bool | None:  # noqa: ANN401 - untyped
    """Casbin's answer, or None when it could not evaluate a condition."""
    try:
        return bool(enforcer.enforce(*request))
    except Exception:  # noqa: BLE001 - whatever a condition raises, the caller counts it as a deny
        return None


def _enforcer(model: str, links: Iterable[Link], rules: Iterable[Rule], effects: Mapping[Verdict, str]) -> Any:  # noqa: ANN401
    enforcer = casbin.Enforcer(casbin.Enforcer.new_model(text=model), _Lines(links, rules, effects))
    enforcer.add_named_domain_matching_func("g", lambda asked, written: written in (asked, ANY_TENANT))
    enforcer.add_function("covers", covers)
    enforcer.add_function("dec", Decimal)
    enforcer.add_function("day", date.fromisoformat)
    enforcer.add_function("clock", clock)
    enforcer.add_function("earlier", earlier)
    enforcer.add_function("flowing", lambda flow, args, name, argument: reader(name, argument)(flow, args))
    for name, function in FUNCTIONS.items():
        enforcer.add_function(name, function.run)
    return enforcer


class _Lines(Adapter):  # type: ignore[misc] # Casbin is untyped
    """Hands Casbin the checked lines; its own reader drops line types that it does not know and does not unquote."""

    def __init__(self, links: Iterable[Link], rules: Iterable[Rule], effects: Mapping[Verdict, str]) -> None:
        self._links, self._rules, self._effects = links, rules, effects

    def load_policy(self, model: Any) -> None:  # noqa: ANN401 - untyped
        model["g"]["g"].policy = [[link.subject, link.role, link.tenant] for link in self._links]
        model["p"]["p"].policy = [
            [
                rule.id,
                rule.role,
                rule.pattern,
                printed(rule.condition) if rule.condition else "True",
                self._effects.get(rule.effect, rule.effect.value),
                rule.note,
            ]
            for rule in self._rules
        ]


def printed(node: Node) -> str:  # noqa: C901 - one case for each kind of node
    """A checked condition in the words of Casbin's evaluator, every part in brackets of its own.

    Casbin replaces pieces of a condition's text (`!`, `&&`, `r.`) even inside texts: so texts are written in escapes.
    """
    match node:
        case Constant(value=value):
            return _literal(value)
        case Values(items=items):
            return f"[{', '.join(map(printed, items))}]"
        case Field(path=path):
            return "r_args" + "".join(f"['{name}']" for name in path)
        case Fact(name=name):
            return f"r_{name}"
        case Now(part=part):
            return f"clock(r_now, '{part}')"
        case Earlier(tools=tools, argument=argument):
            return f"earlier(r_history, {_literal(tools)}, {_literal(argument)})"
        case FlowFact(name=name, argument=argument):
            return f"flowing(r_flow, r_args, {_literal(name)}, {_literal(argument)})"
        case Sum(operands=operands):
            return f"({' + '.join(map(printed, operands))})"
        case Call(function=function, arguments=arguments):
            return f"{function}({', '.join(map(printed, arguments))})"
        case Compare(operands=operands, operators=operators):
            pairs = zip(operators, operands[1:], strict=True)
            return f"({printed(operands[0])}{''.join(f' {symbol} {printed(operand)}' for symbol, operand in pairs)})"
        case Logic(word=word, operands=operands):
            return f"({f' {word} '.join(map(printed, operands))})"
        case Not(operand=operand):
            return f"(not {printed(operand)})"


def _literal(value: Scalar) -> str:
    if isinstance(value, str):
        return "'" + "".join(f"\\U{ord(character):08x}" for character in value) + "'"
    if isinstance(value, date):
        return f"day('{value}')"
    return f"dec('{value}')" if isinstance(value, Decimal) else f"({value})"
