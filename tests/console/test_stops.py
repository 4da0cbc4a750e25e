"""The kill switch in the console: for whom policy names, in their own tenant, on the record."""

from pathlib import Path

import pytest

from gateway.journal import Entry, JournalUnavailable, Kind
from gateway.stopping.stop import What, named
from tests.console.conftest import APPROVERS, INES, MAYA, TOM, TRIAGE, ZOE, OpenSite, text_of

STOP = {"what": "agent", "name": "triage", "why": "it mails strangers", "for": "2h"}


@pytest.fixture
def leads_stop(tmp_path: Path, site: OpenSite) -> OpenSite:
    (tmp_path / "policies" / "approvers.csv").write_text(f"{APPROVERS}stopper, role:lead, *\n")
    return site


async def test_stops_are_seen_by_stoppers_and_viewers_and_set_by_stoppers_alone(leads_stop: OpenSite) -> None:
    async with leads_stop() as opened:
        for who, sees, acts in ((MAYA, 200, 303), (INES, 200, 404), (TOM, 404, 404)):
            async with opened.signed_in(who) as somebody:
                page = await somebody.see("/stops", sees)
                assert ("Stop something" in page) is (acts == 303)
                links = await somebody.see("/")
                assert ('href="/console/stops"' in links) is (sees == 200)
                token = links.partition('name="form_token" value="')[2].partition('"')[0]
                answer = await somebody.http.post("/console/stops", data={**STOP, "form_token": token})
                assert answer.status_code == acts
                assert (await somebody.http.post("/console/stops", data=STOP)).status_code == 403
        assert [entry.principal for entry in opened.entries()] == [MAYA.name]


async def test_what_was_stopped_here_is_refused_at_once_and_goes_on_when_resumed(leads_stop: OpenSite) -> None:
    async with leads_stop() as opened, opened.signed_in(MAYA) as maya, opened.signed_in(INES) as ines:
        assert (await maya.send("/stops", "/stops", **STOP)).status_code == 303
        assert (await opened.call(TRIAGE, "crm_search_contacts", query="x")).status == "denied"
        shown = text_of(await ines.see("/stops"))
        assert "agent triage" in shown
        assert "it mails strangers" in shown
        [stopped] = [entry for entry in opened.entries() if entry.kind is Kind.STOPPED]
        assert stopped.body["by"] == MAYA.person
        assert "it mails strangers" in text_of(await ines.see("/journal?kind=stopped"))
        resumed = await maya.send(f"/stops/{stopped.call_id}/resume", "/stops", why="a false alarm")
        assert resumed.status_code == 303
        assert (await opened.call(TRIAGE, "crm_search_contacts", query="x")).status == "ok"
        again = await maya.send(f"/stops/{stopped.call_id}/resume", "/stops", why="a false alarm")
        assert again.status_code == 404
        assert opened.entries()[-3].body["note"] == "a false alarm"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"why": " "}, "Say why"),
        ({"name": ""}, "names no agent"),
        ({"what": "everything"}, "Say what to stop"),
        ({"for": "soon"}, "must be a number of"),
    ],
)
async def test_a_stop_that_says_too_little_is_shown_again(
    leads_stop: OpenSite, wrong: dict[str, str], told: str
) -> None:
    async with leads_stop() as opened, opened.signed_in(MAYA) as maya:
        answer = await maya.send("/stops", "/stops", **{**STOP, **wrong})
        assert answer.status_code == 422
        assert told in text_of(answer.text)
        assert opened.entries() == []


async def test_another_tenants_stops_are_neither_shown_nor_ended(leads_stop: OpenSite) -> None:
    async with leads_stop() as opened, opened.signed_in(MAYA) as maya, opened.signed_in(ZOE) as zoe:
        await maya.send("/stops", "/stops", **STOP)
        book, now = opened.gateway.stops.book, opened.gateway.now()
        everything = await book.stop(named(What.EVERYTHING, "", ""), "root@larkspur.example", "a drill of mine", now)
        [stopped] = [entry.call_id for entry in opened.entries() if entry.tenant == "larkspur"]
        shown = text_of(await zoe.see("/stops"))
        assert "triage" not in shown
        # That everything is stopped is seen, but not by whom and why.
        assert "everything" in shown
        assert "root@" not in shown
        assert "a drill of mine" not in shown
        for each in (stopped, everything.id):
            assert (await zoe.send(f"/stops/{each}/resume", "/stops", why="x")).status_code == 404


async def test_a_stop_that_cannot_be_recorded_is_told_to_be_in_force(leads_stop: OpenSite) -> None:
    async with leads_stop() as opened, opened.signed_in(MAYA) as maya:

        async def unavailable(entry: Entry) -> None:
            raise JournalUnavailable(f"no room for {entry.kind}")

        opened.gateway.journal.append = unavailable  # type: ignore[method-assign]
        answer = await maya.send("/stops", "/stops", **STOP)
    assert answer.status_code == 503
    assert "is in force, but that could not be recorded" in text_of(answer.text)
    assert "agent triage" in text_of(answer.text)
