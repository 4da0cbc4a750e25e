"""Which person, agent, tenant, roles and scopes a checked token's claims mean, and when they mean nobody."""

from typing import Any

import pytest

from gateway.oauth.keys import FRESH_SECONDS
from gateway.oauth.refusals import BadToken, NobodyHere
from tests.oauth.issuing import IDENTITY, START, Issuer, Time, token, verifier

NOW = int(START.timestamp())
BY_EMAIL = IDENTITY.replace('claim = "sub"', 'claim = "email"\ndomains = ["larkspur.example"]')
BY_TENANT = IDENTITY.replace('tenant = "larkspur"', 'tenant = { claim = "org", of = { o1 = "larkspur", o2 = "acme" } }')
LEADS = '\n[issuers.staff.roles]\nclaim = ["realm_access", "roles"]\ngive = { leads = "role:lead" }\n'
SCOPED = '\n[scopes]\nread = ["read"]\n'
ANY = IDENTITY.replace('desktop = "person"', '"*" = "person"')
ANY_AGENT = IDENTITY.replace('desktop = "person"', 'desktop = "person"\n"*" = "agent:any"')
PREFIXED = IDENTITY.replace('claim = "sub"', 'claim = "sub"\nprefix = "partner:"')
VERIFIED = {"email": "Ana@Larkspur.example", "email_verified": True}
ACT = {"sub": "triage-bot"}

MEANT: list[tuple[str, dict[str, Any], str]] = [
    (IDENTITY, {}, "larkspur person:ana"),
    (IDENTITY, {"client_id": None, "azp": "desktop"}, "larkspur person:ana"),
    (IDENTITY, {"client_id": "triage-bot"}, "larkspur person:ana agent:triage"),
    (IDENTITY, {"client_id": "triage-bot", "sub": "triage-bot"}, "larkspur agent:triage"),
    (IDENTITY, {"client_id": "triage-bot", "sub": "triage-bot@clients"}, "larkspur agent:triage"),
    (IDENTITY, {"client_id": "batch-bot"}, "larkspur agent:batch"),
    (IDENTITY, {"act": ACT}, "larkspur person:ana agent:triage"),
    (IDENTITY, {"act": {**ACT, "act": {"sub": "whoever"}}}, "larkspur person:ana agent:triage"),
    (BY_EMAIL, VERIFIED, "larkspur person:ana@larkspur.example"),
    (BY_TENANT, {"org": "o2"}, "acme person:ana"),
    (ANY, {"client_id": "an-app"}, "larkspur person:ana"),
    (PREFIXED, {}, "larkspur person:partner:ana"),
]
NOBODY: list[tuple[str, dict[str, Any], str]] = [
    (IDENTITY, {"client_id": "stranger"}, "client is not listed"),
    (IDENTITY, {"sub": None}, "lacks the claim"),
    (IDENTITY, {"sub": "ana b"}, "name cannot be used"),
    (IDENTITY, {"sub": "desktop"}, "names no person"),
    (IDENTITY, {"act": {"sub": "stranger"}}, "client is not listed"),
    (IDENTITY, {"act": {"sub": "desktop"}}, "no agent that acts for people"),
    (IDENTITY, {"act": {"sub": "batch-bot"}}, "no agent that acts for people"),
    (IDENTITY, {"client_id": "batch-bot", "act": ACT}, "two agents"),
    (IDENTITY, {"sub": "desktop", "act": ACT}, "client's own"),
    (BY_EMAIL, {**VERIFIED, "email_verified": False}, "has not verified"),
    (BY_EMAIL, {"email": "ana@larkspur.example"}, "has not verified"),
    (BY_EMAIL, {**VERIFIED, "email": "ana@evil.example"}, "domains"),
    (BY_EMAIL, {**VERIFIED, "email": "ana@larkspur.example@evil.example"}, "domains"),
    (BY_EMAIL, {**VERIFIED, "email": "anа@larkspur.example"}, "domains"),
    (BY_EMAIL, {**VERIFIED, "email": ["ana@larkspur.example"]}, "lacks the claim"),
    (BY_TENANT, {"org": "o3"}, "no tenant"),
    (BY_TENANT, {"org": ["o1"]}, "no tenant"),
    (BY_TENANT, {}, "no tenant"),
    (ANY, {"client_id": "an-app", "sub": "an-app"}, "client's own"),
    (ANY_AGENT, {"client_id": "*", "sub": "*"}, "client is not listed"),
    (ANY_AGENT, {"act": {"sub": "*"}}, "client is not listed"),
    (
        IDENTITY + LEADS.replace('["realm_access", "roles"]', '"groups"'),
        {"_claim_names": {"groups": "src1"}},
        "too many",
    ),
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"iss": "https://id.larkspur.example/"}, "none of this gateway's"),
    ({"aud": "https://other.example/mcp"}, "somebody else"),
    ({"aud": None}, "somebody else"),
    ({"aud": []}, "somebody else"),
    ({"aud": "https://remit.larkspur.example/mcp/"}, "somebody else"),
    ({"exp": None}, "until when"),
    ({"exp": NOW - 30}, "expired"),
    ({"exp": "tomorrow"}, "no time"),
    ({"exp": True}, "no time"),
    ({"exp": 1e300}, "no time"),
    ({"nbf": NOW + 31}, "not good yet"),
    ({"iat": NOW + 31}, "not good yet"),
    ({"client_id": None}, "no client"),
    ({"azp": "triage-bot"}, "two of them"),
    ({"act": "triage-bot"}, "`act`"),
    ({"act": {}}, "`act`"),
    ({"act": {"sub": "triage-bot", "iss": "https://evil.example"}}, "`act`"),
    ({"cnf": {"x5t#S256": "abc"}}, "not understood"),
    ({"cnf": {"jkt": ""}}, "not understood"),
]
TAKEN: list[dict[str, Any]] = [
    {"aud": ["https://other.example/mcp", "https://remit.larkspur.example/mcp"]},
    {"exp": NOW - 29},
    {"nbf": NOW + 30, "iat": NOW + 30},
    {"azp": "desktop"},
]
HEADERS: list[dict[str, Any]] = [{"typ": "JWT"}, {"typ": None}, {"crit": ["exp"]}, {"kid": "other"}, {"kid": 7}]


