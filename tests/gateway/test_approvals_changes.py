"""`GET /approvals/changes`: a caller hears of what became of its own questions, and of nobody else's."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.answer import Answer
from gateway.approvals import changes as of_approvals
from gateway.approvals.changes import Changes
from gateway.call import call_tool
from gateway.database import Database
from gateway.gateway import Gateway, ToolCall
from gateway.http import build_http_app
from gateway.identity import StaticTokenVerifier
from gateway.policy.load import load_policy
from gateway.principal import Principal
from gateway.server import build_server
from gateway.settings import Settings
from gateway.tokens import Audience, Tokens
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_approvals import ANA, APPROVERS, MAYA, NADIA, REFUND, ROLES, RULES

TRIAGE = Principal("larkspur", agent="triage")
TRIAGE_FOR_ANA = Principal("larkspur", person=ANA.person, agent="triage")
ANA_ELSEWHERE = Principal("other", person=ANA.person)
BOSS = Principal("other", person="zoe@other.example")
PATH = "/approvals/changes"
ALSO = "p, X, role:agent, ticket_*, , allow, and tickets\n"


@dataclass(frozen=True)
class Site:
    gateway: Gateway
    http: httpx.AsyncClient
    tokens: Tokens

    def token(self, who: Principal, audience: Audience = Audience.MCP, **lasting: float) -> str:
        now = self.gateway.now()
        return self.tokens.create(who, now, now + timedelta(**(lasting or {"days": 1})), audience)[0]

    async def get(self, who: Principal, **params: str) -> httpx.Response:
        return await self.http.get(PATH, params=params, headers={"Authorization": f"Bearer {self.token(who)}"})

    async def told(self, who: Principal = ANA, **params: str) -> tuple[list[dict[str, str]], str]:
        answer = await self.get(who, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()["changes"], answer.json()["next"]

    async def ask(self, who: Principal = ANA, amount: int = 80) -> str:
        answer: Answer[Any] = await call_tool(
            self.gateway, ToolCall(who, "crm_issue_refund", {**REFUND, "amount": amount})
        )
        assert answer.approval is not None
        return answer.approval.id

    async def say(self, question: str, approve: bool, who: Principal = MAYA) -> None:
        policy = self.gateway.policy.current
        await self.gateway.approvals.answer(question, who, policy, approve, "", self.gateway.now())


OpenSite = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
def policies(policies: Path) -> Path:
    both = ROLES + "g, person:ana@larkspur.example, role:agent, other\n"
    for name, said in {"roles": both, "rules": RULES, "approvers": APPROVERS}.items():
        (policies / f"{name}.csv").write_text(said)
    return policies


@pytest.fixture
def site(opened: OpenGateway, database: Database, home: Path, policies: Path) -> OpenSite:
    @asynccontextmanager
    async def open_(*, named: Principal | None = None) -> AsyncIterator[Site]:
        async with opened() as gateway:
            tokens, settings = Tokens(database), Settings(home=home, policies=policies)
            verifier = None if named else StaticTokenVerifier(tokens, gateway.now)
            app = build_http_app(
                gateway, build_server(gateway, named), settings, "gateway", 80, verifier, database, None, named
            )
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway:80") as http:
                http.headers["Host"] = "gateway:80"
                yield Site(gateway, http, tokens)

    return open_


async def test_a_caller_hears_once_how_each_of_its_questions_was_answered(site: OpenSite) -> None:
    async with site() as here:
        yes, no, back, still = [await here.ask(amount=amount) for amount in (1, 2, 3, 4)]
        none, cursor = await here.told()
        assert none == [], "whoever begins hears of what comes"
        await here.say(yes, True)
        await here.say(no, False)
        policy = here.gateway.policy.current
        await here.gateway.approvals.ask_back(back, MAYA, policy, "which order?", here.gateway.now())
        changes, after = await here.told(after=cursor)
        assert changes == [
            {"id": yes, "state": "approved"},
            {"id": no, "state": "refused"},
            {"id": back, "state": "pending", "asked_back": "which order?"},
        ]
        assert still not in str(changes)
        assert await here.told(after=after) == ([], after), "nothing new, and the cursor stays good"
        assert (await here.told(after=cursor))[0] == changes, "an answer that was lost is given again"


async def test_a_question_that_changed_often_is_told_once_as_it_stands(site: OpenSite) -> None:
    async with site() as here:
        question, (_, cursor) = await here.ask(), await here.told()
        policy = here.gateway.policy.current
        await here.gateway.approvals.ask_back(question, MAYA, policy, "why?", here.gateway.now())
        await here.say(question, False, NADIA)
        changes, _ = await here.told(after=cursor)
        assert [(each["id"], each["state"]) for each in changes] == [(question, "refused")]


async def test_a_changed_policy_that_asks_anew_or_asks_nobody_is_heard_of(site: OpenSite, policies: Path) -> None:
    async with site() as here:
        question, (_, cursor) = await here.ask(), await here.told()
        for rules, state in ((RULES + ALSO, "pending"), (ALSO, "withdrawn")):
            (policies / "rules.csv").write_text(rules)
            policy = load_policy(policies, list(here.gateway.catalog.tools.values()))
            await here.gateway.approvals.decide_again(policy, here.gateway.now())
            changes, cursor = await here.told(after=cursor)
            assert changes == [{"id": question, "state": state}]


async def test_many_changes_come_page_by_page_and_none_is_left_out(
    site: OpenSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_approvals, "_SINCE", of_approvals._SINCE.replace("LIMIT 100", "LIMIT 2"))
    async with site() as here:
        questions, (_, cursor) = [await here.ask(amount=amount) for amount in range(1, 6)], await here.told()
        for question in questions:
            await here.say(question, True)
        heard: list[str] = []
        for expected in (2, 2, 1, 0):
            changes, cursor = await here.told(after=cursor)
            assert len(changes) == expected
            heard += [each["id"] for each in changes]
        assert heard == questions


async def test_nobody_hears_of_another_callers_questions_whoever_and_wherever_it_is(site: OpenSite) -> None:
    async with site() as here:
        callers = (ANA, TRIAGE, TRIAGE_FOR_ANA, ANA_ELSEWHERE)
        begun = {who.name + who.tenant: (await here.told(who))[1] for who in callers}
        questions = {who: await here.ask(who, amount) for amount, who in enumerate(callers, 1)}
        for who, question in questions.items():
            await here.say(question, True, NADIA if who.tenant == "larkspur" else BOSS)
        for who, question in questions.items():
            changes, _ = await here.told(who, after=begun[who.name + who.tenant])
            assert changes == [{"id": question, "state": "approved"}]


async def test_a_cursor_is_good_for_its_caller_alone_and_for_nothing_if_it_was_changed(site: OpenSite) -> None:
    async with site() as here:
        await here.say(await here.ask(), True)
        _, mine = await here.told()
        _, another = await here.told(TRIAGE)
        _, elsewhere = await here.told(ANA_ELSEWHERE)
        other_key = await Changes(here.gateway.approvals.changes._database, b"\1" * 32).begin(ANA)
        flipped = mine[:40] + ("A" if mine[40] != "A" else "B") + mine[41:]
        for forged in (another, elsewhere, other_key, flipped, mine[:-1], "0", "1", "é", "x" * 9_000, "-1"):
            refused = await here.get(ANA, after=forged)
            assert (refused.status_code, refused.json()["error"]["kind"]) == (400, "unknown_cursor"), forged
            assert forged not in refused.text or len(forged) < 3
        assert (await here.get(ANA, after=mine)).status_code == 200


async def test_two_cursors_of_one_moment_tell_nothing_of_how_much_others_do(site: OpenSite) -> None:
    async with site() as here:
        _, before = await here.told()
        await here.say(await here.ask(TRIAGE_FOR_ANA), True, NADIA)
        _, after = await here.told()
        opened = [here.gateway.approvals.changes._opened(ANA, each) for each in (before, after)]
        assert opened == [0, 0], "a place counts only what is the caller's own"


async def test_a_cursor_is_good_after_a_restart_and_nothing_in_between_is_lost(site: OpenSite) -> None:
    async with site() as here:
        question, (_, cursor) = await here.ask(), await here.told()
    async with site() as here:
        await here.say(question, True)
    async with site() as here:
        assert (await here.told(after=cursor))[0] == [{"id": question, "state": "approved"}]


async def test_without_a_good_token_for_calls_nothing_is_told(site: OpenSite) -> None:
    async with site() as here:
        revoked, token = here.tokens.create(ANA, here.gateway.now(), here.gateway.now() + timedelta(days=1))
        here.tokens.revoke(token.id, here.gateway.now())
        wrong = [here.token(ANA, audience) for audience in (Audience.CONSOLE, Audience.GRANTS)]
        sent = [
            "",
            "Bearer",
            "Bearer remit_wrong",
            "Basic YTpi",
            f"Bearer {revoked}",
            *(f"Bearer {it}" for it in wrong),
        ]
        sent.append(f"Bearer {here.token(ANA, days=-1)}")
        for given in sent:
            answer = await here.http.get(PATH, headers={"Authorization": given} if given else {})
            assert (answer.status_code, "Bearer" in answer.headers["WWW-Authenticate"]) == (401, True), given
            assert "changes" not in answer.json()


async def test_a_page_of_another_site_learns_nothing_even_where_no_token_is_asked_for(site: OpenSite) -> None:
    async with site(named=ANA) as here:
        question, cursor = await here.ask(), (await here.http.get(PATH)).json()["next"]
        await here.say(question, True)
        for header in ({"Host": "attacker.example"}, {"Origin": "https://attacker.example"}):
            answer = await here.http.get(PATH, params={"after": cursor}, headers=header)
            assert answer.status_code in {403, 421}
            assert question not in answer.text
        assert (await here.http.get(PATH, params={"after": cursor})).json()["changes"][0]["id"] == question


@pytest.mark.parametrize(("query", "status"), [("?before=x", 400), ("?after=a&after=b", 400), ("?after=", 200)])
async def test_what_is_not_understood_is_told_so(site: OpenSite, query: str, status: int) -> None:
    async with site() as here:
        headers = {"Authorization": f"Bearer {here.token(ANA)}"}
        assert (await here.http.get(PATH + query, headers=headers)).status_code == status
        assert (await here.http.post(PATH, headers=headers)).status_code == 405


async def test_a_journal_that_cannot_be_read_says_so_and_moves_no_cursor(
    site: OpenSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site() as here:
        _, cursor = await here.told()
        monkeypatch.setattr(of_approvals, "_SINCE", "SELECT nothing FROM nowhere")
        answer = await here.get(ANA, after=cursor)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert answer.json()["error"]["kind"] == "journal_unavailable"


async def test_callers_beyond_a_limit_on_requests_come_back_later(site: OpenSite, policies: Path) -> None:
    (policies / "limits.csv").write_text('limit, N1, role:agent, *, requests, 3, 10s, person, ""\n')
    async with site() as here:
        statuses = [(await here.get(ANA)).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        assert (await here.get(TRIAGE)).status_code == 200


async def test_a_look_reads_an_index_that_holds_nothing_but_changes(site: OpenSite, database: Database) -> None:
    asked = {"tenant": "larkspur", "principal": ANA.name, "after": 0}
    async with site():
        pass
    with database.looking(EVERY_TENANT) as connection:
        if database.is_postgresql:
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            plan = str(connection.execute(text("EXPLAIN " + of_approvals._SINCE), asked).all())
        else:
            plan = str(connection.execute(text("EXPLAIN QUERY PLAN " + of_approvals._SINCE), asked).all())
    assert "journal_changes" in plan
    assert "TEMP B-TREE" not in plan
