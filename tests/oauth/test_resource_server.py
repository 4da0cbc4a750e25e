"""Tokens of a certified provider at the gateway: which are taken, what they mean, and what the others are told."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, RSAKey

from gateway.journal import Kind
from gateway.oauth.keys import RETRY_SECONDS
from gateway.oauth.verifying import REMEMBERED_SECONDS
from gateway.principal import Principal
from gateway.stopping.stop import Target, What
from tests.oauth.conftest import SCOPES, URL, OpenSite, Site
from tests.oauth.forging import claims_of, hs256, proof, signed, unsigned
from tests.oauth.provider import SECRET, Provider

pytestmark = pytest.mark.node

ANA = "person:ana.ruiz@larkspur.example"
OPAQUE = """
[issuers.staff.introspection]
client_id = "gateway"
secret = { env = "TEST_INTROSPECTION_SECRET" }
of = "opaque"
"""
CONTACT = {"name": "Kim", "email": "kim@customer.example"}


@pytest.fixture(autouse=True)
def introspection_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_INTROSPECTION_SECRET", SECRET)


async def test_a_persons_token_calls_as_that_person_and_an_agents_as_that_agent(
    site: OpenSite, issuer: Provider
) -> None:
    async with site() as here:
        assert await here.status(issuer.of_person("ana", here.resource)) == "ok"
        assert await here.status(issuer.of_client("triage-bot", here.resource)) == "ok"
        person, _, agent, _ = here.entries()
        assert (person.principal, agent.principal) == (ANA, "agent:triage")
        assert {person.body["issuer"], agent.body["issuer"]} == {"staff"}
        assert person.body["token"].startswith("at_")
        assert person.body["token"] != agent.body["token"]


async def test_a_role_that_a_claim_gives_lets_its_person_do_what_the_role_may_and_nobody_else(
    site: OpenSite, issuer: Provider
) -> None:
    async with site() as here:
        maya, ana = issuer.of_person("maya", here.resource), issuer.of_person("ana", here.resource)
        assert await here.status(maya, "ticket_search_tickets") == "ok"
        assert await here.status(maya, "crm_search_accounts") == "ok", "what the role includes"
        assert await here.status(ana, "ticket_search_tickets") == "unknown tool: `ticket_search_tickets`"
        assert here.entries()[0].body["claimed"] == ["role:lead"]


async def test_an_agent_for_a_person_is_the_tokens_present_actor_and_the_chain_is_recorded(
    site: OpenSite, issuer: Provider
) -> None:
    async with site() as here:
        token = issuer.of_person("ana", here.resource, client="assistant-app")
        assert await here.status(token) == "ok"
        entry = here.entries()[0]
        assert entry.principal == f"{ANA} agent:assistant"
        assert entry.body["actors"] == ["assistant-app", "first-agent"]


async def test_a_client_without_a_token_learns_where_to_get_one(site: OpenSite, issuer: Provider) -> None:
    async with site(SCOPES) as here:
        challenge = (await here.call(None)).headers["WWW-Authenticate"]
        place = f"{here.url}/.well-known/oauth-protected-resource"
        assert challenge == f'Bearer scope="remit.read", resource_metadata="{place}/mcp"'
        for url in (f"{place}/mcp", place):
            told = (await here.http.get(url)).json()
            assert (told["resource"], told["authorization_servers"]) == (here.resource, [issuer.url])
            assert told["scopes_supported"] == ["remit.read", "remit.write", "remit.send"]
        assert (await here.http.get(f"{place}/other")).status_code == 404


async def test_a_token_for_somebody_else_is_refused(site: OpenSite, issuer: Provider) -> None:
    async with site() as here:
        for other in ("https://other.example/mcp", here.url, f"{here.resource}/more"):
            answer = await here.call(issuer.of_person("ana", other))
            assert answer.status_code == 401
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert await here.status(issuer.of_person("ana", here.resource)) == "ok"


async def test_a_token_is_refused_once_it_has_expired(site: OpenSite, issuer: Provider) -> None:
    async with site() as here:
        token = issuer.of_person("ana", here.resource)
        here.clock.forward(seconds=300 + 20)
        assert await here.status(token) == "ok", "within the leeway"
        here.clock.forward(seconds=11)
        assert await here.status(token) == "401 invalid_token"


def forgeries(good: str, issuer: Provider) -> dict[str, str]:
    """What attackers make of a good token without the issuer's private key."""
    [jwk], claims, mine = issuer.keys(), claims_of(good), RSAKey.generate_key(2048)
    public, kid = RSAKey.import_key(jwk).as_pem(private=False), jwk["kid"]
    return {
        "HS256 by the public key": hs256(claims, public, kid),
        "HS256 by the public key without its last line break": hs256(claims, public.strip(), kid),
        "HS256 by the modulus": hs256(claims, jwk["n"].encode(), kid),
        "another key of the same name": signed(claims, mine, kid=kid),
        "another key without a name": signed(claims, mine),
        "a key in the header": signed(claims, mine, kid=kid, jwk=mine.as_dict(private=False)),
        "a key at an address": signed(claims, mine, kid="mine", jku=f"{issuer.url}/jwks"),
        "a key by certificate": signed(claims, mine, kid=kid, x5c=["MIIB"]),
        "another issuer": signed({**claims, "iss": "https://evil.example"}, mine),
        "the issuer with a slash": signed({**claims, "iss": f"{issuer.url}/"}, mine),
        "no issuer": signed({**claims, "iss": None}, mine),
        "this gateway as the issuer": signed({**claims, "iss": claims["aud"]}, mine),
        "an id token": signed(claims, mine, typ="JWT"),
        "not signed": unsigned(claims),
        "not signed, None": unsigned(claims, "None"),
        "not signed, RS256": unsigned(claims, "RS256"),
        "the signature cut off": good.rpartition(".")[0] + ".",
        "a part too many": f"{good}.{good}",
        "nothing": "",
        "too long": "x" * 20_000,
        "the beginning of a static token": f"remit_{good}",
    }


