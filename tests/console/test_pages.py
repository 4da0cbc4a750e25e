"""The journal, why pages, roles and charts: for who may see them, and saying what is there."""

from datetime import timedelta

import pytest

from tests.console.conftest import ANA, INES, MAYA, OTTO, REFUND, TOM, TRIAGE, OpenSite, text_of

DENIED = {**REFUND, "amount": 501}


async def test_the_journal_is_for_viewers_that_policy_names(site_on_each: OpenSite) -> None:
    async with site_on_each() as opened:
        for who, status in ((INES, 200), (MAYA, 404), (TOM, 404)):
            async with opened.signed_in(who) as somebody:
                for path in ("/journal", "/charts"):
                    await somebody.see(path, status)
                links = await somebody.see("/")
                assert ('href="/console/journal"' in links) is (status == 200)


async def test_the_journal_shows_one_tenant_and_finds_by_what_is_known(site_on_each: OpenSite) -> None:
    async with site_on_each() as opened, opened.signed_in(INES) as ines:
        await opened.call(OTTO, "crm_search_contacts", query="theirs")
        await opened.call(ANA, "crm_search_contacts", query="x")
        await opened.call(ANA, "crm_issue_refund", **DENIED)
        await opened.call(TRIAGE, "crm_search_accounts", {"remit/run": "run-7"}, query="y")
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        everything = text_of(await ines.see("/journal"))
        assert "otto" not in everything
        assert "nobody refunds more than 500" in everything
        found = {
            "tool=crm_search_accounts": (2, "crm_search_accounts"),
            "kind=denied": (1, "nobody refunds"),
            "status=ok": (2, "done"),
            "agent=triage": (2, "agent:triage"),
            "run=run-7": (2, "agent:triage"),
            "rule=A3": (1, "nobody refunds"),
            f"call={question}": (1, "a person is asked"),
            "person=ana@larkspur.example&kind=asked": (1, "a person is asked"),
            "since=2999-01-01T00:00": (0, "No entry is like that"),
            "until=2001-01-01T00:00": (0, "No entry is like that"),
            "tool=' OR 1=1": (0, "No entry is like that"),
        }
        for query, (count, part) in found.items():
            page = await ines.see(f"/journal?{query}")
            assert page.count('<td role="cell" class="num">') == count, query
            assert part in text_of(page)
        await ines.see("/calls/%00", 404)
        assert "No entry is like that" in await ines.see("/journal?run=%00x")
        assert "Not a time" in await ines.see("/journal?since=yesterday")


async def test_the_journal_is_read_page_by_page_without_gap_or_double(site_on_each: OpenSite) -> None:
    async with site_on_each() as opened, opened.signed_in(INES) as ines:
        for number in range(60):
            await opened.call(ANA, "crm_search_contacts", query=f"{number}")
        seen, path = [], "/journal?tool=crm_search_contacts"
        while path:
            page = await ines.see(path)
            seen += [int(cell.partition("<")[0]) for cell in page.split('<td role="cell" class="num">')[1:]]
            link = page.partition('">Older</a>')[0].rpartition('href="/console')[2] if ">Older<" in page else ""
            path = link.replace("&amp;", "&")
        expected = [entry.position for entry in opened.entries() if entry.body["tool"] == "crm_search_contacts"]
        assert seen == expected[::-1]


async def test_why_is_told_to_who_called_who_may_answer_and_viewers(site_on_each: OpenSite) -> None:
    async with site_on_each() as opened:
        await opened.call(ANA, "crm_issue_refund", **DENIED)
        [denied] = [entry.call_id for entry in opened.entries()]
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        for who, own, asked in ((ANA, 200, 200), (INES, 200, 200), (MAYA, 404, 200), (TOM, 404, 404)):
            async with opened.signed_in(who) as somebody:
                page = text_of(await somebody.see(f"/calls/{denied}", own))
                if own == 200:
                    assert "denied: rule A3 denies it: nobody refunds more than 500" in page
                    assert "amount 501.00" in page
                await somebody.see(f"/calls/{question}", asked)


async def test_a_policy_viewer_reads_what_every_role_may_do_and_others_their_own(site_on_each: OpenSite) -> None:
    async with site_on_each() as opened:
        async with opened.signed_in(INES) as ines:
            listed = text_of(await ines.see("/roles"))
            assert "agent person:ana@larkspur.example" in listed
            page = text_of(await ines.see("/roles/agent"))
            assert "A3 agent deny when amount is above 500 Nobody refunds more than 500" in page
            assert "Denied, because no rule speaks of it" in page
            await ines.see("/roles/nobody", 404)
        async with opened.signed_in(MAYA) as maya:
            listed = text_of(await maya.see("/roles"))
            assert "Your roles" in listed
            assert "ana@" not in listed
            await maya.see("/roles/lead")
            await maya.see("/roles/agent", 404)


@pytest.mark.parametrize("span", ["day", "week", "month"])
async def test_charts_say_in_words_and_tables_what_they_draw(site_on_each: OpenSite, span: str) -> None:
    async with site_on_each() as opened, opened.signed_in(INES) as ines:
        empty = text_of(await ines.see(f"/charts?span={span}"))
        assert "0 calls ran, 0 waited for approval, and 0 were refused" in empty
        for _ in range(3):
            await opened.call(ANA, "crm_search_contacts", query="x")
        await opened.call(ANA, "crm_issue_refund", **DENIED)
        question = await opened.ask(ANA, "crm_issue_refund", **REFUND)
        policy = opened.gateway.policy.current
        await opened.gateway.approvals.answer(question, MAYA, policy, False, "", opened.clock())
        page = await ines.see(f"/charts?span={span}")
        assert "3 calls ran, 1 waited for approval, and 1 were refused" in text_of(page)
        assert "people said yes 0 times and no 1 times" in text_of(page)
        assert page.count('role="img"') == page.count("<table") == 4
        opened.clock.ahead = timedelta(days=40)
        async with opened.signed_in(INES) as later:
            assert "0 calls ran" in text_of(await later.see(f"/charts?span={span}"))
