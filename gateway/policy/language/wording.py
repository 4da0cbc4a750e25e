"""Puts conditions and values back into the words of the policy files, for people."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

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
    Sum,
    Values,
)
from gateway.policy.language.flow import Level

_LONGEST = 80


def written(node: Node) -> str:  # noqa: C901 - one case for each kind of node
    """A condition, or a part of one, as it would be written in `rules.csv`: reading it again gives an equal tree."""
    match node:
        case Constant(value=value):
            return literal(value)
        case Values(items=items, name=name):
            return f"lists.{name}" if name else f"[{_joined(items)}]"
        case Field(path=path):
            return ".".join(("args", *path))
        case Fact(name=name):
            return name if name == "tenant" else f"{name}.id"
        case Now(part=part):
            return f"now.{part}"
        case Earlier(tools=tools, argument=None):
            return f"calls({tools!r})"
        case Earlier(tools=tools, argument=argument):
            return f"total({tools!r}, {argument!r})"
        case FlowFact(name=name, argument=None):
            return f"run.{name}"
        case FlowFact(name=name, argument=argument):
            return f"{name}(args.{argument})"
        case Sum(operands=operands):
            return " + ".join(map(written, operands))
        case Call(function=function, arguments=arguments):
            return f"{function}({_joined(arguments)})"
        case _:
            return _truth(node)


def _truth(node: Compare | Logic | Not) -> str:
    match node:
        case Compare(operands=operands, operators=operators):
            first, *rest = (f"({written(each)})" if _is_truth(each) else written(each) for each in operands)
            return first + "".join(f" {symbol} {each}" for symbol, each in zip(operators, rest, strict=True))
        case Logic(word=word, operands=operands):
            return f" {word} ".join(
                f"({written(each)})" if isinstance(each, Logic) else written(each) for each in operands
            )
        case Not(operand=operand):
            return f"not ({written(operand)})" if isinstance(operand, Logic) else f"not {written(operand)}"


def literal(value: object) -> str:
    """A value as a condition writes it: texts and dates in quotes, numbers in plain digits, lists in brackets."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, date):
        return repr(value.isoformat())
    if isinstance(value, Level):
        return repr(value.word)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(literal, value))}]"
    return repr(value)


def shortened(value: object) -> str:
    """A value of a call as in `literal`, cut where it gets long; control characters come out as escapes."""
    text = literal(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _joined(nodes: Iterable[Node]) -> str:
    return ", ".join(map(written, nodes))


def _is_truth(node: Node) -> bool:
    return isinstance(node, (Compare, Logic, Not))
