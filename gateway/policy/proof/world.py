"""All that can happen with one tool and callers who look alike, as formulas that the solver answers questions about."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import z3

from connectors.contract import Tool
from gateway.policy.decision import Verdict
from gateway.policy.judge import Rule
from gateway.policy.language.expression import Node, parts
from gateway.policy.proof.callers import Caller
from gateway.policy.proof.examples import Example, read_example
from gateway.policy.proof.formulas import FALSE, TRUE, Formula, all_of, any_of, negated
from gateway.policy.proof.symbols import Symbols
from gateway.policy.proof.texts import Outside
from gateway.policy.proof.translation import Translation

_MOST_ATTEMPTS = 8
Found = TypeVar("Found")


class Status(StrEnum):
    """How a question came out."""

    PROVED = "proved"
    BROKEN = "broken"
    UNDECIDED = "could not decide"


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Found]):
    """The answer; with `found` if it is broken and with a reason if it could not be decided."""

    status: Status
    reason: str = ""
    found: Found | None = None


@dataclass(frozen=True, eq=False)
class Spoken:
    """The rules that speak of a party and a tool; one object for the same rules, so that comparing costs nothing."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Says:
    """What the rules say of a caller: that it may without asking, and that it may or must ask."""

    allows: Formula
    permits: Formula

    def is_one_of(self, verdicts: Iterable[Verdict]) -> Formula:
        """The verdict is one of these."""
        formulas: Mapping[Verdict, Formula] = {
            Verdict.ALLOW: self.allows,
            Verdict.ASK: all_of(self.permits, negated(self.allows)),
            Verdict.DENY: negated(self.permits),
        }
        return any_of(*[formulas[verdict] for verdict in verdicts])


class World:
    """One tool and one look of callers.

    Args:
        tool: The tool.
        tools: Every tool.
        caller: One of the callers.
        conditions: All conditions that questions will be about.
        milliseconds: How long the solver may think about one question.
    """

    def __init__(
        self, tool: Tool, tools: Sequence[Tool], caller: Caller, conditions: Iterable[Node], milliseconds: int
    ) -> None:
        self._tool = tool
        self._symbols = Symbols(tool, tools, caller.unlisted)
        self._translation = Translation(self._symbols, caller.facts, caller.vague)
        for condition in conditions:
            self._translation.truth(condition)
        self._solver = z3.Solver()
        self._solver.set("timeout", milliseconds)
        self._solver.add(*self._symbols.constraints())
        self._preferred, self._clean = self._symbols.preferred(), self._symbols.clean()
        self._parties: dict[Spoken, Says] = {}

    def holds(self, condition: Node | None) -> Formula:
        """The condition can be evaluated and is true."""
        if condition is None:
            return TRUE
        truth = self._translation.truth(condition)
        return all_of(truth.holds, negated(truth.breaks))

    def says(self, parties: Iterable[Spoken]) -> Says:
        """What the policy says of a caller, given for each party the rules that speak of it and the tool."""
        each = [self._party(party) for party in parties]
        return Says(all_of(*[party.allows for party in each]), all_of(*[party.permits for party in each]))

    def _party(self, spoken: Spoken) -> Says:
        if spoken not in self._parties:
            matched: dict[Verdict, list[Formula]] = {verdict: [] for verdict in Verdict}
            broken = []
            for rule in spoken.rules:
                truth = self._translation.truth(rule.condition) if rule.condition else None
                matched[rule.effect].append(truth.holds if truth else TRUE)
                broken.append(truth.breaks if truth else FALSE)
            denied = any_of(*[*broken, *matched[Verdict.DENY]])
            allowed, asked = any_of(*matched[Verdict.ALLOW]), any_of(*matched[Verdict.ASK])
            self._parties[spoken] = Says(
                all_of(negated(denied), negated(asked), allowed), all_of(negated(denied), any_of(asked, allowed))
            )
        return self._parties[spoken]

    def search(
        self,
        question: Formula,
        caller: Caller,
        confirm: Callable[[Example], Found | None],
        involved: Mapping[str, Node],
    ) -> Outcome[Found]:
        """Look for a call for which the question is true.

        Args:
            question: The formula.
            caller: Who calls.
            confirm: Asks the policy itself about a call: what it finds, or None if the call is no example after all.
            involved: The conditions in the question by whose they are, for the reason why nothing could be decided.
        """
        self._solver.push()
        try:
            self._solver.add(question)
            reason = ""
            for _ in range(_MOST_ATTEMPTS):
                answer = self._solver.check()
                if answer == z3.unsat and not reason:
                    return Outcome(Status.PROVED)
                if answer != z3.sat:
                    break
                model = self._ordinary_model()
                try:
                    if found := confirm(read_example(self._tool, self._symbols, caller, model)):
                        return Outcome(Status.BROKEN, found=found)
                    reason = "the policy does not confirm the example"
                except Outside as error:
                    reason = str(error)
                self._solver.add(self._differs(model))
            return Outcome(Status.UNDECIDED, self._why(involved) or reason or self._gave_up())
        finally:
            self._solver.pop()

    def _ordinary_model(self) -> Formula:
        """An ordinary call if there is one, else the one that was found."""
        found = self._solver.model()
        for preferred in dict.fromkeys(((*self._preferred, *self._clean), (*self._preferred,), (*self._clean,))):
            if preferred and self._solver.check(*preferred) == z3.sat:
                return self._solver.model()
        return found

    def _gave_up(self) -> str:
        return f"the solver gave up: {self._solver.reason_unknown()}"

    def _why(self, involved: Mapping[str, Node]) -> str:
        """The conditions that could not be translated whole, with what is the matter."""
        outside, told = self._translation.outside, []
        for whose, condition in involved.items():
            reasons = [outside[part] for part in parts(condition) if part in outside]
            told += [f"{whose} lies outside what can be translated: {reasons[0]}"] if reasons else []
        told += [f"`args.{'.'.join(path)}`: {reason}" for path, reason in self._symbols.loose.items()]
        return "; ".join(dict.fromkeys(told))

    def _differs(self, model: Formula) -> Formula:
        """Another choice of texts, or of what could not be translated."""
        picked = [variable for chosen in self._symbols.chosen.values() for _, variable in chosen]
        free = [*picked, *self._translation.unknowns]
        return any_of(*[variable != model.eval(variable, model_completion=True) for variable in free])
