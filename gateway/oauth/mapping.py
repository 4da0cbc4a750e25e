"""From the claims of a checked token to who calls. Whatever the file does not say in so many words is nobody."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.access import Access
from gateway.oauth.jwt import text
from gateway.oauth.refusals import BadToken, NobodyHere
from gateway.policy.files.identity import ANY_CLIENT, Claim, Identity, Issuer, Person
from gateway.principal import Principal

_ADDRESS = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+)")
_TRUE = (True, "true", "1")
_MOST_ACTORS = 10
_MOST_VALUES = 5_000


@dataclass(frozen=True, slots=True)
class _Acting:
    """Who acts through a client: an agent, or the token's person when there is none; `alone` for nobody but itself."""

    agent: str | None
    alone: bool


def access_of_claims(claims: Mapping[str, Any], name: str, identity: Identity, expires_at: float, key: str) -> Access:
    """Who calls with a token, and what it was issued for.

    Args:
        claims: Its claims, checked.
        name: What `identity.toml` calls its issuer.
        identity: What the file says.
        expires_at: Until when the token is good, in seconds since 1970.
        key: The thumbprint of the key that it is bound to, or nothing.

    Raises:
        BadToken: If a claim is not what it must be.
        NobodyHere: If the file does not say whom it means.
    """
    issuer = identity.issuers[name]
    client = _client(claims, issuer)
    actors = tuple(_actors(claims))
    acting = _acting(client, actors, issuer)
    person = _person(claims, client, acting, issuer, has_actor=bool(actors))
    if person is None and acting.agent is None:
        raise NobodyHere("the token names no person, and its client stands for no agent")
    try:
        principal = Principal(_tenant(claims, issuer), person, acting.agent, _roles(claims, issuer))
    except ValueError as error:
        raise NobodyHere("the token names somebody whose name cannot be used here", str(error)) from None
    scopes = _scopes(claims) if identity.scopes and issuer.scoped else None
    return Access(principal, token_name(claims), name, actors, scopes, expires_at, key)


def person_of_claims(claims: Mapping[str, Any], issuer: Issuer, client: str) -> Principal:
    """Who signs in with an ID token: a person alone, with the roles that its claims give.

    Args:
        claims: Its claims, checked.
        issuer: Its issuer.
        client: The client that it is for.

    Raises:
        BadToken: If a claim is not what it must be.
        NobodyHere: If the file does not say whom it means.
    """
    if issuer.person is None or "act" in claims or _is_clients_own(claims, client):
        raise NobodyHere("the sign-in is no person's")
    person, tenant = _named(claims, issuer.person), _tenant(claims, issuer)
    try:
        return Principal(tenant, person, None, _roles(claims, issuer))
    except ValueError as error:
        raise NobodyHere("the token names somebody whose name cannot be used here", str(error)) from None


def meaning_of(issuer: Issuer) -> str:
    """A hash of all that decides whom a sign-in of an issuer means: with another one it has to be made again."""
    decides = issuer.model_dump_json(include={"issuer", "tenant", "person", "roles"})
    client = issuer.console.client_id if issuer.console else ""
    return hashlib.sha256(repr((decides, client)).encode()).hexdigest()


def token_name(claims: Mapping[str, Any]) -> str:
    """A token's name in the journal: of its id with its issuer, or of all its claims where it has none."""
    about = [claims.get("iss"), claims["jti"]] if claims.get("jti") else sorted((k, repr(v)) for k, v in claims.items())
    return f"at_{hashlib.sha256(repr(about).encode('utf-8', 'backslashreplace')).hexdigest()[:24]}"


def _client(claims: Mapping[str, Any], issuer: Issuer) -> str:
    if issuer.client is not None:
        found = {_claim(claims, issuer.client)}
    else:
        found = {claims[name] for name in ("client_id", "azp") if isinstance(claims.get(name), str)}
    named = [each for each in found if isinstance(each, str) and each]
    if len(named) != 1:
        raise BadToken("the token names no client, or two of them")
    return _listed(named[0])


def _listed(client: str) -> str:
    """The client, unless it is called as the file calls every other one: that line names nobody."""
    if client == ANY_CLIENT:
        raise NobodyHere("the token's client is not listed", client)
    return client


