"""Reads a condition: a small subset of Python expressions, parsed once.

Allowed are texts, numbers, `True`, `False`, `None`, lists of texts or numbers, `lists.<name>`, `args.<field>`,
`person.id`, `agent.id`, `tenant`, `now.hour`, `now.weekday`, `now.date`, `+`, comparisons, `in`, `and`, `or`, `not`,
the functions of `functions.py`, `calls`, `total`, and what `flow_facts.py` lists. All else is refused by name.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TypeGuard

from gateway.policy.files.lists import NO_LISTS, Lists
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
    Operator,
    Sum,
    Values,
)
from gateway.policy.language.flow import LEVELS
from gateway.policy.language.flow_facts import ARGUMENT_FACTS, RUN_FACTS, is_level
from gateway.policy.language.functions import FUNCTIONS
from gateway.policy.language.syntax import Mistake, described, dotted, lexical_mistakes, syntax_tree
from gateway.policy.problem import suggest

MAX_LENGTH = 500
MAX_DEPTH = 20
MAX_NODES = 200


_OPERATORS: dict[type[ast.cmpop], Operator] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
    ast.Is: "is",
    ast.IsNot: "is not",
}
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_ROOTS = ("args", "person", "agent", "tenant", "now", "lists", "run")
_ORDERINGS = frozenset({"<", "<=", ">", ">="})
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HISTORY = {
    "calls": ("a text, such as `calls('email_*')`", 1),
    "total": ("two texts, such as `total('crm_issue_refund', 'amount')`", 2),
}
_RUN_NAMES = ", ".join(f"`run.{name}`" for name in RUN_FACTS)
_SUCH_AS = dict.fromkeys(ARGUMENT_FACTS, "args.to") | {"confidentiality": "args.body"}
_CALLABLE = (*FUNCTIONS, *_HISTORY, *ARGUMENT_FACTS)


def parse(text: str, lists: Lists = NO_LISTS) -> tuple[Node | None, list[Mistake]]:
    """Read a condition.

    Args:
        text: The condition on one line, without surrounding blanks.
        lists: The values of each named list.

    Returns:
        The tree, or None with every mistake of form that was found.
    """
    if len(text) > MAX_LENGTH:
        return None, [Mistake(0, f"the condition has {len(text)} characters, at most {MAX_LENGTH} are allowed")]
    if "\\" in text:
        return None, [Mistake(text.index("\\"), "a condition must not contain a backslash")]
    tree = syntax_tree(text)
    if isinstance(tree, Mistake):
        return None, [tree]
    reader = _Reader(text, lists)
    try:
        node = reader.read(tree.body, 0)
    except _TooMuch as error:
        return None, [error.mistake]
    mistakes = [*lexical_mistakes(text), *reader.mistakes]
    return (None, mistakes) if mistakes else (node, [])


class _TooMuch(Exception):
    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.message)
        self.mistake = mistake


class _Reader:
    """Turns Python's tree into ours, noting everything that is not allowed."""

    def __init__(self, text: str, lists: Lists) -> None:
        self.text = text
        self.lists = lists
        self.bytes = text.encode("utf-8", "surrogatepass")
        self.mistakes: list[Mistake] = []
        self.nodes = 0

    def refuse(self, at: int, message: str) -> Constant:
        self.mistakes.append(Mistake(at, message))
        return Constant(None, at)

    def offset(self, position: int) -> int:
        """A character offset from Python's byte offset."""
        return len(self.bytes[:position].decode("utf-8", "surrogatepass"))

    def read(self, tree: ast.expr, depth: int) -> Node:
        at = self.offset(tree.col_offset)
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise _TooMuch(Mistake(at, f"the condition is nested more than {MAX_DEPTH} levels deep"))
        if self.nodes > MAX_NODES:
            raise _TooMuch(Mistake(at, f"the condition has more than {MAX_NODES} parts"))
        match tree:
            case ast.BoolOp(op=op, values=values):
                return Logic("and" if isinstance(op, ast.And) else "or", self.read_all(values, depth), at)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Not(self.read(operand, depth + 1), at)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value) as number) if type(value) in (int, float):
                return self.number(number, at, sign="-")
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                return _compare(
                    self.read_all([left, *comparators], depth), tuple(_OPERATORS[type(op)] for op in ops), at
                )
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                return self.sum(left, right, at, depth)
            case ast.Call():
                return self.call(tree, at, depth)
            case ast.List(elts=items) | ast.Set(elts=items):
                return self.values(items, at, depth)
        return self.leaf(tree, at)

    def leaf(self, tree: ast.expr, at: int) -> Node:
        if isinstance(tree, (ast.Attribute, ast.Name)):
            return self.name(tree, at)
        if isinstance(tree, ast.Constant):
            return self.constant(tree, at)
        return self.refuse(at, f"{described(tree)} is not allowed in a condition")

    def read_all(self, trees: Sequence[ast.expr], depth: int) -> tuple[Node, ...]:
        return tuple(self.read(tree, depth + 1) for tree in trees)

    def sum(self, left: ast.expr, right: ast.expr, at: int, depth: int) -> Sum:
        first, second = self.read_all([left, right], depth)
        return Sum((*first.operands, second) if isinstance(first, Sum) else (first, second), at)

    def constant(self, tree: ast.Constant, at: int) -> Constant:
        if tree.value is None or isinstance(tree.value, (bool, str)):
            return Constant(tree.value, at)
        if isinstance(tree.value, (int, float)):
            return self.number(tree, at, sign="")
        return self.refuse(at, f"{described(tree)} is not allowed in a condition")

    def number(self, tree: ast.Constant, at: int, sign: str) -> Constant:
        """A number exactly as it is written: a fraction becomes a Decimal, never a binary float."""
        written = self.bytes[tree.col_offset : tree.end_col_offset].decode("utf-8", "replace")
        if not _NUMBER.fullmatch(written):
            return self.refuse(at, f"write the number `{written}` with plain digits, such as `50` or `49.90`")
        return Constant(Decimal(sign + written) if "." in written else int(sign + written), at)

    def values(self, trees: Sequence[ast.expr], at: int, depth: int) -> Node:
        before = len(self.mistakes)
        items = self.read_all(trees, depth)
        if not items:
            return self.refuse(at, "the list is empty")
        constants = tuple(item for item in items if _is_plain(item))
        if len(constants) < len(items) and len(self.mistakes) == before:
            return self.refuse(at, "a list may only hold plain texts and numbers")
        texts = [isinstance(item.value, str) for item in constants]
        if len(set(texts)) > 1:
            return self.refuse(
                constants[texts.index(not texts[0])].at, "a list holds either texts or numbers, not both"
            )
        return Values(constants, at)

    def call(self, tree: ast.Call, at: int, depth: int) -> Node:
        if not isinstance(tree.func, ast.Name):
            return self.refuse(at, "only the documented functions can be called, such as `domain(args.to)`")
        name = tree.func.id
        if name not in _CALLABLE:
            return self.refuse(at, f"unknown function `{name}`{suggest(name, _CALLABLE)}")
        if tree.keywords or any(isinstance(argument, ast.Starred) for argument in tree.args):
            return self.refuse(at, f"`{name}` takes its arguments by position only")
        arguments = self.read_all(tree.args, depth)
        if name in ARGUMENT_FACTS:
            return self.flowing(name, arguments, at)
        return self.earlier(name, arguments, at) if name in _HISTORY else Call(name, arguments, at)

    def flowing(self, name: str, arguments: Sequence[Node], at: int) -> Node:
        match arguments:
            case [Field(path=(argument,))]:
                return FlowFact(name, argument, at)
            case [Field(path=(argument, *_))]:
                return self.refuse(at, f"`{name}` looks at a whole argument: write `{name}(args.{argument})`")
        return self.refuse(at, f"`{name}` needs one argument of the call, such as `{name}({_SUCH_AS[name]})`")

    def earlier(self, name: str, arguments: Sequence[Node], at: int) -> Node:
        needs, count = _HISTORY[name]
        texts = [node.value for node in arguments if isinstance(node, Constant) and isinstance(node.value, str)]
        if not len(texts) == len(arguments) == count:
            return self.refuse(at, f"`{name}` needs {needs}")
        return Earlier(texts[0], texts[1] if count == 2 else None, at)

    def name(self, tree: ast.Attribute | ast.Name, at: int) -> Node:
        match dotted(tree):
            case ["tenant"]:
                return Fact("tenant", at)
            case ["person", "id"]:
                return Fact("person", at)
            case ["agent", "id"]:
                return Fact("agent", at)
            case ["now", "hour" | "weekday" | "date" as part]:
                return Now(part, at)
            case ["lists", name]:
                return self.named_list(name, at)
            case ["run", name] if name in RUN_FACTS:
                return FlowFact(name, None, at)
            case ["args", _, *_] as parts:
                return Field(tuple(parts[1:]), at)
            case [root, *_] if not root.isascii():
                return Constant(None, at)  # already noted
            case parts:
                return self.refuse(at, _misnamed(parts))

    def named_list(self, name: str, at: int) -> Node:
        if name not in self.lists:
            near = suggest(name, self.lists, prefix="lists.") or ": lists.csv does not have it"
            return self.refuse(at, f"unknown list `lists.{name}`{near}")
        return Values(tuple(Constant(value, at) for value in self.lists[name]), at, name)


