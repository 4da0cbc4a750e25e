"""What a back end shows to the system behind it, and where it gets that from: asked for each call, kept by nobody."""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import quote

from pydantic import SecretStr

from connectors.errors import Unavailable

HIDDEN = "[credential]"
"""What stands where a system echoes what it was shown."""


@dataclass(frozen=True)
class Access:
    """What is shown for one holder at this moment.

    Args:
        back_end: Whose back end it is for.
        tenant: Whose it is.
        person: The person whose own it is; None if it is the tenant's.
        version: Which of the holder's, as they follow each other.
        secret: A token, or the password of `user`.
        user: Empty for a token.
    """

    back_end: str
    tenant: str
    person: str | None
    version: int
    secret: SecretStr
    user: str = ""

    def header(self, before: str = "Bearer ") -> str:
        """What a header shows: `Basic …` of a user and password (RFC 7617), or `before` and a token."""
        return f"Basic {self._basic()}" if self.user else before + self.secret.get_secret_value()

    def hide(self, text: str) -> str:
        """A text without the secret, in any of the spellings in which a system is likely to echo it."""
        for each in self._spellings:
            if each in text:
                text = text.replace(each, HIDDEN)
        return text

    def hide_in(self, value: Any) -> Any:  # noqa: ANN401 - JSON data
        """JSON data without the secret, names included."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, Mapping):
            return {self.hide(name): self.hide_in(part) for name, part in value.items()}
        return [self.hide_in(item) for item in value] if isinstance(value, list) else value

    def _basic(self) -> str:
        return b64encode(f"{self.user}:{self.secret.get_secret_value()}".encode()).decode()

    @cached_property
    def _spellings(self) -> tuple[str, ...]:
        secret = self.secret.get_secret_value()
        written = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1].replace("/", "\\/"))
        coded = (quote(secret), quote(secret, safe=""), b64encode(secret.encode()).decode())
        found = {secret, *written, *coded, *([self._basic()] if self.user else [])}
        # The longest first: one may be part of another.
        return tuple(sorted(found, key=lambda each: (-len(each), each)))


class Credentials(Protocol):
    """Where back ends get what they show."""

    async def of(self, back_end: str, tenant: str, person: str | None = None) -> Access:
        """What to show now: a person's own if they have one, and else the tenant's.

        Args:
            back_end: For which back end.
            tenant: Whose call it is.
            person: The person behind it, if the back end knows people by credentials of their own.

        Raises:
            Unavailable: If there is none, or it is not good now: nothing may be sent then.
        """
        ...

    async def refused(self, access: Access) -> Access | None:
        """Tell that a system refused what it was shown.

        Returns:
            What to show instead, once; None if there is nothing else.

        Raises:
            Unavailable: If it should be renewed and cannot be.
        """
        ...


class NoCredentials:
    """Where nobody has any."""

    async def of(self, back_end: str, tenant: str, person: str | None = None) -> Access:  # noqa: ARG002 - as above
        """See `Credentials`."""
        raise Unavailable(f"there is no credential for `{back_end}`; nothing was done")

    async def refused(self, access: Access) -> Access | None:  # noqa: ARG002 - as above
        """See `Credentials`."""
        return None
