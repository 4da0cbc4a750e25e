"""What kinds of back ends there are to declare, and what each is made of."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from connectors.contract import CallContext
from connectors.credentials import Credentials
from connectors.embedded.database import Database
from connectors.vendor.site import Site

_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/|$)")


def _not_in_the_clear(url: str) -> str:
    if not url.startswith("https://") and not _LOOPBACK.match(url):
        raise ValueError("must be `https`, or a loopback address")
    return url.rstrip("/")


Url = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$"), AfterValidator(_not_in_the_clear)]
"""Where a system is: `https`, or a loopback address."""

CredentialName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class Table(BaseModel):
    """A table within what an operator says, taken strictly."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Declared(BaseModel):
    """What an operator says of one tenant's back end; a kind's own model adds what it needs and says its `kind`.

    `credential` is the name that `remit credentials set` was given. With `inside`, the system may be at a private
    address.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    tenant: Annotated[str, Field(min_length=1, max_length=100)]
    kind: str
    credential: CredentialName = ""
    inside: bool = False

    @property
    def shown(self) -> str:
        """The name of its credential: the kind's, unless another is given."""
        return self.credential or self.kind

    @property
    def all_shown(self) -> tuple[str, ...]:
        """The names of all credentials that it shows, where parts of it have their own."""
        return (self.shown,)


class DeclaredSite(Declared):
    """What an operator says of a system that is at one address."""

    url: Url

    def site(self, name: str, path: str, **more: Any) -> Site:  # noqa: ANN401 - as `Site` takes them
        """Where its API is.

        Args:
            name: How messages call it.
            path: What every path of it is below.
            more: How it wants to be spoken to.
        """
        return Site(name, f"{self.url}{path}", self.shown, inside=self.inside, **more)


@dataclass(frozen=True)
class Surroundings:
    """What a back end may use of the gateway.

    Args:
        credentials: Where it gets what it shows, for each call anew.
        company: The database of the embedded back ends, for what the system itself cannot keep.
    """

    credentials: Credentials
    company: Database


@dataclass(frozen=True)
class Consent:
    """Where a person is sent to consent, and what for (OAuth 2.1, authorization code with PKCE).

    Args:
        authorize_url: Where the person is sent.
        token_url: Where the code is exchanged, and later the refresh token.
        extra: Further parameters that the vendor wants when the person is sent.
    """

    authorize_url: str
    token_url: str
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """A kind of back end.

    Args:
        name: What an operator writes as `kind`.
        area: Whose tools it serves.
        declared: What an operator says of one.
        make: Makes one; does nothing that takes time.
        shows: The kinds of credentials that the system takes, the usual one first; none if it takes none.
        scopes: What of OAuth the credential must be good for.
        consent: Where a person consents, given what is declared; None where nobody can.
    """

    name: str
    area: str
    declared: type[Declared]
    make: Callable[[Any, Surroundings], "Declarable"]
    shows: tuple[Literal["token", "password", "client", "refresh", "assertion"], ...] = ("token",)
    scopes: tuple[str, ...] = ()
    consent: Callable[[Any], Consent] | None = None


@runtime_checkable
class Declarable(Protocol):
    """What every back end that can be declared has beside its tools."""

    async def look(self, call: CallContext) -> str:
        """Look whether the system is reached and fit for use; a sentence that says what is there.

        Args:
            call: In whose name; nothing is changed.

        Raises:
            ConnectorError: If it is not; says why.
        """
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...
