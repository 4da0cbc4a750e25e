"""One call of a tool with everything about it unknown: its arguments, the time, and what the run did before.

Each unknown becomes a variable for the solver when somebody asks for it. A text becomes a choice among the classes that
the conditions can tell apart; a list of texts becomes the set of the classes that its items are in.
What is assumed about a field is never more than its declaration promises, so that a proof covers every valid call.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import TypeAlias

import z3

from connectors.contract import Tool
from gateway.policy.language.expression import ClockPart, FactName, FlowFact
from gateway.policy.language.flow import Integrity, Level
from gateway.policy.language.flow_facts import ARGUMENT_FACTS, type_of_flow
from gateway.policy.language.kinds import Kind, Type, type_of_tool
from gateway.policy.language.patterns import covers
from gateway.policy.proof.declared import Bounds, bounds_of_length, bounds_of_number, form_of_text
from gateway.policy.proof.formulas import Formula, any_of
from gateway.policy.proof.text_classes import TextClass, classes
from gateway.policy.proof.texts import ADDRESS, ANY, NAME, NOT_EMPTY, AnyLook, Form, Look, Outside

Path: TypeAlias = tuple[str, ...]

_SAMPLES: Mapping[Form, tuple[str, ...]] = {ADDRESS: ("someone@elsewhere.example",), ANY: ("",), NOT_EMPTY: ("text",)}


STRANGER = "*stranger"
"""An id that no policy can list, because of the star at its beginning."""
ORDINARY_DAY, ORDINARY_HOUR = date(2026, 1, 5), 12
_ORDINARY = {"today": ORDINARY_DAY.toordinal(), "hour": ORDINARY_HOUR}
_MOST_ATTEMPTS = 50
_HOURS, _COUNT = Bounds(Decimal(0), at_most=Decimal(23)), Bounds(Decimal(0))
_DAYS = Bounds(Decimal(1), at_most=Decimal(date.max.toordinal()))


def stranger(name: FactName) -> Path:
    """Where the id of a caller stands who is not listed in the policy."""
    return (f"{name}.id",)


class Symbols:
    """The unknowns of one call.

    Args:
        tool: The tool that is called.
        tools: Every tool, for rules that count earlier calls.
        listed: The ids that a stranger does not have, by fact (`person`, `agent`, `tenant`).
    """

    def __init__(self, tool: Tool, tools: Sequence[Tool], listed: Mapping[FactName, frozenset[str]]) -> None:
        self._listed = {stranger(name): ids for name, ids in listed.items()}
        self._type = type_of_tool(tool)
        self._tools = {each.name: type_of_tool(each) for each in tools}
        self._looks: dict[Path, dict[AnyLook, Formula]] = {}
        self._bounds: list[Formula] = []
        self.variables: dict[tuple[str, ...], Formula] = {}
        """What was asked for, by kind and place, such as `("number", "amount")` or `("calls", "crm_issue_refund")`."""
        self.chosen: dict[Path, list[tuple[TextClass, Formula]]] = {}
        """The classes that a text, or the items of a list, can be in, once `constraints` was asked."""
        self.loose: dict[Path, str] = {}
        """The texts about which nothing could be assumed, with the reason."""

    def type_at(self, path: Path) -> Type:
        """The declared type of an argument, or that of a stranger's id."""
        if path in self._listed:
            return Type(Kind.TEXT)
        found = self._type
        for name in path:
            found = found.fields[name]
        return found

    def absent(self, path: Path) -> Formula:
        """Whether an argument is None, or something that it is inside of."""
        prefixes = [path[:end] for end in range(1, len(path) + 1)]
        return any_of(*[self._bool("absent", *prefix) for prefix in prefixes if self.type_at(prefix).optional])

    def flag(self, path: Path) -> Formula:
        """Whether a true-or-false argument is true."""
        return self._bool("flag", *path)

    def number(self, path: Path) -> Formula:
        """The value of a number argument."""
        bounds = bounds_of_number(self.type_at(path))
        return self._value(bounds, bounds.decimals, "number", *path)

    def day(self, path: Path) -> Formula:
        """The proleptic ordinal of a date argument (`date.toordinal`)."""
        return self._value(_DAYS, 0, "day", *path)

    def length(self, path: Path) -> Formula:
        """How many items a list argument has."""
        self._looks.setdefault(path, {})
        return self._value(bounds_of_length(self.type_at(path)), 0, "length", *path)

    def text(self, path: Path, look: AnyLook) -> Formula:
        """Whether a look at a text argument is true; of a list argument, whether it is true of at least one item."""
        looks = self._looks.setdefault(path, {})
        if look not in looks:
            looks[look] = z3.Bool(f"{'.'.join(path)} {look}")
        return looks[look]

    def clock(self, part: ClockPart) -> Formula:
        """A part of the time of the call: the hour, the weekday from 0 for Monday, or the ordinal of the day."""
        if part == "hour":
            return self._value(_HOURS, 0, "hour")
        day = self._value(_DAYS, 0, "today")
        # Day 1 of the proleptic calendar was a Monday.
        return day if part == "date" else z3.ToReal((z3.ToInt(day) - 1) % 7)

    def calls(self, pattern: str) -> Formula:
        """How many calls of these tools the run was allowed before."""
        return z3.Sum([self._value(_COUNT, 0, "calls", name) for name in self._tools if covers(pattern, name)])

    def total(self, tool: str, argument: str) -> Formula:
        """The sum of an argument over the run's earlier calls of a tool."""
        declared, count = self._tools[tool].fields[argument], self.calls(tool)
        one = bounds_of_number(declared)
        is_new = ("total", tool, argument) not in self.variables
        found = self._value(Bounds(), one.decimals, "total", tool, argument)
        if is_new:
            least, most = one.at_least if one.above is None else one.above, one.at_most
            if least is not None:  # a call may have left out an argument that is optional: that adds nothing
                least = min(least, Decimal(0)) if declared.optional else least
                self._bounds.append(found >= count * z3.RealVal(str(least)))
            if most is not None:
                self._bounds.append(found <= count * z3.RealVal(str(max(most, Decimal(0)))))
            self._bounds.append(z3.Implies(count == 0, found == 0))
        return found

    def flow(self, fact: FlowFact) -> Formula:
        """What is known of the data flow: the same fact of the same argument is one unknown.

        A text is its place among the choices, a level its rank.
        """
        match fact:
            case FlowFact(name="saw_untrusted", argument=None):
                return self.flow(FlowFact("integrity", None, 0)) != list(Integrity).index(Integrity.ORGANISATION)
            case FlowFact(name="saw_private", argument=None):
                return self.flow(FlowFact("confidentiality", None, 0)) >= Level.CUSTOMER
            case FlowFact(name=name, argument=str(argument)):
                return self._flow_of_argument(fact, name, argument)
        return self._flow_value(fact, fact.name)

    def _flow_of_argument(self, fact: FlowFact, name: str, argument: str) -> Formula:
        """An argument that carries nothing has the answer that troubles nobody."""
        is_new = ("flow", name, argument) not in self.variables
        value = self._flow_value(fact, name, argument)
        if is_new:
            without, choices = ARGUMENT_FACTS[name].without, type_of_flow(fact).choices
            settled = choices.index(without) if isinstance(without, str) else without
            self._bounds.append(z3.Implies(self._carries_nothing((argument,)), value == settled))
        return value

    def _flow_value(self, fact: FlowFact, *key: str) -> Formula:
        found = type_of_flow(fact)
        if found.kind is Kind.BOOL:
            return self._bool("flow", *key)
        choices = len(Level) if found.kind is Kind.LEVEL else len(found.choices)
        most = Decimal(choices - 1) if choices else None
        return self._value(Bounds(Decimal(0), at_most=most), 0, "flow", *key)

    def _carries_nothing(self, path: Path) -> Formula:
        match self.type_at(path).kind:
            case Kind.TEXT:
                return any_of(self.absent(path), self.text(path, Look("itself", ("",))))
            case Kind.LIST:
                return any_of(self.absent(path), self.length(path) == 0)
        return self.absent(path)

    def constraints(self) -> list[Formula]:
        """What is known of the unknowns. To be asked when nothing more will be asked for."""
        found: list[Formula] = []
        for path, looks in self._looks.items():
            try:
                known = self._classes(path, frozenset(looks))
            except Outside as error:
                self.loose[path] = str(error)
                continue
            chosen = [(each, z3.Bool(f"{'.'.join(path)} is in {number}")) for number, each in enumerate(known)]
            self.chosen[path] = chosen
            found += _one_of(chosen) if self.type_at(path).kind is Kind.TEXT else self._items(path, chosen)
            for look, variable in looks.items():
                found.append(variable == any_of(*[picked for each, picked in chosen if look in each.holds]))
        return [*self._bounds, *found]

    def clean(self) -> list[Formula]:
        """What makes the data flow an ordinary one: a run that has seen nothing, values from the request."""
        flows = (variable for (kind, *_), variable in self.variables.items() if kind == "flow")
        return [z3.Not(variable) if z3.is_bool(variable) else variable == 0 for variable in flows]

    def preferred(self) -> list[Formula]:
        """What makes a call an ordinary one: whole amounts, short lists, noon of a working day, a run that begins."""
        found = []
        for (kind, *_), variable in self.variables.items():
            if kind == "calls":
                found.append(variable == 0)
            elif kind == "number":
                found += [variable >= 1, z3.IsInt(variable)]
            elif kind == "length":
                found.append(variable <= 1)
            elif kind in _ORDINARY:
                found.append(variable == _ORDINARY[kind])
        return found

    def _classes(self, path: Path, looks: frozenset[AnyLook]) -> Sequence[TextClass]:
        if path in self._listed:
            return _strangers(looks, self._listed[path])
        declared = self.type_at(path)
        one = declared if declared.kind is Kind.TEXT else declared.item
        if one is None or one.kind is not Kind.TEXT:
            return ()
        if one.choices:
            return [TextClass(choice, frozenset(look for look in looks if look(choice))) for choice in one.choices]
        form = form_of_text(one)
        return classes(form, looks, _SAMPLES.get(form, ()))

    def _items(self, path: Path, chosen: Sequence[tuple[TextClass, Formula]]) -> list[Formula]:
        """A list as the set of the classes of its items: at least as many items, and none only if it is empty."""
        count, picked = self.length(path), [variable for _, variable in chosen]
        if not picked:
            return []
        return [z3.Sum([z3.If(variable, 1, 0) for variable in picked]) <= count, z3.Or(picked) == (count > 0)]

    def _value(self, bounds: Bounds, decimals: int | None, *key: str) -> Formula:
        """A number with so many digits after the point; with any number of them if `decimals` is None."""
        if key not in self.variables:
            name = " ".join(key)
            value = z3.Real(name) if decimals is None else z3.ToReal(z3.Int(name)) / 10**decimals
            self.variables[key] = value
            for bound, relation in (
                (bounds.at_least, z3.ArithRef.__ge__),
                (bounds.above, z3.ArithRef.__gt__),
                (bounds.at_most, z3.ArithRef.__le__),
                (bounds.below, z3.ArithRef.__lt__),
            ):
                if bound is not None:
                    self._bounds.append(relation(value, z3.RealVal(str(bound))))
        return self.variables[key]

    def _bool(self, *key: str) -> Formula:
        return self.variables.setdefault(key, z3.Bool(" ".join(key)))


def sample_text(form: Form) -> str:
    """An ordinary text of a language."""
    return classes(form, frozenset(), _SAMPLES.get(form, ()))[0].text


def _one_of(chosen: Sequence[tuple[TextClass, Formula]]) -> list[Formula]:
    return [z3.PbEq([(variable, 1) for _, variable in chosen], 1)]


def _strangers(looks: frozenset[AnyLook], listed: frozenset[str]) -> Sequence[TextClass]:
    """The classes of the ids that are not listed."""
    apart: frozenset[str] = frozenset()
    for _ in range(_MOST_ATTEMPTS):
        found = classes(NAME, looks, (STRANGER,), apart)
        mistaken = frozenset(each.text for each in found) & listed - apart
        if not mistaken:
            return [each for each in found if each.text not in listed]
        apart |= mistaken
    raise Outside("the listed ids are too many to tell apart")
