"""Only a person with a console token comes in, and nobody comes in by another's form, page, host or session."""

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from gateway.console.sessions import AlreadyUsed, Sessions, SignedIn
from gateway.principal import Principal
from gateway.tokens import Audience
from tests.console.conftest import ANA, HOST, MAYA, NADIA, OTTO, OWN_PAGE, REFUND, TRIAGE, ZOE, OpenSite, Site
from tests.oauth.issuing import IDENTITY, policy_of

PAGES = ("/", "/approvals/apr_x", "/journal", "/calls/call_x", "/roles", "/roles/agent", "/charts", "/standing")
HEADERS = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def assert_guarded(answer: httpx.Response) -> None:
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize("path", PAGES)
async def test_whoever_is_not_signed_in_is_shown_the_sign_in_page(site: OpenSite, path: str) -> None:
    async with site() as opened, opened.browser() as http:
        answer = await http.get(f"/console{path}", follow_redirects=True)
        assert answer.status_code == 200
        assert "Console token" in answer.text


async def test_a_form_of_nobody_does_nothing(site: OpenSite) -> None:
    async with site() as opened, opened.browser() as http:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        before = opened.entries()
        answer = await http.post(f"/console/approvals/{question}/answer", data={"answer": "approve"})
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/console/sign-in")
        assert opened.entries() == before


@pytest.mark.parametrize("kind", ["unknown", "for calls", "expired", "revoked", "", "long"])
async def test_a_token_that_is_not_a_persons_console_token_in_force_is_refused(site: OpenSite, kind: str) -> None:
    async with site() as opened, opened.browser() as http:
        soon = opened.clock() + timedelta(hours=1)
        secret, token = opened.tokens.create(MAYA, opened.clock(), soon, Audience.CONSOLE)
        given = {"unknown": "remit_nothing", "for calls": opened.token(MAYA, Audience.MCP), "long": "x" * 5_000}
        if kind == "expired":
            opened.clock.ahead = timedelta(hours=2)
        if kind == "revoked":
            opened.tokens.revoke(token.id, opened.clock())
        answer = await http.post("/console/sign-in", data={"token": given.get(kind, secret if kind else "")})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert "This is not a console token in force" in answer.text


@pytest.mark.parametrize("who", [TRIAGE, Principal("larkspur", agent="triage")])
async def test_no_console_token_is_made_for_an_agent(site: OpenSite, who: Principal) -> None:
    async with site() as opened:
        with pytest.raises(ValueError, match="only a person"):
            opened.token(who)


async def test_a_console_token_opens_nothing_at_mcp(site: OpenSite) -> None:
    async with site() as opened, opened.browser() as http:
        headers = {"Authorization": f"Bearer {opened.token(MAYA)}", "Sec-Fetch-Site": "none"}
        answer = await http.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=headers)
        assert answer.status_code == 401


async def test_a_session_ends_by_time_by_signing_out_and_with_its_token(site_on_each: OpenSite) -> None:
    async with site_on_each(console_session=3_600) as opened:
        async with opened.signed_in(MAYA) as maya:
            opened.clock.ahead = timedelta(minutes=59)
            await maya.see("/")
            opened.clock.ahead = timedelta(minutes=61)
            await maya.see("/", 303)
        async with opened.signed_in(MAYA) as maya:
            cookie = maya.http.cookies["remit_console"]
            answer = await maya.send("/sign-out", "/")
            assert answer.headers["location"] == "/console/sign-in"
            maya.http.cookies.set("remit_console", cookie, domain="127.0.0.1", path="/console")
            await maya.see("/", 303)
        async with opened.signed_in(NADIA) as nadia:
            [token] = [each for each in opened.tokens.all() if each.principal == NADIA]
            opened.tokens.revoke(token.id, opened.clock())
            await nadia.see("/", 303)


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(site: OpenSite) -> None:
    async with site() as opened, opened.browser() as http:
        plain = (await http.post("/console/sign-in", data={"token": opened.token(MAYA)})).headers["set-cookie"]
    async with (
        site(console_url="https://remit.example") as opened,
        opened.browser(Host="remit.example") as http,
    ):
        behind = await http.post("/console/sign-in", data={"token": opened.token(MAYA)})
    for part in ("HttpOnly", "SameSite=strict", "Path=/console"):
        assert part in plain
        assert part in behind.headers["set-cookie"]
    assert "Secure" not in plain, "plain HTTP on the own machine"
    assert "Secure" in behind.headers["set-cookie"]


async def test_the_name_of_a_session_is_kept_nowhere(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        secret = maya.http.cookies["remit_console"]
        assert secret.encode() not in opened.database.path.read_bytes()
        assert secret not in await maya.see("/")


@pytest.mark.parametrize("token", ["", "0" * 64, "other"])
async def test_a_form_without_its_sessions_own_token_is_refused_and_nothing_is_recorded(
    site: OpenSite, token: str
) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya, opened.signed_in(NADIA) as nadia:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        others = (await nadia.see("/")).partition('name="form_token" value="')[2].partition('"')[0]
        before = opened.entries()
        for path in ("answer", "edit", "check", "ask-back", "pass-on"):
            data = {"form_token": others if token == "other" else token, "answer": "approve", "text": "?", "to": "x"}
            answer = await maya.http.post(f"/console/approvals/{question}/{path}", data=data)
            assert answer.status_code == 403
            assert_guarded(answer)
        assert opened.entries() == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://attacker.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "null"},
        {"Sec-Fetch-Site": "none", "Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://attacker.example"},
    ],
)
async def test_a_form_from_another_site_is_refused(site: OpenSite, headers: dict[str, str]) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        await maya.see(f"/approvals/{question}")
        before = opened.entries()
        maya.http.headers.update(headers)
        answer = await maya.send(f"/approvals/{question}/answer", answer="approve")
        assert answer.status_code == 403
        assert [entry for entry in opened.entries() if entry.kind == "answered"] == []
        assert before == opened.entries()[: len(before)]