async def test_a_forged_token_is_refused_and_the_one_that_it_was_made_of_is_not(
    site: OpenSite, issuer: Provider
) -> None:
    async with site() as here:
        good = issuer.of_person("ana", here.resource)
        taken = [how for how, forged in forgeries(good, issuer).items() if (await here.call(forged)).status_code != 401]
        assert not taken
        assert not here.entries()
        assert await here.status(good) == "ok"


@pytest.mark.parametrize("changed", [(), (("algorithms", "any_type = true\nalgorithms"),)])
async def test_an_id_token_of_the_issuer_is_no_access_token(
    site: OpenSite, issuer: Provider, changed: tuple[tuple[str, str], ...]
) -> None:
    async with site(changed=changed) as here:
        got = issuer.signed_in("ana", here.resource)
        assert await here.status(got["id_token"]) == "401 invalid_token"
        assert await here.status(got["access_token"]) == "ok"


async def test_a_new_key_counts_at_once_and_a_withdrawn_one_after_minutes_no_more(
    site: OpenSite, issuer: Provider
) -> None:
    async with site() as here:
        before, early = (issuer.of_person("ana", here.resource) for _ in range(2))
        assert await here.status(before) == "ok"
        issuer.rotate()
        here.clock.forward(seconds=RETRY_SECONDS)
        assert await here.status(issuer.of_person("ana", here.resource)) == "ok"
        assert await here.status(early) == "401 invalid_token", "its key is withdrawn"
        here.clock.forward(seconds=REMEMBERED_SECONDS)
        assert await here.status(before) == "401 invalid_token"


async def test_an_opaque_token_is_asked_about_and_refused_soon_after_it_is_revoked(
    site: OpenSite, issuer: Provider
) -> None:
    async with site(OPAQUE) as here:
        token = issuer.of_person("ana", f"{here.url}/opaque")
        assert "." not in token
        assert await here.status(token) == "ok"
        assert here.entries()[0].principal == ANA
        issuer.revoke(token)
        here.clock.forward(seconds=30)
        assert await here.status(token) == "401 invalid_token"
        assert await here.status("never-was") == "401 invalid_token"


