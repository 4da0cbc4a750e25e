"""Who calls."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """A person, an agent, or an agent acting for a person, within one tenant.

    Args:
        tenant: Whose data the call may touch.
        person: The person's `sub`, such as `ana@larkspur.example`, if a person is behind the call.
        agent: The agent's client id, such as `triage`, if an agent makes the call.

    Raises:
        ValueError: If neither a person nor an agent is named.
    """

    tenant: str
    person: str | None = None
    agent: str | None = None

    def __post_init__(self) -> None:
        if not self.tenant or not (self.person or self.agent):
            raise ValueError("a principal needs a tenant and a person or an agent")

    @property
    def parties(self) -> tuple[str, ...]:
        """The subjects that must each be allowed, as policy names them: `person:…`, `agent:…`."""
        person = (f"person:{self.person}",) if self.person else ()
        agent = (f"agent:{self.agent}",) if self.agent else ()
        return person + agent

    @property
    def name(self) -> str:
        """Both parties in one text, as `parse_principal` reads it."""
        return "+".join(self.parties)

    def __str__(self) -> str:
        return f"{' for '.join(reversed(self.parties))} in {self.tenant}"


def parse_principal(text: str, tenant: str) -> Principal:
    """Read a principal as people write it: `person:ana@larkspur.example`, `agent:triage`, or both joined by `+`.

    Raises:
        ValueError: Says what was expected.
    """
    named: dict[str, str] = {}
    for part in text.split("+"):
        kind, colon, name = part.strip().partition(":")
        if kind not in {"person", "agent"} or not colon or not name or kind in named:
            raise ValueError(
                f"`{text}` is not a principal: write `person:NAME`, `agent:NAME` or `agent:NAME+person:NAME`"
            )
        named[kind] = name
    return Principal(tenant, person=named.get("person"), agent=named.get("agent"))
