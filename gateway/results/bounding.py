"""How much text a result may hold: what is too long is cut between characters, and says what is missing."""

from dataclasses import dataclass

from connectors.contract import Tool

SHORTEST = 1_000
"""The lowest limit there is, in characters: less would cut values."""
VALUE = 256
"""Up to how many characters a text is never cut: half of an address or a name would mean something else."""
_SLACK = 4_000
_TO_NARROW = ("max_bytes", "limit", "max_results", "query")
_TO_GO_ON = ("offset", "cursor")


@dataclass(frozen=True, slots=True)
class Limits:
    """How many characters of text a caller gets at most: of one result, and of one field in it."""

    result: int
    field: int

    def lowered(self, cap: int | None) -> "Limits":
        """These limits under one that policy sets on the whole result."""
        return self if cap is None else Limits(min(self.result, cap), min(self.field, cap))


def roughly(text: str, most: int) -> str:
    """So much of a text as has to be looked at to present `most` characters: what crosses the cut is seen whole."""
    return text[: most + _SLACK]


def cut(text: str, most: int, unseen: int, advice: str) -> tuple[str, int]:
    """Cut a text, never within one of the gateway's own remarks.

    Args:
        text: The text, or as much of it as was looked at.
        most: How many characters are left for it.
        unseen: How many characters behind it were not looked at.
        advice: How to get the rest.

    Returns:
        The text with a remark if it was cut, and how many characters are missing.
    """
    if len(text) <= most and not unseen:
        return text, 0
    kept = text[: max(most, 0)]
    if kept.rfind("⟦") > kept.rfind("⟧"):
        kept = kept[: kept.rfind("⟦")]
    missing = len(text) - len(kept) + unseen
    return f"{kept}⟦cut: {missing} characters are missing; {advice}⟧", missing


def advice_for(tool: Tool) -> str:
    """How a caller of a tool gets what was cut."""
    narrower = next((name for name in _TO_NARROW if name in tool.input.model_fields), "")
    going_on = next((name for name in _TO_GO_ON if name in tool.input.model_fields), "")
    if narrower == "query":
        return "ask for less with a narrower `query`"
    if narrower:
        return f"call again with a smaller `{narrower}`" + (f", then go on with `{going_on}`" if going_on else "")
    return "ask a person for the rest, or read the record another way"
