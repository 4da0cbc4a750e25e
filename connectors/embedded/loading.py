"""What loading records into an embedded back end reports."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LoadReport:
    """How many records were new, changed, and the same as before."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0

    def __add__(self, other: "LoadReport") -> "LoadReport":
        return LoadReport(self.added + other.added, self.changed + other.changed, self.unchanged + other.unchanged)
