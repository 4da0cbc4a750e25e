"""Token exchange: an agent shows its own token and a person's, and gets one to act for this person, and no more."""

from typing import Any

import httpx
import pytest

from gateway.journal import Kind
from gateway.oauth.exchange import ACCESS_TOKEN, GRANT_TYPE
from gateway.principal import Principal
from gateway.stopping.stop import What, named
from tests.oauth.conftest import SCOPES, OpenSite, Site
from tests.oauth.forging import claims_of
from tests.oauth.provider import Provider

pytestmark = pytest.mark.node

EXCHANGE = '\n[exchange]\nagents = { triage = ["person", "agent:assistant"] }\nseconds = 120\n'
ANA = "person:ana.ruiz@larkspur.example"


async def exchange(here: Site, subject: str, actor: str, /, **changed: str | None) -> httpx.Response:
    form: dict[str, str | None] = {"grant_type": GRANT_TYPE}
    form |= {"subject_token": subject, "subject_token_type": ACCESS_TOKEN}
    form |= {"actor_token": actor, "actor_token_type": ACCESS_TOKEN, **changed}
    return await here.http.post("/oauth/token", data={name: value for name, value in form.items() if value is not None})


async def test_an_agent_gets_a_token_to_act_for_a_person_and_both_must_be_allowed(
    site: OpenSite, issuer: Provider
) -> None:
    async with site(EXCHANGE) as here:
        ana, triage = issuer.of_person("ana", here.resource), issuer.of_client("triage-bot", here.resource)
        answer = await exchange(here, ana, triage)
        told: dict[str, Any] = answer.json()
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
        assert told.keys() == {"access_token", "issued_token_type", "token_type", "expires_in"}
        assert told["expires_in"] == 120
        recorded = here.entries()[-1]
        assert (recorded.kind, recorded.principal) == (Kind.EXCHANGED, f"{ANA} agent:triage")
        assert ana not in str(recorded)
        assert triage not in str(recorded)

        token = told["access_token"]
        assert await here.status(token) == "ok"
        call = here.entries()[-1]
        assert (call.principal, call.body["issuer"]) == (f"{ANA} agent:triage", "exchange")
        assert (call.body["token"], call.body["actors"]) == (recorded.body["token"], ["triage"])
        assert not (await here.status(ana, "crm_get_contact")).startswith("unknown tool"), "the person may"
        assert await here.status(token, "crm_get_contact") == "unknown tool: `crm_get_contact`", "the agent may not"
        here.clock.forward(seconds=120)
        assert await here.status(token) == "401 invalid_token"


async def test_the_chain_of_agents_grows_and_only_the_present_one_counts(site: OpenSite, issuer: Provider) -> None:
    async with site(EXCHANGE) as here:
        held = issuer.of_person("ana", here.resource, client="assistant-app")
        token = (await exchange(here, held, issuer.of_client("triage-bot", here.resource))).json()["access_token"]
        assert await here.status(token) == "ok"
        entry = here.entries()[-1]
        assert entry.principal == f"{ANA} agent:triage"
        assert entry.body["actors"] == ["triage", "assistant-app", "first-agent"]


async def test_what_comes_out_opens_no_more_and_lasts_no_longer_than_what_went_in(
    site: OpenSite, issuer: Provider
) -> None:
    async with site(f"{SCOPES}{EXCHANGE}") as here:
        ana = issuer.of_person("ana", here.resource, "remit.read")
        triage = issuer.of_client("triage-bot", here.resource, "remit.read remit.write")
        told = (await exchange(here, ana, triage)).json()
        assert told["scope"] == "remit.read"
        answer = await here.call(told["access_token"], "crm_create_contact")
        assert answer.json()["error"] == "insufficient_scope"
        wider = await exchange(here, ana, triage, scope="remit.read remit.write")
        assert (wider.status_code, wider.json()["error"]) == (400, "invalid_scope")

        here.clock.forward(seconds=250)
        late = claims_of((await exchange(here, ana, triage)).json()["access_token"])
        assert late["exp"] <= claims_of(ana)["exp"] + 30
        assert late["exp"] - late["iat"] < 120


