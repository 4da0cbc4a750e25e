"""Takes out of a text what policy obliges to keep back, with the rule named in its place."""

from collections import Counter
from collections.abc import Sequence

from structlog import get_logger

from connectors.contract import Author, Tool
from gateway.policy.files.obligations import Redaction, What
from gateway.results.detecting import find

log = get_logger("remit.results")

_WHOLE = (What.FIELD, What.PERSONAL)
_NAMES = {
    What.SECRETS: "secret",
    What.PAYMENT_CARDS: "payment card",
    What.IBANS: "IBAN",
    What.ADDRESSES: "email address",
    What.PHONES: "phone number",
    What.PERSONAL: "personal data",
    What.FIELD: "field",
}
Counts = Counter[tuple[str, What]]
"""How much was redacted, by rule and kind."""


def redacted(tool: Tool, path: str, text: str, redactions: Sequence[Redaction]) -> tuple[str, Counts]:
    """A text without what must be kept back.

    What systems made (ids, cursors, times) says nothing about anybody and stays as it is.

    Args:
        tool: The tool that gave it; its declaration says what is personal.
        path: Where it stands in the result, `[]` standing for every item of a list.
        text: The text.
        redactions: What policy obliges to.
    """
    counts: Counts = Counter()
    speaking = [each for each in redactions if each.field in ("*", path)]
    if not speaking or not text or tool.authors.get(path) is Author.SYSTEM:
        return text, counts
    rules = {what: each.id for each in reversed(speaking) for what in each.whats}
    for what in _WHOLE:
        if what in rules and (what is What.FIELD or path in tool.personal_output):
            return _instead(what, rules[what], counts), counts
    try:
        spans = find(text, rules)
    except Exception:
        log.exception("not_looked_through", tool=tool.name, path=path)
        first = next(iter(rules))
        return f"⟦withheld: it could not be looked through, rule {rules[first]}⟧", Counter({(rules[first], first): 1})
    parts, position = [], 0
    for start, end, what in spans:
        parts += [text[position:start], _instead(what, rules[what], counts)]
        position = end
    return "".join((*parts, text[position:])), counts


def _instead(what: What, rule: str, counts: Counts) -> str:
    counts[rule, what] += 1
    return f"⟦redacted: {_NAMES[what]}, rule {rule}⟧"