def _compare(operands: tuple[Node, ...], operators: tuple[Operator, ...], at: int) -> Compare:
    """A comparison. Texts have no order: a text `'2026-12-24'` that is ordered, or compared with today, is a date.

    So is a text that is compared with a level of confidentiality a level.
    """
    if any(map(is_level, operands)):
        operands = tuple(map(_levelled, operands))
    elif not _ORDERINGS.isdisjoint(operators) or Now("date", at) in operands:
        operands = tuple(map(_dated, operands))
    return Compare(operands, operators, at)


def _dated(node: Node) -> Node:
    match node:
        case Constant(value=str(text)) if _DATE.fullmatch(text):
            try:
                return replace(node, value=date.fromisoformat(text))
            except ValueError:  # such as 30 February: the check says so
                return node
        case Values(items=items):
            dated = tuple(_dated(item) for item in items)
            return replace(node, items=tuple(item for item in dated if isinstance(item, Constant)))
    return node


def _levelled(node: Node) -> Node:
    match node:
        case Constant(value=str(word)) if word in LEVELS:
            return replace(node, value=LEVELS[word])
        case Values(items=items):
            return replace(
                node, items=tuple(replace(item, value=LEVELS.get(str(item.value), item.value)) for item in items)
            )
    return node


def _misnamed(parts: list[str]) -> str:
    match parts:
        case []:
            return "a field can only be read from `args`, `person`, `agent`, `now`, `lists` or `run`"
        case ["run", name, *_]:
            return f"unknown name `run.{name}`{suggest(name, RUN_FACTS, 'run.') or f': it is one of {_RUN_NAMES}'}"
        case ["run"]:
            return "`run` needs a name, such as `run.saw_untrusted`"
        case ["args"]:
            return "`args` needs a field, such as `args.amount`"
        case ["lists", *_]:
            return "`lists` needs the name of one list, such as `lists.partners`"
        case ["person" | "agent" as who, *_]:
            return f"`{'.'.join(parts)}` does not exist: write `{who}.id`"
        case ["now", *_]:
            return f"`{'.'.join(parts)}` does not exist: write `now.hour`, `now.weekday` or `now.date`"
        case ["tenant", *_]:
            return "`tenant` is a plain text and has no fields"
    return f"unknown name `{parts[0]}`{suggest(parts[0], _ROOTS)}"


def _is_plain(node: Node) -> TypeGuard[Constant]:
    return (
        isinstance(node, Constant) and isinstance(node.value, (str, int, Decimal)) and not isinstance(node.value, bool)
    )
