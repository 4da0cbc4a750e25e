"""The outside of a condition: Python's own grammar read as a tree, and the mistakes that the grammar hides."""

import ast
import io
import re
import tokenize
import warnings
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong in a condition, at an offset of its text."""

    at: int
    message: str


_HINTS = (
    (r"&&", " — did you mean `and`?"),
    (r"\|\|", " — did you mean `or`?"),
    (r"!(?!=)", " — did you mean `not`?"),
    (r"(?<![=!<>])=(?!=)", " — did you mean `==`?"),
)


@lru_cache(maxsize=2_000)  # a policy is read again and again, with one line changed
def syntax_tree(text: str) -> ast.Expression | Mistake:
    """Read the text as a Python expression, without evaluating anything."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text, mode="eval")
    except SyntaxError as error:
        at = min(max((error.offset or 1) - 1, 0), len(text))
        hint = next((hint for written, hint in _HINTS if re.search(written, text)), "")
        return Mistake(at, f"this is not an expression that can be read{hint}")
    except (ValueError, MemoryError, RecursionError):
        return Mistake(0, "the condition cannot be read: it is nested too deeply or holds a forbidden character")


@lru_cache(maxsize=2_000)
def lexical_mistakes(text: str) -> tuple[Mistake, ...]:
    """Mistakes that Python's grammar hides: a comment, a forgotten comma between texts, look-alike letters."""
    mistakes: list[Mistake] = []
    previous = tokenize.ENDMARKER
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            at = token.start[1]
            if token.type == tokenize.COMMENT:
                mistakes.append(Mistake(at, "a condition must not contain a comment"))
            if token.type == previous == tokenize.STRING:
                mistakes.append(Mistake(at, "a comma is missing before this text"))
            if token.type == tokenize.NAME and not token.string.isascii():
                mistakes.append(Mistake(at, f"the name `{token.string}` must be plain ASCII"))
            previous = token.type
    except (tokenize.TokenError, SyntaxError):
        mistakes.append(Mistake(0, "this is not an expression that can be read"))
    return tuple(mistakes)


def dotted(tree: ast.expr) -> list[str]:
    """`["args", "amount"]` for `args.amount`; empty when it is anything but names joined by dots."""
    match tree:
        case ast.Name(id=name):
            return [name]
        case ast.Attribute(value=value, attr=attr):
            before = dotted(value)
            return [*before, attr] if before else []
    return []


_DESCRIPTIONS: dict[type[ast.expr], str] = {
    ast.BinOp: "arithmetic other than `+`",
    ast.UnaryOp: "arithmetic other than `+`",
    ast.Lambda: "a function definition",
    ast.Subscript: "indexing with `[…]`",
    ast.JoinedStr: "a formatted text",
    ast.IfExp: "`if … else`",
    ast.NamedExpr: "an assignment",
    ast.Tuple: "a tuple (write a list in `[…]`)",
    ast.Dict: "a dictionary",
    ast.Starred: "`*`",
}


def described(tree: ast.expr) -> str:
    """What a form that conditions do not have is called."""
    if isinstance(tree, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return "a comprehension"
    return _DESCRIPTIONS.get(type(tree), "this")
