"""The console lets nobody in, out or astray who should not be, whatever a browser or an agent sends."""

from datetime import timedelta, timezone
from typing import Any

import pytest

from gateway.console.attempts import Attempts
from gateway.visible_text import deceits
from tests.console.conftest import ANA, INES, MAYA, REFUND, ZOE, OpenSite
from tests.console.test_mail import MAILBOX, message_of, reply
from tests.console.test_question_page import add_ticket


async def test_who_has_a_token_in_force_signs_in_however_often_others_behind_the_same_address_guess(
    site: OpenSite,
) -> None:
    async with site() as here, here.browser() as http:
        tried = [(await http.post("/console/sign-in", data={"token": f"remit_{n}"})).status_code for n in range(12)]
        assert tried == [403] * 10 + [429] * 2
        assert (await http.post("/console/sign-in", data={"token": here.token(MAYA)})).status_code == 303


def test_one_address_of_the_older_kind_does_not_use_up_the_attempts_of_all_others() -> None:
    attempts = Attempts(most=1)
    assert attempts.admit("::ffff:192.0.2.1", 0)
    assert not attempts.admit("192.0.2.1", 0), "the same address in another form"
    assert attempts.admit("::ffff:192.0.2.2", 0)


@pytest.mark.parametrize(
    "since", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-13-01", "-1", "1e9", "\u0661", "\ud800"]
)
async def test_a_time_that_is_none_is_named_and_breaks_nothing(site: OpenSite, since: str) -> None:
    async with site() as here, here.signed_in(INES) as ines:
        answer = await ines.http.get("/console/journal", params={"since": since.encode("utf-8", "surrogatepass")})
    assert answer.status_code == 200


async def test_a_time_with_a_zone_finds_what_was_recorded_at_that_moment(site: OpenSite) -> None:
    async with site() as here, here.signed_in(INES) as ines:
        name = await here.ask(ANA, "crm_issue_refund", **REFUND)
        at = here.entries()[-1].at
        found = []
        for hours, minutes in ((10, -1), (-10, -1), (10, 1), (-10, 1)):
            zoned = (at + timedelta(minutes=minutes)).astimezone(timezone(timedelta(hours=hours)))
            page = await ines.http.get("/console/journal", params={"since": zoned.isoformat()})
            found.append(name in page.text)
    assert found == [True, True, False, False]


@pytest.mark.parametrize("name", ["adm\u0131n", "\u0251na", "o\u02bcneil", "kim\u0301"])
def test_letters_that_look_like_others_in_front_of_the_at_are_named(name: str) -> None:
    assert deceits(f"write to {name}@larkspur.example now")


@pytest.mark.parametrize(
    "path", ["{id}x", "{ID}", "{id}%00", "{id}%2e%2e", "%2e%2e/{id}", "{id}/../{id}x", "std_{rest}"]
)
async def test_a_link_to_a_question_that_was_tampered_with_leads_nowhere(site: OpenSite, path: str) -> None:
    async with site() as here, here.signed_in(MAYA) as maya, here.signed_in(ZOE) as zoe:
        name = await here.ask(ANA, "crm_issue_refund", **REFUND)
        changed = path.format(id=name, ID=name.upper(), rest=name.removeprefix("apr_"))
        assert (await maya.http.get(f"/console/approvals/{changed}")).status_code == 404
        assert (await zoe.http.get(f"/console/approvals/{name}")).status_code == 404
        sent = await zoe.http.post(f"/console/approvals/{name}/answer", data={"answer": "approve"})
        assert sent.status_code in {403, 404}
        assert (await here.call(ANA, "crm_issue_refund", **REFUND)).status == "pending_approval"


async def test_looking_at_a_question_asks_nobody_anything_in_the_approvers_name(site: OpenSite, tmp_path: Any) -> None:
    rules = tmp_path / "policies" / "rules.csv"
    counted = "p, L2, role:lead, ticket_get_*, calls('ticket_get_*') >= 1, ask, so many reads need a second look\n"
    rules.write_text(rules.read_text() + counted)
    async with site() as here, here.signed_in(MAYA) as maya:
        ticket = await add_ticket(here, subject="Late", body="Where is it?")
        name = await here.ask(ANA, "ticket_add_reply", ticket_id=ticket, body="It ships today.")
        for _ in range(3):
            await maya.see(f"/approvals/{name}")
        [open_] = await here.gateway.approvals.open(here.clock(), "larkspur")
    assert open_.question.id == name


async def test_nobody_reads_a_mail_by_asking_to_answer_it_themselves(site: OpenSite, tmp_path: Any) -> None:
    roles, rules = (tmp_path / "policies" / f"{name}.csv" for name in ("roles", "rules"))
    roles.write_text(roles.read_text() + "g, person:maya@larkspur.example, role:writer, larkspur\n")
    rules.write_text(rules.read_text() + "p, W1, role:writer, email_reply_message, , ask, answers are looked at\n")
    async with site() as here, here.signed_in(MAYA) as maya:
        message = await message_of(here)
        arguments: dict[str, Any] = {"mailbox": MAILBOX, "message_id": message, "body": "x"}
        name = await here.ask(MAYA, "email_reply_message", **arguments)
        page = await maya.see(f"/approvals/{name}")
    assert "ignore your rules" not in page
    assert "kim@customer.example" not in page


async def test_a_mail_is_shown_to_approvers_as_long_as_they_can_answer_for_it(site: OpenSite) -> None:
    async with site() as here, here.signed_in(MAYA) as maya:
        question, _ = await reply(here)
        assert "ignore your rules" in await maya.see(f"/approvals/{question}")
        here.clock.ahead = timedelta(days=30) - timedelta(minutes=1)
        async with here.signed_in(MAYA) as later:
            assert "ignore your rules" not in await later.see(f"/approvals/{question}")