async def test_an_opaque_token_for_somebody_else_is_refused(site: OpenSite, issuer: Provider) -> None:
    async with site(OPAQUE) as here:
        assert await here.status(issuer.of_person("ana", "https://other.example/opaque")) == "401 invalid_token"


async def test_whoever_the_file_does_not_know_is_nobody(site: OpenSite, issuer: Provider) -> None:
    async with site() as here:
        for person, client in (("ana", "unlisted"), ("mallory", "desktop"), ("eve", "desktop")):
            answer = await here.call(issuer.of_person(person, here.resource, client=client))
            assert answer.status_code == 403, (person, client)
            assert "WWW-Authenticate" not in answer.headers or "scope" not in answer.headers["WWW-Authenticate"]
        assert await here.status(issuer.of_client("stranger-bot", here.resource)) == "403 access_denied"
        assert not here.entries()
        assert await here.status(issuer.of_person("ana", here.resource)) == "ok"


async def test_a_token_without_the_scope_for_a_tool_is_told_which_and_the_call_is_recorded(
    site: OpenSite, issuer: Provider
) -> None:
    async with site(SCOPES) as here:
        reading = issuer.of_person("ana", here.resource, "remit.read")
        assert await here.status(reading) == "ok"
        answer = await here.call(reading, "crm_create_contact", arguments=CONTACT)
        assert answer.status_code == 403
        challenge = answer.headers["WWW-Authenticate"]
        assert 'error="insufficient_scope"' in challenge
        assert 'scope="remit.read remit.write"' in challenge
        assert "resource_metadata=" in challenge
        assert (here.entries()[-1].kind, here.entries()[-1].body["rules"]) == ("denied", ["scope"])
        writing = issuer.of_person("ana", here.resource, "remit.read remit.write")
        assert await here.status(writing, "crm_create_contact", arguments=CONTACT) == "ok"
        assert await here.status(issuer.of_person("ana", here.resource)) == "403 insufficient_scope"


async def test_no_scope_opens_what_policy_does_not_allow(site: OpenSite, issuer: Provider) -> None:
    async with site(SCOPES) as here:
        writing = issuer.of_person("ana", here.resource, "remit.read remit.write")
        told = await here.status(writing, "ticket_search_tickets")
        assert told == "unknown tool: `ticket_search_tickets`"
        reading = issuer.of_person("ana", here.resource, "remit.read")
        assert await here.status(reading, "ticket_update_ticket") == "unknown tool: `ticket_update_ticket`", (
            "a hidden tool is not given away by the scope that it would need"
        )


async def test_a_tool_that_no_scope_opens_is_denied_without_sending_anybody_for_one(
    site: OpenSite, issuer: Provider
) -> None:
    async with site('\n[scopes]\n"remit.read" = ["read"]\n') as here:
        reading = issuer.of_person("ana", here.resource, "remit.read")
        assert await here.status(reading, "crm_create_contact", arguments=CONTACT) == "denied"
        assert here.entries()[-1].body["rules"] == ["scope"]


async def test_a_request_that_hides_the_tool_it_calls_is_held_to_its_scopes_all_the_same(
    site: OpenSite, issuer: Provider
) -> None:
    async with site(SCOPES) as here:
        token = issuer.of_person("ana", here.resource, "remit.read")
        body = (
            '{"jsonrpc":"2.0","id":1,"method":"initialize","method":"tools/call",'
            '"params":{"name":"crm_search_accounts","name":"crm_create_contact","arguments":'
            '{"name":"Kim","email":"kim@customer.example"}}}'
        )
        headers = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {token}"}
        headers |= {"MCP-Protocol-Version": "2025-11-25", "Content-Type": "application/json"}
        answer = await here.http.post(here.resource, content=body, headers=headers)
        assert answer.status_code in {400, 403}
        assert not [entry for entry in here.entries() if entry.kind == "intent"]


