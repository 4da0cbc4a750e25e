"""What one caller can pile up is bounded, and hides nothing of what others wait for."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.answer import ErrorKind
from gateway.approvals import State, book
from gateway.journal import Entry, JournalUnavailable, Kind
from gateway.notices.notice import Notice
from gateway.notices.telling import Notices
from gateway.principal import Principal
from tests.console.conftest import ANA, MAYA, REFUND, TRIAGE, OpenSite
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_approvals import paying, refund, reply
from tests.gateway.test_notices import Heard


async def test_a_caller_who_piles_up_questions_is_turned_away_and_others_are_not(
    opened: OpenGateway, till: Any, monkeypatch: pytest.MonkeyPatch, entries: Callable[[], list[Entry]]
) -> None:
    monkeypatch.setattr(book, "_MOST_OF_ONE_CALLER", 3)
    async with opened() as plain:
        gateway = paying(plain, till)
        asked = [await refund(gateway, note=f"{n}") for n in range(3)]
        refused = await refund(gateway, note="one more")
        assert (refused.status, refused.error and refused.error.kind) == ("failed", ErrorKind.BUSY)
        assert (await refund(gateway, Principal("larkspur", agent="triage"))).status == "pending_approval"
        assert (await refund(gateway, note="0")).status == "pending_approval", "what was asked stays asked"
        assert await reply(gateway, asked[0], approve=False) is State.REFUSED
        assert (await refund(gateway, note="one more")).status == "pending_approval"
    assert [entry.kind for entry in entries()].count(Kind.TURNED_AWAY) == 1


async def test_questions_of_another_caller_hide_none_in_the_inbox(site: OpenSite) -> None:
    async with site() as here:
        own = await here.ask(ANA, "crm_issue_refund", **REFUND)
        for number in range(201):
            await here.ask(TRIAGE, "crm_issue_refund", **{**REFUND, "note": str(number)})
        async with here.signed_in(MAYA) as maya:
            assert own in await maya.see("/")


async def test_a_new_policy_decides_every_open_question_again_and_each_once(opened: OpenGateway, till: Any) -> None:
    async with opened() as plain:
        gateway = paying(plain, till)
        for number in range(70):
            await refund(gateway, note=str(number))
        policy = gateway.policy.current
        newer = replace(policy, version="0123456789abcdef")
        assert await gateway.approvals.decide_again(newer, gateway.now()) == 70
        assert await gateway.approvals.decide_again(newer, gateway.now()) == 0
        found = await gateway.approvals.open(gateway.now(), "larkspur")
    assert {each.ruling.policy_version for each in found} == {newer.version}
    assert len(found) == 70


async def test_while_the_journal_fails_open_questions_are_left_for_whoever_repeats_them(
    opened: OpenGateway, till: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_entry: Entry) -> None:
        raise JournalUnavailable("no disk")

    async with opened() as plain:
        gateway = paying(plain, till)
        for number in range(3):
            await refund(gateway, note=str(number))
        newer = replace(gateway.policy.current, version="0123456789abcdef")
        monkeypatch.setattr(gateway.journal, "append", fail)
        with pytest.raises(JournalUnavailable, match="no disk"):
            await gateway.approvals.decide_again(newer, gateway.now())


async def test_a_channel_that_breaks_on_one_question_keeps_nobody_from_hearing_of_the_others(
    opened: OpenGateway, till: Any
) -> None:
    heard = Heard()

    class Broken(Heard):
        name = "broken"

        async def send(self, notice: Notice) -> None:
            if not self.notices:
                self.notices.append(notice)
                raise RuntimeError("a bug")
            await heard.send(notice)

    async with opened() as plain:
        gateway = paying(plain, till)
        for who in (ANA, Principal("larkspur", agent="triage")):
            await refund(gateway, who)
        notices = Notices(gateway, [Broken()], lambda name: name, timedelta())
        await notices.tell()
        assert len(heard.notices) == 1
        await notices.tell()
        assert len({notice.asked[0].approval for notice in heard.notices}) == 2
