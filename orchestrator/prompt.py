"""Prompts are files with a name and a version, so that the journal can say which text made a call."""

from dataclasses import dataclass
from pathlib import Path

PROMPTS = Path(__file__).parent / "prompts"


@dataclass(frozen=True, slots=True)
class Prompt:
    name: str
    version: int
    text: str

    @property
    def label(self) -> str:
        """How the journal names it, such as `triage@1`."""
        return f"{self.name}@{self.version}"


def load_prompt(name: str, folder: Path = PROMPTS) -> Prompt:
    """Read `<name>.md`: a header between `---` lines with `name` and `version`, then the text.

    Raises:
        ValueError: If the header is missing or incomplete.
    """
    path = folder / f"{name}.md"
    opening, _, rest = path.read_text("utf-8").partition("---\n")
    header, closing, text = rest.partition("---\n")
    fields = dict(line.split(": ", 1) for line in header.splitlines() if ": " in line)
    if opening or not closing or fields.get("name") != name or not fields.get("version", "").isdigit():
        raise ValueError(
            f"prompt `{path.name}` must begin with a `---` header that has `name: {name}` and `version: 1`"
        )
    return Prompt(name, int(fields["version"]), text.strip())
