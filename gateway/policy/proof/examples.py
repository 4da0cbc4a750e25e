"""Calls made of what the solver found, as a person would make them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

import z3
from pydantic import BaseModel, ValidationError

from connectors.contract import Confidentiality, Tool
from gateway.policy.language.expression import FactName
from gateway.policy.language.flow import Flow, Integrity, Origin
from gateway.policy.language.history import History
from gateway.policy.language.kinds import Kind, Type
from gateway.policy.proof.callers import Caller
from gateway.policy.proof.declared import bounds_of_length, bounds_of_number, form_of_text
from gateway.policy.proof.formulas import Formula
from gateway.policy.proof.symbols import (
    ORDINARY_DAY,
    ORDINARY_HOUR,
    STRANGER,
    Path,
    Symbols,
    sample_text,
    stranger,
)
from gateway.policy.proof.texts import Outside
from gateway.principal import Principal

_MOST_EARLIER_CALLS = 100_000
_Word = TypeVar("_Word", bound=StrEnum)


@dataclass(frozen=True)
class Example:
    """One call: who, what, when, what the run was allowed before, and the data flow as far as rules ask about it.

    `args` is JSON data as a caller would send it, `values` what the tool's input makes of it.
    """

    principal: Principal
    tool: str
    args: Mapping[str, Any]
    values: Mapping[str, object]
    now: datetime
    history: History
    flow: Flow


def read_example(tool: Tool, symbols: Symbols, caller: Caller, model: Formula) -> Example:
    """Make a call out of the solver's model.

    Raises:
        Outside: If the tool's input refuses the arguments: then the model relies on more than a call can be.
    """
    reader = _Reader(symbols, model)
    args = reader.record(tool.input, ())
    try:
        values = tool.input.model_validate_json(json.dumps(args)).model_dump()
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise Outside(f"the example's `{place}` is refused by `{tool.name}`") from None
    try:
        principal = caller.principal({fact: reader.stranger(fact) for fact in caller.unlisted})
    except ValueError as error:
        raise Outside(f"the example's caller is none: {error}") from None
    return Example(principal, tool.name, args, values, reader.now(), reader.history(), reader.flow())


class _Reader:
    def __init__(self, symbols: Symbols, model: Formula) -> None:
        self._symbols = symbols
        self._model = model

    def record(self, model: type[BaseModel], path: Path) -> dict[str, Any]:
        """The arguments that somebody looked at, and the others as far as they are required."""
        made = {}
        for name, info in model.model_fields.items():
            inside = (*path, name)
            if info.is_required() or self._is_looked_at(inside):
                made[info.alias or name] = self._field(inside)
        return made

    def stranger(self, fact: FactName) -> str:
        """The id of the stranger in the call."""
        path = stranger(fact)
        return self._text(path) if path in self._symbols.chosen else STRANGER

    def now(self) -> datetime:
        """The time of the call."""
        day = self._asked("today")
        hour = self._asked("hour")
        when = ORDINARY_DAY if day is None else date.fromordinal(int(day))
        return datetime.combine(when, time(ORDINARY_HOUR if hour is None else int(hour)), UTC)

    def history(self) -> History:
        """Earlier calls, as many as somebody counted, the last of each tool with the whole sum."""
        calls: dict[str, list[dict[str, object]]] = {}
        for kind, *key in self._symbols.variables:
            if kind == "calls":
                count = int(self._asked("calls", *key) or 0)
                if count > _MOST_EARLIER_CALLS:
                    raise Outside(f"the example needs {count} earlier calls")
                calls[key[0]] = [{} for _ in range(count)]
        for kind, *key in self._symbols.variables:
            if kind == "total":
                tool, argument = key
                for made in calls[tool]:
                    made[argument] = None
                if calls[tool]:
                    calls[tool][-1][argument] = self._asked("total", tool, argument)
        return History(calls)

    def flow(self) -> Flow:
        """The data flow; what nobody asked about is as in a run that has seen nothing."""
        return Flow(
            origins={name: _nth(Origin, place) for name, place in self._flow_of_arguments("origin")},
            confidentiality={
                name: _nth(Confidentiality, rank) for name, rank in self._flow_of_arguments("confidentiality")
            },
            audience={name: _nth(Confidentiality, rank) for name, rank in self._flow_of_arguments("audience")},
            first_time={
                key[2]: self._is_true(*key) for key in self._symbols.variables if key[:2] == ("flow", "first_time")
            },
            integrity=_nth(Integrity, self._asked("flow", "integrity")),
            seen=_nth(Confidentiality, self._asked("flow", "confidentiality")),
            has_grant=self._is_true("flow", "has_grant"),
            is_intended=self._is_true("flow", "is_intended"),
            denials=int(self._asked("flow", "denials") or 0),
            records=int(self._asked("flow", "records") or 0),
            recent_calls=int(self._asked("flow", "recent_calls") or 0),
            customers=int(self._asked("flow", "customers") or 0),
        )

    def _flow_of_arguments(self, name: str) -> Iterator[tuple[str, Decimal | None]]:
        keys = (key for key in self._symbols.variables if key[:2] == ("flow", name) and len(key) == 3)
        yield from ((key[2], self._asked(*key)) for key in keys)

    def _is_looked_at(self, path: Path) -> bool:
        keys = self._symbols.variables
        looked_at = [*self._symbols.chosen, *(key[1:] for key in keys if key[0] in _OF_ARGUMENTS)]
        looked_at += [key[2:] for key in keys if key[0] == "flow" and len(key) == 3]
        return any(other[: len(path)] == path for other in looked_at)

    def _asked(self, *key: str) -> Decimal | None:
        """The value of a number; None if nobody asked for it."""
        if key not in self._symbols.variables:
            return None
        value = self._model.eval(self._symbols.variables[key], model_completion=True)
        return Decimal(value.numerator_as_long()) / Decimal(value.denominator_as_long())

    def _is_true(self, *key: str) -> bool:
        found = self._symbols.variables.get(key)
        return found is not None and z3.is_true(self._model.eval(found, model_completion=True))

    def _field(self, path: Path) -> Any:  # noqa: ANN401 - JSON data
        declared = self._symbols.type_at(path)
        if declared.optional and self._is_true("absent", *path):
            return None
        match declared.kind:
            case Kind.TEXT:
                return self._text(path) if path in self._symbols.chosen else _sample(declared)
            case Kind.NUMBER:
                found = self._asked("number", *path)
                return _sample(declared) if found is None else _as_json(found)
            case Kind.BOOL:
                return self._is_true("flag", *path)
            case Kind.DATE:
                ordinal = self._asked("day", *path)
                return (ORDINARY_DAY if ordinal is None else date.fromordinal(int(ordinal))).isoformat()
            case Kind.LIST:
                return self._items(path, declared)
            case Kind.RECORD:
                return {name: self._field((*path, name)) for name in declared.fields}
        raise Outside(f"an example cannot fill in `args.{'.'.join(path)}`")

    def _text(self, path: Path) -> str:
        return next(each.text for each, picked in self._symbols.chosen[path] if self._is_picked(picked))

    def _is_picked(self, picked: Formula) -> bool:
        return bool(z3.is_true(self._model.eval(picked, model_completion=True)))

    def _items(self, path: Path, declared: Type) -> list[Any]:
        item = declared.item
        if item is None:
            raise Outside(f"an example cannot fill in `args.{'.'.join(path)}`")
        count = self._asked("length", *path)
        many = int(bounds_of_length(declared).at_least or 0) if count is None else int(count)
        kinds = [each.text for each, picked in self._symbols.chosen.get(path, ()) if self._is_picked(picked)]
        kinds = kinds or [_sample(item)] * (many > 0)
        return kinds + kinds[:1] * (many - len(kinds))


def _nth(words: type[_Word], place: Decimal | None) -> _Word:
    return list(words)[int(place or 0)]


_OF_ARGUMENTS = frozenset({"absent", "flag", "number", "day", "length"})


def _sample(declared: Type) -> Any:  # noqa: ANN401 - JSON data
    if declared.kind is Kind.TEXT:
        return declared.choices[0] if declared.choices else sample_text(form_of_text(declared))
    if declared.kind is Kind.NUMBER:
        bounds = bounds_of_number(declared)
        least = bounds.at_least if bounds.above is None else bounds.above + 1
        return _as_json(next((value for value in (least, bounds.at_most) if value is not None), Decimal(1)))
    raise Outside(f"an example cannot fill in {declared.kind}")


def _as_json(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)