async def test_a_form_that_does_not_say_where_it_comes_from_is_refused(site: OpenSite) -> None:
    async with site() as opened, opened.browser() as http:
        for headers, status in (({}, 403), ({"Origin": "null"}, 403), ({"Origin": f"http://{HOST}"}, 303)):
            for name in OWN_PAGE:
                http.headers.pop(name, None)
            answer = await http.post("/console/sign-in", data={"token": opened.token(MAYA)}, headers=headers)
            assert answer.status_code == status


async def test_another_host_name_is_served_nothing(site: OpenSite) -> None:
    async with site() as opened, opened.browser(Host="attacker.example") as http:
        for path in ("/console", "/console/", "/console/sign-in", "/console/static/console.css"):
            answer = await http.get(path)
            assert answer.status_code == 421
            assert_guarded(answer)


async def test_every_answer_carries_the_headers_errors_and_static_files_too(site: OpenSite) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        paths = ["", *PAGES, "/sign-in", "/nothing", f"/approvals/{question}", "/journal?since=x", "/charts?span=x"]
        paths += ["/static/console.css", "/static/htmx-4.0.1.min.js", "/static/../app.py", "/static/nothing.css"]
        for path in paths:
            assert_guarded(await maya.http.get(f"/console{path}"))
        assert_guarded(await maya.http.put("/console/"))
        assert_guarded(await maya.http.post("/console/sign-in", content=b"x" * 3, headers={"Content-Type": "text/x"}))


async def test_a_failure_shows_nothing_of_itself(site: OpenSite, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site() as opened, opened.signed_in(MAYA) as maya:
        monkeypatch.setattr(opened.gateway.approvals, "open", lambda *_: 1 / 0)
        answer = await maya.http.get("/console/")
        assert answer.status_code == 500
        assert "division" not in answer.text
        assert_guarded(answer)


async def test_signing_in_fails_ten_times_a_minute_from_one_address(site: OpenSite) -> None:
    async with site() as opened, opened.browser() as http:
        tried = [(await http.post("/console/sign-in", data={"token": "remit_no"})).status_code for _ in range(11)]
        assert tried == [403] * 10 + [429]
        opened.clock.ahead = timedelta(seconds=61)
        assert (await http.post("/console/sign-in", data={"token": "remit_no"})).status_code == 403


@pytest.mark.parametrize("after", ["https://attacker.example/", "//attacker.example", "/console//x", "/mcp", "\\x"])
async def test_signing_in_leads_into_the_console_only(site: OpenSite, after: str) -> None:
    async with site() as opened, opened.browser() as http:
        answer = await http.post("/console/sign-in", data={"token": opened.token(MAYA), "after": after})
        assert answer.headers["location"] == "/console/"
        wanted = {"token": opened.token(MAYA), "after": "/console/approvals/apr_abc"}
        answer = await http.post("/console/sign-in", data=wanted)
        assert answer.headers["location"] == "/console/approvals/apr_abc"


async def not_found(opened: Site, path: str) -> str:
    async with opened.signed_in(MAYA) as maya:
        return await maya.see(path, 404)


async def test_what_is_another_tenants_is_as_if_it_were_not_there(site: OpenSite) -> None:
    async with site() as opened:
        await opened.ask(ANA, "crm_issue_refund", **REFUND)
        theirs = await opened.ask(OTTO, "crm_issue_refund", **REFUND)
        [call] = {entry.call_id for entry in opened.entries() if entry.tenant == "other" and entry.kind == "pending"}
        unknown = await not_found(opened, "/approvals/apr_000000000000000000000000")
        for path in (f"/approvals/{theirs}", f"/calls/{theirs}", f"/calls/{call}", "/approvals/%00", "/calls/x"):
            assert await not_found(opened, path) == unknown
        async with opened.signed_in(MAYA) as maya:
            before = opened.entries()
            answer = await maya.send(f"/approvals/{theirs}/answer", "/", answer="approve")
            assert answer.status_code == 404
            assert answer.text == unknown
            assert opened.entries() == before
        async with opened.signed_in(ZOE) as zoe:
            assert theirs in await zoe.see("/")


async def test_the_console_can_be_left_out(site: OpenSite) -> None:
    async with site(console=False) as opened, opened.browser() as http:
        assert (await http.get("/console/sign-in")).status_code in {401, 404}


async def test_a_sign_in_with_an_issuer_begins_one_session_which_stands_on_the_file(site_on_each: OpenSite) -> None:
    text = f'{IDENTITY}\n[issuers.staff.console]\nclient_id = "console"\n'
    identity, other = policy_of(text).identity, policy_of(text.replace('"larkspur"', '"acme"')).identity
    assert identity
    who = Principal("larkspur", person="ana", roles=frozenset({"role:lead"}))
    by = SignedIn(who, "staff", identity.issuers["staff"], "state")
    async with site_on_each() as opened:
        now, sessions = opened.clock(), Sessions(opened.database, opened.tokens, timedelta(hours=1))
        secret, _ = sessions.start(by, now)
        with pytest.raises(AlreadyUsed):
            Sessions(opened.database, opened.tokens, timedelta(hours=1)).start(by, now)
        second, _ = sessions.start(replace(by, state="another"), now)
        found = sessions.find(secret, now, identity)
        assert found
        assert (found.principal, found.principal.roles) == (who, who.roles)
        for without, name in ((None, secret), (other, second)):
            assert sessions.find(name, now, without) is None
            assert sessions.find(name, now, identity) is None, "what has ended stays so"
