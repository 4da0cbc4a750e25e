"""People sign in to the console with the company's provider, there and back, and nobody does by another's answer."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from re import findall
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.call import call_tool
from gateway.gateway import ToolCall
from gateway.principal import Principal
from gateway.stopping.stop import Target, What
from gateway.tokens import Audience
from tests.oauth.conftest import RULES, OpenSite, Site
from tests.oauth.provider import Provider

pytestmark = pytest.mark.node

OWN_PAGE = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
CONSOLE = """
[issuers.staff.console]
client_id = "console"
secret = { env = "REMIT_CONSOLE_CLIENT" }
name = "Larkspur"
scopes = ["email", "groups"]
"""
PARTNERS = """
[issuers.partners]
issuer = "http://127.0.0.1:9"
tenant = "larkspur"
person = { prefix = "partner:" }
clients = { desktop = "person" }
console = { client_id = "console" }
"""
ANA, MAYA = "ana.ruiz@larkspur.example", "maya.okafor@larkspur.example"
APPROVERS = "approver, role:lead, crm_*, larkspur\nviewer, role:lead, journal, larkspur\n"
ASKED = "p, A3, role:support, crm_issue_refund, , ask, somebody looks at it\n"
REFUND = {"order_id": "ord_abcd2345", "amount": 20, "currency": "EUR", "reason": "late"}


@dataclass(frozen=True)
class Browser:
    """Somebody's browser."""

    http: httpx.AsyncClient
    issuer: Provider

    async def asked(self, path: str = "/console/") -> str:
        """Open a page without being signed in, and take the way to the provider: where the console sends people."""
        page = await self.http.get(path, follow_redirects=True)
        [link] = findall(r'href="([^"]+)">Sign in with Larkspur<', page.text)
        answer = await self.http.get(unescape(link))
        assert answer.status_code == 303
        return str(answer.headers["location"])

    async def comes_back(self, person: str = "ana", path: str = "/console/") -> str:
        """Sign in at the provider: the address that it sends the browser back to."""
        address = await self.asked(path)
        self.issuer.signs_in(person)
        return self.issuer.sign_in(address)

    async def signs_in(self, person: str = "ana", path: str = "/console/") -> httpx.Response:
        return await self.http.get(await self.comes_back(person, path))

    async def who(self) -> str | None:
        """Who is signed in."""
        answer = await self.http.get("/console/")
        found = findall(r"<span><bdi class=\"text\">([^<]+)</bdi>", answer.text)
        return found[0] if answer.status_code == 200 and found else None


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMIT_CONSOLE_CLIENT", "not-a-secret")


