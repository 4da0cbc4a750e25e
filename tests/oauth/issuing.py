"""An issuer in this process: its metadata and keys as it would publish them, and tokens that it signs."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import anyio
from joserfc.jwk import ECKey, OKPKey, RSAKey

from gateway.access import Access
from gateway.oauth.fetching import NotFound
from gateway.oauth.keys import Keys
from gateway.oauth.own import OwnTokens
from gateway.oauth.refusals import IssuerUnavailable
from gateway.oauth.verifying import Verifier
from gateway.policy.files.identity import Issuer as Trusted
from gateway.policy.judge import Policy
from gateway.policy.load import policy_from_texts
from tests.oauth.forging import signed
from tests.policy.making import MODEL, TOOLS

URL = "https://id.larkspur.example"
RESOURCE = "https://remit.larkspur.example/mcp"
START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
ROLES = """\
g, person:ana, role:support, larkspur
g, agent:triage, role:support, larkspur
g, person:lea, role:lead, larkspur
"""
RULES = "p, A1, role:support, crm_*, , allow, support\np, A2, role:lead, ticket_*, , allow, leads\n"
IDENTITY = f"""\
resource = "{RESOURCE}"

[issuers.staff]
issuer = "{URL}"
tenant = "larkspur"
algorithms = ["RS256", "ES256", "Ed25519"]

[issuers.staff.person]
claim = "sub"

[issuers.staff.clients]
desktop = "person"
triage-bot = "agent:triage"
batch-bot = "agent:batch alone"
"""
KEYS: dict[str, RSAKey | ECKey | OKPKey] = {
    "RS256": RSAKey.generate_key(2048, {"kid": "rsa"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
    "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
}


class NoStaticTokens:
    async def verify(self, token: str) -> Access | None:
        return None


@dataclass
class Issuer:
    """What it publishes, and how often it was asked for what."""

    metadata: dict[str, Any] = field(default_factory=lambda: {"issuer": URL, "jwks_uri": f"{URL}/keys"})
    keys: dict[str, Any] = field(default_factory=lambda: published(*KEYS.values()))
    reachable: bool = True
    asked: list[str] = field(default_factory=list)
    waits_for: anyio.Event | None = None

    async def get(self, url: str) -> dict[str, Any]:
        self.asked.append(url)
        if self.waits_for:
            await self.waits_for.wait()
        if not self.reachable:
            raise IssuerUnavailable("nobody answers")
        if url == f"{URL}/keys":
            return self.keys
        if url == f"{URL}/.well-known/openid-configuration":
            return self.metadata
        raise NotFound("nothing")


@dataclass
class Time:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def published(*keys: RSAKey | ECKey | OKPKey) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=False) for key in keys]}


@cache
def policy_of(identity: str) -> Policy:
    """A policy with this `identity.toml`."""
    texts = {"model.conf": MODEL, "roles.csv": ROLES, "rules.csv": RULES, "identity.toml": identity}
    return policy_from_texts(texts, TOOLS)


def staff(more: str = "") -> Trusted:
    """The issuer as a gateway knows it."""
    identity = policy_of(IDENTITY + more).identity
    assert identity
    return identity.issuers["staff"]


def verifier(issuer: Issuer, time: Time, identity: str = IDENTITY, own: OwnTokens | None = None) -> Verifier:
    """A verifier that trusts the issuer."""
    policy = policy_of(identity)
    return Verifier(
        NoStaticTokens(),
        lambda: policy,
        own or OwnTokens(bytes(32)),
        time,
        lambda trusted, clock: Keys(trusted, clock, issuer.get),
    )


def claims(**changed: Any) -> dict[str, Any]:
    """Ana's claims at `START`; a value of None leaves a claim out."""
    now = int(START.timestamp())
    usual = {"iss": URL, "aud": RESOURCE, "sub": "ana", "client_id": "desktop", "jti": "j1", "iat": now}
    found = {**usual, "exp": now + 300, **changed}
    return {name: value for name, value in found.items() if value is not None}


def token(algorithm: str = "ES256", header: dict[str, Any] | None = None, **changed: Any) -> str:
    """A token that the issuer signed."""
    key = KEYS[algorithm]
    return signed(claims(**changed), key, **{"alg": algorithm, "kid": key.kid, **(header or {})})
