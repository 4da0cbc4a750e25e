"""What changed between two versions of a document: sentence by sentence, without a model."""

import difflib
import re
from typing import Literal

from pydantic import BaseModel, ConfigDict

_MOST = 40


class Change(BaseModel):
    """One change; `more` stands for as many more as `after` says. `under` is the heading that it is under."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["added", "removed", "changed", "more"]
    before: str = ""
    after: str = ""
    under: str = ""

    @property
    def told(self) -> str:
        """The change in one line, word for word."""
        place = f" ({self.under})" if self.under else ""
        return {
            "added": f"added{place}: “{self.after}”",
            "removed": f"removed{place}: “{self.before}”",
            "changed": f"changed{place}: “{self.before}” to “{self.after}”",
            "more": f"and {self.after} more changes",
        }[self.kind]


def changes(old: str, new: str) -> list[Change]:
    """All changes in order, or the first and how many more. White space, emphasis and where a line breaks make none.

    Args:
        old: The text of the earlier version, Markdown or plain.
        new: That of the later one.
    """
    before, after = _sentences(old), _sentences(new)
    matcher = difflib.SequenceMatcher(None, [each for _, each in before], [each for _, each in after], autojunk=False)
    found: list[Change] = []
    for _, first, last, start, end in (op for op in matcher.get_opcodes() if op[0] != "equal"):
        gone, come = before[first:last], after[start:end]
        for (_, was), (under, now) in zip(gone, come, strict=False):
            found.append(Change(kind="changed", before=was, after=now, under=under))
        found += [Change(kind="removed", before=text, under=under) for under, text in gone[len(come) :]]
        found += [Change(kind="added", after=text, under=under) for under, text in come[len(gone) :]]
    more = [Change(kind="more", after=str(len(found) - _MOST))] if len(found) > _MOST else []
    return found[:_MOST] + more


def _sentences(text: str) -> list[tuple[str, str]]:
    """Each sentence or line of a list with the heading that it is under."""
    heading, found = "", []
    for block in re.split(r"\n\s*\n|\n(?=[#\-*|]|\d+\. )", text):
        plain = " ".join(re.sub(r"[*_`]+", "", block).split())
        if plain.startswith("#"):
            title, _, rest = block.strip().partition("\n")
            heading, plain = title.strip("# *"), " ".join(re.sub(r"[*_`]+", "", rest).split())
        found += [(heading, each) for each in re.split(r"(?<=[.!?])\s+(?=[A-Z])", plain) if each.strip("|-: ")]
    return found