def browsing(here: Site, url: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(here.app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=url, headers=OWN_PAGE)


@asynccontextmanager
async def opened(site: OpenSite, issuer: Provider, more: str = CONSOLE) -> AsyncIterator[tuple[Site, Browser]]:
    async with site(more) as here, browsing(here, issuer.console) as http:
        yield here, Browser(http, issuer)


async def test_a_person_signs_in_with_the_provider_and_gets_to_the_page_that_they_wanted(
    site: OpenSite, issuer: Provider
) -> None:
    async with opened(site, issuer) as (_, ana):
        address = await ana.asked("/console/standing")
        asked = parse_qs(urlsplit(address).query)
        assert asked["redirect_uri"] == [f"{issuer.console}/console/sign-in/back/staff"]
        issuer.signs_in("ana")
        answer = await ana.http.get(issuer.sign_in(address))
        assert answer.status_code == 200, answer.text
        assert '<meta http-equiv="refresh" content="0; url=/console/standing">' in answer.text
        assert await ana.who() == ANA


async def test_what_a_browser_keeps_of_a_sign_in_is_short_lived_sealed_and_goes_nowhere_else(
    site: OpenSite, issuer: Provider
) -> None:
    async with opened(site, issuer) as (_, ana):
        page = (await ana.http.get("/console/sign-in")).text
        [link] = findall(r'href="([^"]+)">Sign in with Larkspur<', page)
        begun = await ana.http.get(unescape(link))
        cookie = begun.headers["set-cookie"]
        for part in ("HttpOnly", "Max-Age=600", "Path=/console/sign-in", "SameSite=lax"):
            assert part in cookie
        asked = parse_qs(urlsplit(begun.headers["location"]).query)
        assert asked["state"][0] not in cookie
        assert asked["nonce"][0] not in cookie
        issuer.signs_in("ana")
        back = await ana.http.get(issuer.sign_in(begun.headers["location"]))
        session, forgotten = back.headers.get_list("set-cookie")
        for part in ("remit_console=", "HttpOnly", "Path=/console;", "SameSite=strict"):
            assert part in session
        assert 'remit_sign_in=""' in forgotten
        assert "Max-Age=0" in forgotten


async def test_roles_that_claims_give_count_while_the_session_lasts(
    site: OpenSite, issuer: Provider, policies: Path
) -> None:
    (policies / "approvers.csv").write_text(APPROVERS)
    (policies / "rules.csv").write_text(RULES + ASKED)
    async with opened(site, issuer) as (here, maya), browsing(here, issuer.console) as http:
        ana, caller = Browser(http, issuer), Principal("larkspur", person=ANA)
        pending = await call_tool(here.gateway, ToolCall(caller, "crm_issue_refund", REFUND))
        assert pending.approval, pending
        await maya.signs_in("maya")
        await ana.signs_in("ana")
        assert [(await each.http.get("/console/journal")).status_code for each in (maya, ana)] == [200, 404]
        path = f"/console/approvals/{pending.approval.id}"
        shown = (await maya.http.get(path)).text
        hidden = dict(findall(r'type="hidden" name="(form_token|seen)" value="([^"]*)"', shown))
        passed_on = await maya.http.post(f"{path}/pass-on", data={**hidden, "to": ANA})
        assert "cannot be passed on" in passed_on.text
        await maya.http.post(f"{path}/answer", data={**hidden, "answer": "approve"})
        [answer] = [entry for entry in here.entries() if entry.kind == "answered"]
        assert (answer.body["approver"], answer.body["approved"]) == (MAYA, True)


def parameters(url: str, **changed: str | None) -> str:
    """An address with other parameters; None leaves one out."""
    parts = urlsplit(url)
    found = {name: values[0] for name, values in parse_qs(parts.query).items()} | changed
    return parts._replace(
        query="&".join(f"{k}={quote(v, safe='')}" for k, v in found.items() if v is not None)
    ).geturl()


FORGERIES: dict[str, Callable[[str], str]] = {
    "state missing": lambda back: parameters(back, state=None),
    "state empty": lambda back: parameters(back, state=""),
    "state forged": lambda back: parameters(back, state="A" * 43),
    "state no text": lambda back: f"{parameters(back, state=None)}&state=%ED%A0%80",
    "state twice": lambda back: f"{back}&state=x",
    "code twice": lambda back: f"{back}&code=x",
    "another issuer's path": lambda back: back.replace("/back/staff", "/back/partners"),
}


async def test_an_answer_to_what_was_not_asked_here_signs_nobody_in_and_the_right_one_still_does(
    site: OpenSite, issuer: Provider
) -> None:
    async with opened(site, issuer, CONSOLE + PARTNERS) as (_, ana):
        back = await ana.comes_back()
        for name, forgery in FORGERIES.items():
            answer = await ana.http.get(forgery(back))
            assert answer.status_code == 403, name
            assert "set-cookie" not in answer.headers, name
        assert await ana.who() is None
        assert (await ana.http.get(back)).status_code == 200
        assert await ana.who() == ANA


async def test_an_answer_that_names_another_issuer_is_taken_for_nobodys(site: OpenSite, issuer: Provider) -> None:
    async with opened(site, issuer, CONSOLE + PARTNERS) as (_, ana):
        back = await ana.comes_back()
        assert parse_qs(urlsplit(back).query)["iss"] == [issuer.url]
        cookie = ana.http.cookies["remit_sign_in"]
        for sender in (None, "http://127.0.0.1:9", ""):
            assert (await ana.http.get(parameters(back, iss=sender))).status_code == 403
            assert await ana.who() is None
            ana.http.cookies.set("remit_sign_in", cookie, domain="127.0.0.1", path="/console/sign-in")
        # The code was sent nowhere: it is still good.
        assert (await ana.http.get(back)).status_code == 200
        assert await ana.who() == ANA


async def test_an_answer_signs_in_once(site: OpenSite, issuer: Provider) -> None:
    async with opened(site, issuer) as (here, ana):
        back = await ana.comes_back()
        cookie = ana.http.cookies["remit_sign_in"]
        assert (await ana.http.get(back)).status_code == 200
        ana.http.cookies.clear()
        assert (await ana.http.get(back)).status_code == 403, "without the cookie"
        ana.http.cookies.set("remit_sign_in", cookie, domain="127.0.0.1", path="/console/sign-in")
        assert (await ana.http.get(back)).status_code == 403, "with it"
        assert await ana.who() is None
        with here.database.looking(EVERY_TENANT) as connection:
            assert connection.execute(text("SELECT count(*) FROM console_sessions")).scalar() == 1


async def test_a_code_of_another_sign_in_is_of_no_use(site: OpenSite, issuer: Provider) -> None:
    async with opened(site, issuer) as (here, victim), browsing(here, issuer.console) as http:
        attacker = Browser(http, issuer)
        theirs = parse_qs(urlsplit(await attacker.comes_back("maya")).query)["code"][0]
        back = await victim.comes_back("ana")
        assert (await victim.http.get(parameters(back, code=theirs))).status_code == 403
        assert await victim.who() is None
        assert (await victim.signs_in("ana")).status_code == 200


async def test_nobody_is_signed_in_as_somebody_else_by_a_link(site: OpenSite, issuer: Provider) -> None:
    async with opened(site, issuer) as (here, attacker), browsing(here, issuer.console) as http:
        victim = Browser(http, issuer)
        link = await attacker.comes_back("maya")
        assert (await victim.http.get(link)).status_code == 403
        back = await victim.comes_back("ana")
        assert (await victim.http.get(link)).status_code == 403, "while they sign in themselves"
        assert await victim.who() is None
        await victim.http.get(back)
        assert await victim.who() == ANA
        await attacker.http.get(link)
        assert await attacker.who() == MAYA, "it is good where it was asked for"


async def test_a_sign_in_that_takes_too_long_or_was_changed_is_none(site: OpenSite, issuer: Provider) -> None:
    async with opened(site, issuer) as (here, ana):
        back = await ana.comes_back()
        sealed = ana.http.cookies["remit_sign_in"].strip('"')
        ana.http.cookies.clear()
        for changed in (sealed[:-6] + "AAAA==", sealed[1:], "é", ""):
            cookie = f"remit_sign_in={changed}".encode()
            answer = await ana.http.get(back, headers=[(b"cookie", cookie)])
            assert answer.status_code == 403
        ana.http.cookies.set("remit_sign_in", sealed, domain="127.0.0.1", path="/console/sign-in")
        here.clock.forward(seconds=601)
        assert (await ana.http.get(back)).status_code == 403
        here.clock.forward(seconds=-2)
        assert (await ana.http.get(back)).status_code == 200


async def test_signing_in_leads_into_the_console_only(site: OpenSite, issuer: Provider) -> None:
    issuer.signs_in("ana")
    wanted = ("https://evil.example/", "//evil.example", "/console//evil", "/mcp", "/console/x" * 60, "/console/roles")
    async with opened(site, issuer) as (_, ana):
        led = []
        for after in wanted:
            begun = await ana.http.get(f"/console/sign-in/with/staff?after={quote(after, safe='')}")
            answer = await ana.http.get(issuer.sign_in(begun.headers["location"]))
            led += findall(r'http-equiv="refresh" content="0; url=([^"]*)"', answer.text)
    assert led == ["/console/"] * 5 + ["/console/roles"]


async def test_whoever_has_no_verified_address_of_the_company_is_nobody(site: OpenSite, issuer: Provider) -> None:
    async with opened(site, issuer) as (_, somebody):
        for person in ("mallory", "eve"):
            answer = await somebody.signs_in(person)
            assert answer.status_code == 403
            assert "nobody who is known here" in answer.text
            assert await somebody.who() is None
        assert (await somebody.signs_in("ana")).status_code == 200


CHANGES = [
    ("desktop = ", "another = ", True),
    ('"Larkspur"', '"The company"', True),
    ('domains = ["larkspur.example"]', 'domains = ["larkspur.example", "lark.example"]', False),
    ('tenant = "larkspur"', 'tenant = "acme"', False),
    ('leads = "role:lead"', 'support = "role:lead"', False),
    ("issuers.staff", "issuers.others", False),
    (CONSOLE, "", False),
]


async def test_a_session_ends_when_the_file_may_mean_somebody_else_by_it(
    site: OpenSite, issuer: Provider, policies: Path
) -> None:
    async with opened(site, issuer) as (here, ana):
        file = policies / "identity.toml"
        old = file.read_text()
        for before, after, stays in CHANGES:
            assert before in old
            ana.http.cookies.clear()
            await ana.signs_in()
            for says in (old.replace(before, after), old):
                file.write_text(says)
                assert await here.gateway.policy.renew(tuple(here.gateway.catalog.tools.values()), lambda: None)
                assert (await ana.who() == ANA) is stays, f"{before}: and does not come back"


async def test_a_session_ends_by_time_and_by_signing_out(site: OpenSite, issuer: Provider) -> None:
    async with opened(site, issuer) as (here, ana):
        await ana.signs_in()
        here.clock.forward(seconds=28_799)
        assert await ana.who() == ANA
        here.clock.forward(seconds=2)
        assert await ana.who() is None
        await ana.signs_in()
        form = dict(findall(r'name="(form_token)" value="([^"]*)"', (await ana.http.get("/console/")).text))
        cookie = ana.http.cookies["remit_console"]
        await ana.http.post("/console/sign-out", data=form)
        ana.http.cookies.set("remit_console", cookie, domain="127.0.0.1", path="/console")
        assert await ana.who() is None


async def test_whoever_is_stopped_is_signed_out_and_cannot_sign_in_until_resumed(
    site: OpenSite, issuer: Provider
) -> None:
    async with opened(site, issuer) as (here, ana):
        await ana.signs_in()
        book, now = here.gateway.stops.book, here.clock()
        await book.stop(Target(What.TENANT, "", "larkspur"), "maya", "looked into in the console", now)
        await here.gateway.stops.read()
        assert await ana.who() == ANA
        stop = await book.stop(Target(What.PERSON, ANA.upper(), "larkspur"), "maya", "machine lost", now)
        await here.gateway.stops.read()
        assert await ana.who() is None
        assert (await ana.signs_in()).status_code == 403
        own = here.tokens.create(
            Principal("larkspur", person=ANA), now, now.replace(year=now.year + 1), Audience.CONSOLE
        )[0]
        assert (await ana.http.post("/console/sign-in", data={"token": own})).status_code == 403
        await book.resume(stop.id, "larkspur", "maya", "found", here.clock())
        await here.gateway.stops.read()
        assert await ana.who() is None, "what has ended stays so"
        assert (await ana.signs_in()).status_code == 200


async def test_no_session_stands_on_nothing(site: OpenSite, issuer: Provider) -> None:
    async with opened(site, issuer) as (here, ana):
        await ana.signs_in()
        for ground in ("issuer = NULL", "token_id = 'tok_none'"):
            with pytest.raises(IntegrityError), here.database.changing(EVERY_TENANT) as connection:
                connection.execute(text(f"UPDATE console_sessions SET {ground}"))  # noqa: S608 - the lines above
        assert await ana.who() == ANA
        with here.database.changing(EVERY_TENANT) as connection:
            connection.execute(text("UPDATE console_sessions SET issuer = NULL, token_id = 'tok_none'"))
        assert await ana.who() is None


async def test_while_the_provider_cannot_be_asked_the_page_says_so_and_a_token_still_opens_it(
    site: OpenSite, issuer: Provider
) -> None:
    async with opened(site, issuer, CONSOLE + PARTNERS) as (here, ana):
        answer = await ana.http.get("/console/sign-in/with/partners")
        assert answer.status_code == 503
        assert "cannot be asked at the moment" in answer.text
        assert (await ana.http.get("/console/sign-in/with/nobody")).status_code == 404
        soon = here.clock().replace(year=here.clock().year + 1)
        own = here.tokens.create(Principal("larkspur", person=ANA), here.clock(), soon, Audience.CONSOLE)[0]
        await ana.http.post("/console/sign-in", data={"token": own})
        assert await ana.who() == ANA


async def test_without_a_client_of_the_console_nobody_is_offered_the_way(site: OpenSite, issuer: Provider) -> None:
    async with opened(site, issuer, "") as (_, ana):
        assert "Sign in with" not in (await ana.http.get("/console/sign-in")).text
        assert (await ana.http.get("/console/sign-in/with/staff")).status_code == 404


async def test_answers_that_are_made_up_are_limited_for_each_address(site: OpenSite, issuer: Provider) -> None:
    async with opened(site, issuer) as (_, ana):
        tried = [(await ana.http.get("/console/sign-in/back/staff?state=x&code=y")).status_code for _ in range(11)]
        assert tried == [403] * 10 + [429]
        assert (await ana.signs_in()).status_code == 200, "and lock nobody out"
