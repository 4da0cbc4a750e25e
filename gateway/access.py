"""What a caller's token gives, once it is verified: who calls, by which token of which issuer, for which scopes."""

from dataclasses import dataclass
from typing import Any

from gateway.principal import Principal

FOR_EVER = float("inf")


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller's token gives.

    Args:
        principal: Who calls.
        token: The token's name in the journal; the token itself follows from it in no way.
        issuer: What `identity.toml` calls its issuer; empty for one that `remit token create` made.
        actors: Who acts for whom by the token's `act` claim, the present actor first (RFC 8693, section 4.1); only the
            present one counts for rights.
        scopes: What the token was issued for; None leaves all that policy allows.
        expires_at: Until when, in seconds since 1970.
        key: The thumbprint of the key that whoever presents the token must prove to have (RFC 9449, section 6.1); empty
            if it is bound to none.
        made_of: The names of the tokens that it was exchanged for, and of those that these were exchanged for.
    """

    principal: Principal
    token: str
    issuer: str = ""
    actors: tuple[str, ...] = ()
    scopes: frozenset[str] | None = None
    expires_at: float = FOR_EVER
    key: str = ""
    made_of: frozenset[str] = frozenset()

    @property
    def tokens(self) -> frozenset[str]:
        """The names of all tokens without which there would be none of this."""
        return self.made_of | {self.token}

    def told(self) -> dict[str, Any]:
        """What the journal says of it, as JSON data without what there is nothing to say of."""
        claimed = sorted(self.principal.roles)
        found = {"token": self.token, "issuer": self.issuer, "actors": list(self.actors), "claimed": claimed}
        return {name: value for name, value in found.items() if value}
