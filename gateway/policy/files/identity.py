"""What `identity.toml` says: whose tokens are taken, and which person, agent, tenant and roles their claims mean.

What it does not say gives nobody anything: an unlisted client, tenant or role is none.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from connectors.contract import Effect, Tool
from gateway.policy.language.patterns import covers

FILE = "identity.toml"
ANY_CLIENT = "*"
OWN = "exchange"
"""What the journal calls this gateway as an issuer; no other has this name."""
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/|$)")

Algorithm: TypeAlias = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]
"""Signatures that only the issuer can make (RFC 7518, RFC 8037, RFC 9864): never `none`, never a shared secret."""
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
Url = Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", max_length=500)]
Claim: TypeAlias = (
    Annotated[str, Field(min_length=1, max_length=200)]
    | Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(min_length=1, max_length=5)]
)
"""A claim by its name, or the names that lead to one inside others."""
Value = Annotated[str, Field(min_length=1, max_length=500)]
_ACTING = re.compile(r"(person|agent:\S{1,200}( alone)?)")
Host = Annotated[str, Field(pattern=r"^[a-z0-9.-]+(:[0-9]{1,5})?$")]
Scope = Annotated[str, Field(pattern=r"^[\x21\x23-\x5B\x5D-\x7E]{1,200}$")]
"""As RFC 6749 has it in section 3.3."""


def _acting(said: str) -> str:
    if not _ACTING.fullmatch(said):
        raise ValueError("write `person`, `agent:NAME`, or `agent:NAME alone`")
    return said


Acting = Annotated[str, AfterValidator(_acting)]


def is_safe(url: str) -> bool:
    """Whether a URL is `https`, or leads to this machine."""
    return url.startswith("https://") or _LOOPBACK.match(url) is not None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class TenantClaim(_Strict):
    """The tenant by a claim's value; a value that is not listed is no tenant.

    Args:
        claim: The claim.
        of: The tenant of each value.
    """

    claim: Claim
    of: Annotated[dict[Value, str], Field(min_length=1)]


class Person(_Strict):
    """How a person is named after a claim.

    Args:
        claim: The claim.
        prefix: What is put before its value, such as `partner:`, so that another issuer's people have other names.
        domains: The domains that the value must be an address in; it is then the name, in lower case.
        verified: The claim that must be true beside it; of `email` it is `email_verified` if nothing else is said.
    """

    claim: Claim = "sub"
    prefix: Annotated[str, Field(pattern=r"^([a-z0-9][a-z0-9._-]{0,30}:)?$")] = ""
    domains: tuple[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*\.[a-z0-9-]+$")], ...] = ()
    verified: Claim | None = None

    @model_validator(mode="after")
    def _named_one_way(self) -> Self:
        if self.prefix and self.domains:
            raise ValueError("give one of `prefix` and `domains`")
        return self

    @property
    def vouched_by(self) -> Claim | None:
        """The claim that must be true; None if none has to be."""
        return self.verified or ("email_verified" if self.claim == "email" else None)

    @property
    def is_address(self) -> bool:
        """Whether the value must be an email address."""
        return bool(self.domains) or self.claim == "email"

    def may_name_one_of(self, other: "Person") -> bool:
        """Whether both could give two people one name."""
        if self.prefix and other.prefix:
            return self.prefix.startswith(other.prefix) or other.prefix.startswith(self.prefix)
        if self.domains and other.domains:
            return not set(self.domains).isdisjoint(other.domains)
        # No address begins with a prefix, for it has no colon before its `@`.
        return not ((self.prefix or self.domains) and (other.prefix or other.domains))


class GivenRoles(_Strict):
    """Roles by the values of a claim; a value that is not listed gives none.

    Args:
        claim: The claim: one value or a list of them.
        give: The role that each value gives.
    """

    claim: Claim
    give: Annotated[dict[Value, str], Field(min_length=1)]


class Secret(_Strict):
    """A secret in the gateway's environment or in a file: never in this one."""

    env: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _from_one_place(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("give one of `env` and `file`")
        return self


class Introspection(_Strict):
    """Asking the issuer about a token (RFC 7662).

    Args:
        client_id: Who asks.
        secret: The client's secret.
        of: About which tokens: `opaque` ones, those that are a `jwt` besides checking them here, or `all`.
        remembered: For how many seconds an answer counts.
    """

    client_id: Value
    secret: Secret
    of: Literal["opaque", "jwt", "all"] = "all"
    remembered: Annotated[float, Field(ge=0, le=60)] = 30.0


class ConsoleClient(_Strict):
    """The issuer's client by which people sign in to the console (OpenID Connect Core 1.0, section 3.1).

    Args:
        client_id: Its id: a client of the console alone.
        secret: Its secret; None for a public client.
        name: What the sign-in page calls the issuer; empty for its name in the file.
        scopes: What is asked for besides `openid`, so that ID tokens have the claims that name people and give roles.
    """

    client_id: Value
    secret: Secret | None = None
    name: Annotated[str, Field(max_length=60)] = ""
    scopes: tuple[Scope, ...] = ("email",)


class Issuer(_Strict):
    """One issuer of tokens and what its claims mean.

    Args:
        issuer: Its identifier, exactly as tokens have it in `iss`.
        tenant: The tenant of its tokens.
        person: How it names people; None if its tokens are of agents alone.
        clients: Who acts through each of its clients: `person`, `agent:NAME` (for the token's person, or for itself if
            the token is the client's own), `agent:NAME alone` (never for a person). `*` is every other client.
        roles: Roles that a token gives to its person, or to an agent that acts for nobody.
        audience: What its tokens must be for, if that is not this gateway's resource URL.
        algorithms: The signatures that are accepted.
        any_type: Whether tokens need not say that they are access tokens (`typ` other than `at+jwt`, RFC 9068).
        client: The claim that names the client; unsaid, `client_id` or `azp`.
        scoped: Whether scopes narrow its tokens.
        dpop: Whether its tokens must be bound to a key of the caller's (RFC 9449). A bound one always needs proof.
        leeway: Seconds by which its clock may be wrong.
        jwks: Where its keys are, if its metadata do not say.
        hosts: Further hosts that its metadata may name.
        introspection: Whether it is asked about tokens.
        console: How its people sign in to the console; None if they do not.
    """

    issuer: Url
    tenant: str | TenantClaim
    person: Person | None = None
    clients: Annotated[dict[Value, Acting], Field(min_length=1)]
    roles: GivenRoles | None = None
    audience: Annotated[str, Field(max_length=500)] = ""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256", "PS256", "ES256")
    any_type: bool = False
    client: Claim | None = None
    scoped: bool = True
    dpop: bool = False
    leeway: Annotated[float, Field(ge=0, le=120)] = 30.0
    jwks: Url | Literal[""] = ""
    hosts: tuple[Host, ...] = ()
    introspection: Introspection | None = None
    console: ConsoleClient | None = None

    @model_validator(mode="after")
    def _not_in_the_clear(self) -> Self:
        for name, url in (("issuer", self.issuer), ("jwks", self.jwks)):
            if url and not is_safe(url):
                raise ValueError(f"`{name}` must be `https`, or a loopback address")
        return self

    @property
    def tenants(self) -> frozenset[str]:
        """Every tenant that its tokens may be of."""
        return frozenset({self.tenant} if isinstance(self.tenant, str) else self.tenant.of.values())

    def acting(self, client: str) -> str | None:
        """Who acts through a client; None if nobody does. `*` is not the console's client, which makes no calls."""
        is_consoles = self.console is not None and client == self.console.client_id
        return self.clients.get(client) or (None if is_consoles else self.clients.get(ANY_CLIENT))

    @property
    def takes_opaque(self) -> bool:
        """Whether it is asked about tokens that do not say whose they are."""
        return self.introspection is not None and self.introspection.of != "jwt"

    @property
    def asks_about_jwts(self) -> bool:
        """Whether it is asked about tokens that could be checked here."""
        return self.introspection is not None and self.introspection.of != "opaque"


class Exchange(_Strict):
    """Tokens of this gateway for agents that act for a person (RFC 8693).

    Args:
        agents: For each agent that may have one, whose tokens it may bring: `person` for those that a person holds,
            `agent:NAME` for those of an agent that acts for a person.
        seconds: How long one lasts at most.
    """

    agents: Annotated[
        dict[
            Value,
            Annotated[tuple[Annotated[str, Field(pattern=r"^(person|agent:\S{1,200})$")], ...], Field(min_length=1)],
        ],
        Field(min_length=1),
    ]
    seconds: Annotated[float, Field(ge=10, le=3_600)] = 300.0


class Identity(_Strict):
    """Everything that the file says.

    Args:
        resource: The URL at which clients reach this gateway's MCP endpoint; what tokens must be for (RFC 8707).
        scopes: What each scope opens: effects (`read`, `write`, `send`, `delete`) and tools. Without any, tokens are
            not narrowed by scopes. The first one is what a client is told to ask for at the beginning.
        issuers: The issuers, by the names that the journal calls them.
        exchange: Whether agents can exchange tokens here.
    """

    resource: Url
    scopes: dict[Scope, tuple[str, ...]] = {}
    issuers: Annotated[dict[Name, Issuer], Field(min_length=1)]
    exchange: Exchange | None = None

    @model_validator(mode="after")
    def _not_in_the_clear(self) -> Self:
        if not is_safe(self.resource):
            raise ValueError("`resource` must be `https`, or a loopback address")
        return self

    @cached_property
    def by_url(self) -> Mapping[str, tuple[str, Issuer]]:
        """Each issuer with its name, by what its tokens have in `iss`."""
        return {issuer.issuer: (name, issuer) for name, issuer in self.issuers.items()}

    @cached_property
    def opaque(self) -> tuple[str, Issuer] | None:
        """The issuer that is asked about tokens that do not say whose they are."""
        return next(((name, issuer) for name, issuer in self.issuers.items() if issuer.takes_opaque), None)

    @property
    def given_roles(self) -> frozenset[str]:
        """Every role that some claim gives."""
        return frozenset(
            role for issuer in self.issuers.values() if issuer.roles for role in issuer.roles.give.values()
        )

    def opening(self, tool: Tool) -> list[str]:
        """The scopes that open a tool, in the order of the file."""
        return [scope for scope, opened in self.scopes.items() if _opens(opened, tool)]

    def is_open(self, scopes: frozenset[str] | None, tool: Tool) -> bool:
        """Whether a token with these scopes, or one that scopes do not narrow, may call a tool."""
        return scopes is None or not self.scopes or not scopes.isdisjoint(self.opening(tool))


def _opens(opened: Iterable[str], tool: Tool) -> bool:
    return any(each == tool.effect.value or (each not in _EFFECTS and covers(each, tool.name)) for each in opened)


_EFFECTS = frozenset(effect.value for effect in Effect)


def clashes(issuers: Mapping[str, Issuer]) -> Iterator[tuple[str, str, str]]:
    """Two issuers that could name one person, or that both take tokens without an issuer: both names, and why."""
    seen: list[tuple[str, Issuer]] = []
    for name, issuer in issuers.items():
        for before, other in seen:
            shared = issuer.tenants & other.tenants
            if issuer.person and other.person and shared and issuer.person.may_name_one_of(other.person):
                hint = "give each other `domains`, or a `prefix`"
                yield name, before, f"it could name the same people as `{before}` in `{min(shared)}`: {hint}"
            if issuer.issuer == other.issuer:
                yield name, before, f"`{before}` has the same `issuer`"
            if issuer.takes_opaque and other.takes_opaque:
                yield (
                    name,
                    before,
                    f'`{before}` takes opaque tokens too, and they do not say whose they are: `of = "jwt"`',
                )
        seen.append((name, issuer))


def every_tenant(issuer: Issuer) -> Iterator[tuple[tuple[str, ...], str]]:
    """The tenants that an issuer's part names, each with the keys that lead to it."""
    if isinstance(issuer.tenant, str):
        yield ("tenant",), issuer.tenant
    else:
        yield from ((("tenant", "of", value), tenant) for value, tenant in issuer.tenant.of.items())