async def test_a_bound_token_needs_a_fresh_proof_of_its_key_each_time(site: OpenSite, issuer: Provider) -> None:
    key, other = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    async with site() as here:
        at = time.time()
        token = issuer.of_client("triage-bot", here.resource, DPoP=proof(key, f"{issuer.url}/token", at))
        good = proof(key, here.resource, at, token)
        assert await here.status(token, scheme="DPoP", proof=good) == "ok"
        assert await here.status(token, scheme="DPoP", proof=good) == "401 invalid_dpop_proof", "used"
        assert await here.status(token, scheme="DPoP") == "401 invalid_dpop_proof", "missing"
        assert await here.status(token) == "401 invalid_dpop_proof", "shown as a bearer token"
        assert await here.status(token, proof=proof(key, here.resource, at, token)) == "401 invalid_dpop_proof"
        wrong: list[dict[str, Any]] = [
            {"key": other},
            {"url": f"{here.url}/other"},
            {"token": "another"},
            {"method": "GET"},
            {"now": at - 61},
            {"now": at + 120},
            {"typ": "JWT"},
            {"claims": {"jti": ""}},
            {"claims": {"iat": None}},
            {"claims": {"iat": float("nan")}},
            {"jwk": key.as_dict(private=True)},
            {"jwk": {"kty": "oct", "k": "AAAA"}},
        ]
        for changed in wrong:
            given = {"key": key, "url": here.resource, "now": at, "token": token, **changed}
            bad = proof(given.pop("key"), given.pop("url"), given.pop("now"), **given)
            assert await here.status(token, scheme="DPoP", proof=bad) == "401 invalid_dpop_proof", changed
        assert await here.status(token, scheme="DPoP", proof=proof(key, here.resource, at, token)) == "ok"


async def test_a_bearer_token_is_no_bound_one_and_where_the_file_says_so_it_is_refused(
    site: OpenSite, issuer: Provider
) -> None:
    async with site() as here:
        token = issuer.of_client("triage-bot", here.resource)
        assert await here.status(token, scheme="DPoP") == "401 invalid_token"
    async with site(changed=(('algorithms = ["RS256"]', 'algorithms = ["RS256"]\ndpop = true'),)) as here:
        token = issuer.of_client("triage-bot", here.resource)
        answer = await here.call(token)
        assert answer.status_code == 401
        assert any(each.startswith('DPoP algs="ES256') for each in answer.headers.get_list("WWW-Authenticate"))


async def test_changes_of_approvals_are_guarded_like_calls(site: OpenSite, issuer: Provider) -> None:
    async def status(here: Site, scheme: str, token: str, *proofs: str) -> int:
        headers = [("Authorization", f"{scheme} {token}"), *(("DPoP", each) for each in proofs)]
        return (await here.http.get(place, headers=headers)).status_code

    place, key, at = f"{URL}/approvals/changes", ECKey.generate_key("P-256"), time.time()
    async with site(SCOPES) as here:
        assert await status(here, "Bearer", issuer.of_person("ana", here.resource, "remit.read")) == 200
        assert await status(here, "Bearer", issuer.of_person("ana", f"{URL}/other", "remit.read")) == 401
        assert await status(here, "Bearer", issuer.of_person("ana", here.resource)) == 403, "none of the scopes"
        challenge = (await here.http.get(place)).headers["WWW-Authenticate"]
        assert challenge.endswith(f'resource_metadata="{URL}/.well-known/oauth-protected-resource/mcp"')
    async with site() as here:
        bound = issuer.of_client("triage-bot", here.resource, DPoP=proof(key, f"{issuer.url}/token", at))
        good = proof(key, place, at, bound, "GET")
        assert await status(here, "DPoP", bound, good) == 200
        assert await status(here, "DPoP", bound, good) == 401, "used"
        assert await status(here, "DPoP", bound, proof(key, here.resource, at, bound, "GET")) == 401, "of another place"
        assert await here.status(bound, scheme="DPoP", proof=proof(key, place, at, bound)) == "401 invalid_dpop_proof"