async def test_without_exchange_in_the_file_there_is_none(site: OpenSite, issuer: Provider) -> None:
    async with site() as here:
        tokens = issuer.of_person("ana", here.resource), issuer.of_client("triage-bot", here.resource)
        assert (await exchange(here, *tokens)).status_code == 404


async def test_whatever_is_not_exactly_right_gets_no_token(site: OpenSite, issuer: Provider) -> None:
    async with site(EXCHANGE) as here:
        ana, triage = issuer.of_person("ana", here.resource), issuer.of_client("triage-bot", here.resource)
        for_another = issuer.of_person("ana", "https://other.example/mcp")
        assistant = here.static(Principal("larkspur", agent="assistant"))
        wrong: list[tuple[str, str, dict[str, str | None], str]] = [
            (for_another, triage, {}, "invalid_request"),
            (ana, issuer.of_client("triage-bot", "https://other.example/mcp"), {}, "invalid_request"),
            (ana[:-8], triage, {}, "invalid_request"),
            (triage, triage, {}, "invalid_request"),
            (ana, ana, {}, "invalid_request"),
            (triage, ana, {}, "invalid_request"),
            (ana, assistant, {}, "unauthorized_client"),
            (here.static(Principal("other", person="ana")), triage, {}, "invalid_request"),
            (here.static(Principal("larkspur", person="ana", agent="unheard-of")), triage, {}, "unauthorized_client"),
            (ana, triage, {"grant_type": "client_credentials"}, "unsupported_grant_type"),
            (ana, triage, {"subject_token": None}, "invalid_request"),
            (ana, triage, {"actor_token": None}, "invalid_request"),
            (ana, triage, {"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"}, "invalid_request"),
            (ana, triage, {"requested_token_type": "urn:ietf:params:oauth:token-type:id_token"}, "invalid_request"),
            (ana, triage, {"resource": "https://other.example/mcp"}, "invalid_target"),
            (ana, triage, {"audience": "crm"}, "invalid_target"),
            (ana, triage, {"subject": "maya"}, "invalid_request"),
        ]
        for subject, actor, changed, error in wrong:
            answer = await exchange(here, subject, actor, **changed)
            assert (answer.status_code, answer.json()["error"]) == (400, error), (changed, answer.text)
        twice = f"grant_type={GRANT_TYPE}&grant_type={GRANT_TYPE}"
        assert (await here.http.post("/oauth/token", content=twice)).json()["error"] == "invalid_request"
        assert (await here.http.post("/oauth/token", content=b"x" * 70_000)).status_code == 413
        assert not here.entries()
        assert (await exchange(here, ana, triage)).status_code == 200


async def test_an_exchanged_token_counts_only_while_the_file_says_so(
    site: OpenSite, issuer: Provider, policies: Any
) -> None:
    async with site(EXCHANGE) as here:
        tokens = issuer.of_person("ana", here.resource), issuer.of_client("triage-bot", here.resource)
        token = (await exchange(here, *tokens)).json()["access_token"]
        assert await here.status(token) == "ok"
        file = policies / "identity.toml"
        file.write_text(file.read_text().replace(EXCHANGE, ""))
        assert await here.gateway.policy.renew(tuple(here.gateway.catalog.tools.values()), lambda: None)
        assert await here.status(token) == "401 invalid_token"


async def test_what_was_exchanged_for_a_stopped_token_is_stopped_with_it(site: OpenSite, issuer: Provider) -> None:
    async with site(EXCHANGE) as here:
        stops, now = here.gateway.stops, here.clock()
        ana, triage = issuer.of_person("ana", here.resource), issuer.of_client("triage-bot", here.resource)
        before = (await exchange(here, ana, triage)).json()["access_token"]
        made = here.entries()[-1].body
        for name in (made["subject"], made["by"]):
            stop = await stops.book.stop(named(What.TOKEN, name, "larkspur"), "ines@larkspur.example", "lost", now)
            await stops.read()
            after = (await exchange(here, ana, triage)).json()["access_token"]
            assert [await here.status(token) for token in (before, after)] == ["denied", "denied"]
            await stops.book.resume(stop.id, "larkspur", "ines@larkspur.example", "found", now)
            await stops.read()
        assert await here.status(before) == "ok"
