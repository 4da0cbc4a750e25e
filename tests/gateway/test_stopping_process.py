"""The kill switch over real processes: thrown in one, it is in force in all that share the database."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from gateway.app import open_gateway
from gateway.background import background
from gateway.call import call_tool
from gateway.cli import app
from gateway.gateway import Gateway, ToolCall
from gateway.home import utc_now
from gateway.principal import Principal
from gateway.settings import Settings, load_settings
from gateway.stopping.stop import What, named
from gateway.tokens import Tokens
from tests.gateway.test_approvals_process import call
from tests.gateway.test_http import META
from tests.processes import clean, serving

pytestmark = pytest.mark.process

TRIAGE, ANA = Principal("larkspur", agent="triage"), Principal("larkspur", person="ana.ruiz@larkspur.example")
INES = "ines@larkspur.example"
SEARCH = {"query": "kim"}


def token(settings: Settings, who: Principal) -> str:
    with settings.open_database() as database:
        return Tokens(database).create(who, utc_now(), utc_now() + timedelta(days=1))[0]


def listed(url: str, secret: str) -> list[str]:
    answer = httpx.post(
        url,
        json={"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}},
        headers={
            "Accept": "application/json, text/event-stream",
            "Authorization": f"Bearer {secret}",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/list",
        },
        timeout=30,
    )
    return [tool["name"] for tool in answer.json()["result"]["tools"]]


async def here(gateway: Gateway, who: Principal) -> str:
    return (await call_tool(gateway, ToolCall(who, "crm_search_contacts", SEARCH))).status


async def test_a_stop_of_one_process_is_in_force_in_another_within_a_second_until_resumed(
    tmp_path: Path, database_url: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "remit.toml").write_text(f'database_url = "{database_url}"\n' if database_url else "")
    settings = load_settings(home=home)
    triage, ana = token(settings, TRIAGE), token(settings, ANA)
    async with open_gateway(settings) as gateway, background(gateway, settings):
        with serving(home) as served:

            def there(secret: str) -> dict[str, Any]:
                return call(served.mcp, secret, "crm_search_contacts", SEARCH)

            assert (there(triage)["status"], await here(gateway, TRIAGE)) == ("ok", "ok")
            assert listed(served.mcp, triage)

            target = named(What.AGENT, "triage", "larkspur")
            stop = await gateway.stops.book.stop(target, INES, "it mails strangers", gateway.now())
            await asyncio.sleep(1)  # what is promised to be enough
            assert there(triage)["rules"] == [f"stop:{stop.id}"]
            assert listed(served.mcp, triage) == []
            assert (await here(gateway, TRIAGE), there(ana)["status"]) == ("denied", "ok")

            await gateway.stops.book.resume(stop.id, "larkspur", INES, "a false alarm", gateway.now())
            await asyncio.sleep(1)
            assert (there(triage)["status"], await here(gateway, TRIAGE)) == ("ok", "ok")
            assert listed(served.mcp, triage)


def command(home: Path, *arguments: str) -> Result:
    environment = {"REMIT_PRINCIPAL": f"person:{INES}", "REMIT_HOME": str(home)}
    return CliRunner().invoke(app, arguments, env={**clean(), **environment})


def test_the_commands_stop_list_and_resume_and_keep_a_record(tmp_path: Path) -> None:
    said = command(tmp_path, "stop", "agent", "triage", "--why", "it mails strangers", "--for", "2h").stdout
    stop_id = said.partition(":")[0]
    assert f"agent triage is stopped; `remit resume {stop_id}` ends it" in said
    command(tmp_path, "stop", "everything", "--why", "a drill")
    first, second = map(json.loads, command(tmp_path, "stop", "list", "--json").stdout.splitlines())
    assert (first["stop"], first["what"], first["name"], first["by"]) == (stop_id, "agent", "triage", INES)
    assert (second["what"], second["tenant"], second["until"]) == ("everything", "*", None)
    assert "it mails strangers" in command(tmp_path, "stop", "list").stdout
    for each in (first, second):
        assert "is resumed" in command(tmp_path, "resume", each["stop"], "--why", "a false alarm").stdout
    assert "nothing is stopped" in command(tmp_path, "stop", "list").stdout
    told = command(tmp_path, "journal", "why", stop_id).stdout
    assert f"agent triage is stopped until {first['until'][:10]}" in told
    assert f"agent triage is resumed by {INES}, because: a false alarm" in told


@pytest.mark.parametrize(
    ("told", "given"),
    [
        ("takes a person", ("agent", "triage", "--why", "x", "--as", "agent:other")),
        ("say why", ("agent", "triage", "--why", " ")),
        ("is no agent", ("agent", "person:ana", "--why", "x")),
        ("must be a number of", ("agent", "triage", "--why", "x", "--for", "soon")),
    ],
)
def test_stopping_takes_a_person_a_reason_and_a_target(told: str, given: tuple[str, ...], tmp_path: Path) -> None:
    refused = command(tmp_path, "stop", *given)
    assert told in refused.stderr
    assert "nothing is stopped" in command(tmp_path, "stop", "list").stdout


def test_a_tool_that_nobody_knows_is_stopped_with_a_note(tmp_path: Path) -> None:
    noted = command(tmp_path, "stop", "tool", "emial_*", "--why", "x")
    assert "did you mean `email_*`" in noted.stderr
    assert "is stopped" in noted.stdout


def test_a_stop_that_is_not_there_is_not_resumed(tmp_path: Path) -> None:
    assert "remit stop list" in command(tmp_path, "resume", "stop_0", "--why", "x").stderr