@pytest.mark.parametrize(("identity", "changed", "who"), MEANT)
async def test_claims_mean_whom_the_file_says(identity: str, changed: dict[str, Any], who: str) -> None:
    found = (await verifier(Issuer(), Time(), identity).verify(token(**changed))).principal
    assert f"{found.tenant} {found.name}" == who


@pytest.mark.parametrize(("identity", "changed", "why"), NOBODY)
async def test_claims_that_the_file_does_not_speak_of_mean_nobody(
    identity: str, changed: dict[str, Any], why: str
) -> None:
    with pytest.raises(NobodyHere, match=why):
        await verifier(Issuer(), Time(), identity).verify(token(**changed))


@pytest.mark.parametrize(("changed", "why"), BAD)
async def test_a_signed_token_that_is_not_good_here_and_now_is_refused(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(BadToken, match=why):
        await verifier(Issuer(), Time()).verify(token(**changed))


@pytest.mark.parametrize("changed", TAKEN)
async def test_one_that_is_just_good_is_taken(changed: dict[str, Any]) -> None:
    assert (await verifier(Issuer(), Time()).verify(token(**changed))).principal.person == "ana"


@pytest.mark.parametrize("header", HEADERS)
async def test_a_token_of_another_kind_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(BadToken):
        await verifier(Issuer(), Time()).verify(token(header=header))


async def test_an_issuer_that_does_not_say_what_its_tokens_are_is_taken_where_the_file_says_so() -> None:
    anything = IDENTITY.replace("algorithms =", "any_type = true\nalgorithms =")
    await verifier(Issuer(), Time(), anything).verify(token(header={"typ": "JWT"}))


async def test_an_algorithm_that_the_file_does_not_list_is_refused_although_the_key_is_the_issuers() -> None:
    only = IDENTITY.replace('["RS256", "ES256", "Ed25519"]', '["RS256"]')
    await verifier(Issuer(), Time(), only).verify(token("RS256"))
    with pytest.raises(BadToken, match="algorithm"):
        await verifier(Issuer(), Time(), only).verify(token("ES256"))


@pytest.mark.parametrize(
    ("values", "roles"),
    [(["leads"], {"role:lead"}), (["cooks", "leads", 7], {"role:lead"}), ("leads", {"role:lead"}), (["lead"], set())],
)
async def test_roles_are_those_that_the_file_gives_for_a_value_and_no_others(values: Any, roles: set[str]) -> None:
    found = await verifier(Issuer(), Time(), IDENTITY + LEADS).verify(token(realm_access={"roles": values}))
    assert found.principal.roles == roles


async def test_a_person_behind_an_agent_keeps_its_roles_and_the_agent_gets_none() -> None:
    changed: dict[str, Any] = {"realm_access": {"roles": ["leads"]}, "act": ACT}
    who = (await verifier(Issuer(), Time(), IDENTITY + LEADS).verify(token(**changed))).principal
    assert [who.roles_of(party) for party in who.parties] == [{"role:lead"}, set()]


@pytest.mark.parametrize(
    ("changed", "scopes"),
    [({"scope": "read write"}, {"read", "write"}), ({"scp": ["read"]}, {"read"}), ({}, set()), ({"scope": ""}, set())],
)
async def test_scopes_are_read_as_issuers_write_them(changed: dict[str, Any], scopes: set[str]) -> None:
    assert (await verifier(Issuer(), Time(), IDENTITY + SCOPED).verify(token(**changed))).scopes == frozenset(scopes)
    assert (await verifier(Issuer(), Time()).verify(token(**changed))).scopes is None


async def test_a_token_that_was_good_is_refused_once_it_expires_although_it_is_remembered() -> None:
    time = Time()
    verifying, good = verifier(Issuer(), time), token(exp=NOW + 10)
    await verifying.verify(good)
    time.forward(39)
    await verifying.verify(good)
    time.forward(1)
    with pytest.raises(BadToken, match="expired"):
        await verifying.verify(good)
    assert FRESH_SECONDS > 40, "or it would be the key that is refused"
