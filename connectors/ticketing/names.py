"""What a help desk calls our statuses and priorities, as an operator says it."""

from typing import ClassVar, Generic, TypeVar, cast

from connectors.vendor.kinds import Table

T = TypeVar("T", bound=str)


class Names(Table, Generic[T]):
    """Fields named like ours, each with the system's names for it; upper and lower case are the same."""

    otherwise: ClassVar[str]
    """Ours for what has a name that is not given."""

    def of(self, ours: T) -> list[str]:
        """Theirs for one of ours."""
        return list(getattr(self, ours))

    def ours(self, theirs: str) -> T:
        """Ours for one of theirs."""
        named = theirs.casefold()
        given = [each for each, names in self if named in map(str.casefold, names)]
        return cast("T", given[0] if given else self.otherwise)