async def test_tokens_of_remit_token_create_go_on_working_beside(site: OpenSite) -> None:
    async with site(SCOPES) as here:
        token = here.static(Principal("larkspur", person="ana.ruiz@larkspur.example"))
        assert await here.status(token, "crm_create_contact", arguments=CONTACT) == "ok"
        assert here.entries()[0].body["token"].startswith("tok_")


async def test_one_token_can_be_stopped_by_its_name_in_the_journal(site: OpenSite, issuer: Provider) -> None:
    async with site() as here:
        stolen, other = (issuer.of_person("ana", here.resource) for _ in range(2))
        assert await here.status(stolen) == "ok"
        name = here.entries()[0].body["token"]
        book, now = here.gateway.stops.book, here.clock()
        await book.stop(Target(What.TOKEN, name, "larkspur"), "maya", "stolen", now, None)
        await here.gateway.stops.read()
        assert await here.status(stolen) == "denied"
        assert await here.status(other) == "ok"


async def test_a_changed_file_counts_for_tokens_that_were_good_a_moment_ago(
    site: OpenSite, issuer: Provider, policies: Any
) -> None:
    async with site() as here:
        token = issuer.of_person("ana", here.resource)
        assert await here.status(token) == "ok"
        file = policies / "identity.toml"
        file.write_text(file.read_text().replace('desktop = "person"', ""))
        assert await here.gateway.policy.renew(tuple(here.gateway.catalog.tools.values()), lambda: None)
        assert await here.status(token) == "403 access_denied"


async def test_while_the_issuer_cannot_be_asked_nothing_is_known_of_a_token(site: OpenSite, issuer: Provider) -> None:
    async with site(changed=(("algorithms", 'jwks = "http://127.0.0.1:9/jwks"\nalgorithms'),)) as here:
        answer = await here.call(issuer.of_person("ana", here.resource))
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


async def test_calls_that_scopes_refuse_are_counted_among_their_callers_requests(
    site: OpenSite, issuer: Provider, policies: Path
) -> None:
    (policies / "limits.csv").write_text('limit, N1, role:everyone, *, requests, 2, 1h, agent, ""\n')
    async with site(SCOPES) as here:
        token = issuer.of_client("triage-bot", here.resource, "remit.read")
        found = [await here.status(token, "crm_create_contact") for _ in range(3)]
        assert found == ["403 insufficient_scope", "403 insufficient_scope", "429 too_many_requests"]
        assert len(here.entries()) == 2


async def test_in_a_session_each_call_counts_for_the_token_that_it_came_with(site: OpenSite, issuer: Provider) -> None:
    async with site() as here:
        one, other = (issuer.of_client("triage-bot", here.resource) for _ in range(2))

        async def sent(token: str, session: str, method: str, **params: Any) -> httpx.Response:
            headers = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {token}"}
            headers |= {"MCP-Protocol-Version": "2025-11-25", **({"MCP-Session-Id": session} if session else {})}
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            return await here.http.post("/mcp", json=body, headers=headers)

        opening = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        session = (await sent(one, "", "initialize", **opening)).headers["mcp-session-id"]
        called = {"name": "crm_search_accounts", "arguments": {}}
        assert [(await sent(each, session, "tools/call", **called)).status_code for each in (one, other)] == [200, 200]
        names = [entry.body["token"] for entry in here.entries() if entry.kind is Kind.INTENT]
        assert len(set(names)) == 2
        stops = here.gateway.stops
        await stops.book.stop(Target(What.TOKEN, names[0], "larkspur"), "ines@larkspur.example", "lost", here.clock())
        await stops.read()
        told = [(await sent(each, session, "tools/call", **called)).text for each in (one, other)]
        assert [f"token {names[0]} is stopped" in each for each in told] == [True, False]