def _actors(claims: Mapping[str, Any]) -> Iterator[str]:
    """Who acts, the present actor first, then whom it acts for in turn (RFC 8693, section 4.1)."""
    within = claims.get("act")
    for _ in range(_MOST_ACTORS):
        if within is None:
            return
        if not isinstance(within, dict):
            break
        actor = text(within, "client_id") or text(within, "sub")
        if not actor or within.get("iss") not in (None, claims.get("iss")):
            break
        yield _listed(actor)
        within = within.get("act")
    raise BadToken("the token's `act` cannot be understood")


def _acting(client: str, actors: tuple[str, ...], issuer: Issuer) -> _Acting:
    through = _of(issuer.acting(client), client)
    if not actors:
        return through
    acting = _of(issuer.clients.get(actors[0]), actors[0])
    if acting.agent is None or acting.alone:
        raise NobodyHere("the token's actor stands for no agent that acts for people", actors[0])
    if through.agent not in (None, acting.agent):
        raise NobodyHere("the token's client and its actor stand for two agents", f"{client}, {actors[0]}")
    return acting


def _of(said: str | None, client: str) -> _Acting:
    if said is None:
        raise NobodyHere("the token's client is not listed", client)
    agent, _, alone = said.partition(" ")
    return _Acting(None if agent == "person" else agent.removeprefix("agent:"), bool(alone))


def _person(claims: Mapping[str, Any], client: str, acting: _Acting, issuer: Issuer, *, has_actor: bool) -> str | None:
    """The token's person; None only where it is the client's own, never because a claim is missing."""
    if acting.alone:
        return None
    if _is_clients_own(claims, client):
        if has_actor or client not in issuer.clients:
            raise NobodyHere("the token is its client's own", client)
        return None
    if issuer.person is None:
        raise NobodyHere("the issuer's tokens name no person")
    return _named(claims, issuer.person)


def _is_clients_own(claims: Mapping[str, Any], client: str) -> bool:
    """Whether a client got a token for itself: RFC 9068, section 2.2, and how Auth0 and Entra say so."""
    return (
        claims.get("sub") in (client, f"{client}@clients")
        or claims.get("idtyp") == "app"
        or claims.get("gty") == "client-credentials"
    )


def _named(claims: Mapping[str, Any], person: Person) -> str:
    value = _claim(claims, person.claim)
    if not isinstance(value, str) or not value:
        raise NobodyHere("the token lacks the claim that names its person", repr(person.claim))
    if person.vouched_by is not None and _claim(claims, person.vouched_by) not in _TRUE:
        raise NobodyHere("the issuer has not verified the person's address")
    if not person.is_address:
        return f"{person.prefix}{value}"
    found = _ADDRESS.fullmatch(value.lower()) if value.isascii() else None
    if found is None or (person.domains and found[1] not in person.domains):
        raise NobodyHere("the person's address is in none of the issuer's domains")
    return f"{person.prefix}{found[0]}"


def _tenant(claims: Mapping[str, Any], issuer: Issuer) -> str:
    if isinstance(issuer.tenant, str):
        return issuer.tenant
    value = _claim(claims, issuer.tenant.claim)
    tenant = issuer.tenant.of.get(value) if isinstance(value, str) else None
    if tenant is None:
        raise NobodyHere("the token is of no tenant that is known here", repr(value)[:100])
    return tenant


def _roles(claims: Mapping[str, Any], issuer: Issuer) -> frozenset[str]:
    if issuer.roles is None:
        return frozenset()
    elsewhere = claims.get("_claim_names")
    if isinstance(elsewhere, dict) and issuer.roles.claim in elsewhere:
        # OpenID Connect Core 1.0, section 5.6.2: they are left out, and a role that denies would be left out too.
        raise NobodyHere("the token leaves out its groups because they are too many")
    value = _claim(claims, issuer.roles.claim)
    values = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(values, list) or len(values) > _MOST_VALUES:
        raise BadToken("the token's roles are no list")
    return frozenset(issuer.roles.give[each] for each in values if isinstance(each, str) and each in issuer.roles.give)


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    value = claims.get("scope", claims.get("scp", ""))
    found = value.split(" ") if isinstance(value, str) else value
    if not isinstance(found, list):
        raise BadToken("the token's scopes are no text")
    return frozenset(each for each in found if isinstance(each, str) and each)


def _claim(claims: Mapping[str, Any], claim: Claim) -> object:
    found: object = claims
    for name in (claim,) if isinstance(claim, str) else claim:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
