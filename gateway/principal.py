"""Who calls."""

import re
import unicodedata
from dataclasses import dataclass, field

_NAME = re.compile(r"\S{1,200}")
# A `+` may stand in an address, so only one before the other party separates.
_BETWEEN_PARTIES = re.compile(r"\+(?=(?:person|agent):)")


@dataclass(frozen=True, slots=True)
class Principal:
    """A person, an agent, or an agent acting for a person, within one tenant.

    Args:
        tenant: Whose data the call may touch.
        person: The person's `sub`, such as `ana@larkspur.example`, if a person is behind the call.
        agent: The agent's client id, such as `triage`, if an agent makes the call.
        roles: Roles that an identity provider gives to the person, or to an agent that acts for nobody, besides those
            of `roles.csv`. They say what it may do, not who it is: principals are compared without regard to them.

    Raises:
        ValueError: If neither a person nor an agent is named, or a name is empty or not plain visible text.
    """

    tenant: str
    person: str | None = None
    agent: str | None = None
    roles: frozenset[str] = field(default=frozenset(), compare=False)

    def __post_init__(self) -> None:
        named = [name for name in (self.person, self.agent) if name is not None]
        if not named:
            raise ValueError("a principal needs a person or an agent")
        for name in (self.tenant, *named):
            if not _NAME.fullmatch(name) or not name.isprintable():
                raise ValueError(
                    f"`{ascii(name)[1:-1][:60]}` is not a name: 1 to 200 visible characters without blanks"
                )

    @property
    def parties(self) -> tuple[str, ...]:
        """The subjects that must each be allowed, as policy names them: `person:…`, `agent:…`."""
        person = (f"person:{self.person}",) if self.person is not None else ()
        agent = (f"agent:{self.agent}",) if self.agent is not None else ()
        return person + agent

    def roles_of(self, party: str) -> frozenset[str]:
        """The roles that an identity provider gives to one of the parties."""
        return self.roles if self.roles and party == self.parties[0] else frozenset()

    @property
    def name(self) -> str:
        """Both parties in one text that no other principal has."""
        return " ".join(self.parties)

    def __str__(self) -> str:
        return f"{' for '.join(reversed(self.parties))} in {self.tenant}"


def is_same_name(one: str, other: str) -> bool:
    """Whether two names may be one person's in two spellings: by case, or by Unicode's forms of a letter.

    Rights go by the exact name. This is for what one person must not do twice, or not at all: on that side, mistaking
    two people for one is the safe mistake.
    """
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    # As Unicode says to compare without regard to either (Unicode Standard, definition D146).
    once = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", name).casefold())
    return unicodedata.normalize("NFKC", once.casefold())


def parse_principal(text: str, tenant: str) -> Principal:
    """Read a principal as people write it: `person:ana@larkspur.example`, `agent:triage`, or both joined by `+`.

    Raises:
        ValueError: Says what was expected.
    """
    named: dict[str, str] = {}
    for part in _BETWEEN_PARTIES.split(text):
        kind, colon, name = part.strip().partition(":")
        if kind not in {"person", "agent"} or not colon or not name or kind in named:
            raise ValueError(
                f"`{text}` is not a principal: write `person:NAME`, `agent:NAME` or `agent:NAME+person:NAME`"
            )
        named[kind] = name
    return Principal(tenant, person=named.get("person"), agent=named.get("agent"))
