"""A home that the first version wrote (`make_home.py`) is brought up to date, verifies, and works on."""

import json
import tarfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.answer import Answer
from gateway.app import open_gateway
from gateway.approvals.answering import NotAnswerable
from gateway.call import call_tool
from gateway.cli import main
from gateway.gateway import Gateway, ToolCall
from gateway.journal import Kind, read_journal
from gateway.principal import Principal
from gateway.settings import SHIPPED_POLICIES, Settings
from gateway.tokens import Tokens
from tests.upgrade.make_home import copy_policies

HERE = Path(__file__).parent
MAYA = Principal("larkspur", person="maya@larkspur.example")


@dataclass(frozen=True)
class Home:
    """A home of the first version.

    Args:
        settings: Its settings today.
        known: What stands in it.
    """

    settings: Settings
    known: Mapping[str, Any]

    @property
    def now(self) -> datetime:
        """Soon after it was written."""
        return datetime.fromisoformat(self.known["at"]) + timedelta(minutes=1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    folder = tmp_path / "home"
    with tarfile.open(HERE / "first.tar.gz") as packed:
        packed.extractall(folder, filter="data")
    policies = copy_policies(tmp_path / "policies", SHIPPED_POLICIES / "model.conf")
    return Home(Settings(home=folder, policies=policies), json.loads((folder / "known.json").read_text()))


def remit(home: Home, *command: str) -> int:
    """Run a command; gives its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["remit", *command, "--home", str(home.settings.home)])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)


@asynccontextmanager
async def opened(home: Home) -> AsyncIterator[Gateway]:
    async with open_gateway(home.settings) as gateway:
        yield replace(gateway, now=lambda: home.now)


def caller(home: Home, name: str) -> Principal:
    """Whose token it is, if that is still good."""
    with home.settings.open_database() as database:
        token = Tokens(database).find(home.known["tokens"][name])
    assert token is not None
    assert token.good_at(home.now)
    return token.principal


async def call(gateway: Gateway, who: Principal, tool: str, **arguments: object) -> Answer[Any]:
    return await call_tool(gateway, ToolCall(who, tool, arguments))


def result(answer: Answer[Any]) -> Any:
    assert answer.status == "ok"
    return answer.result


def test_it_verifies_as_soon_as_it_is_upgraded(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert remit(home, "journal", "verify") == 1
    assert "run `remit database upgrade`" in capsys.readouterr().err
    assert remit(home, "database", "upgrade") == 0
    assert remit(home, "journal", "verify") == 0
    assert "15 entries" in capsys.readouterr().out


async def test_old_tokens_and_records_are_good_and_calls_go_on(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    async with opened(home) as gateway:
        ana, zoe = caller(home, "ana"), caller(home, "zoe")
        contact = home.known["contact"]
        found = await call(gateway, ana, "crm_get_contact", contact_id=contact)
        foreign = await call(gateway, zoe, "crm_get_contact", contact_id=contact)
        passages = await call(gateway, zoe, "knowledge_search_documents", query="refunded telescopes")
        added = await call(gateway, zoe, "crm_create_contact", name="Pat", email="pat@customer.example")
    assert result(found).email == "noor@customer.example"
    assert (foreign.status, foreign.error.kind if foreign.error else None) == ("failed", "not_found")
    assert len(result(passages).passages) == 1
    assert added.status == "ok"
    assert remit(home, "journal", "verify") == 0
    assert "23 entries" in capsys.readouterr().out


async def test_a_question_that_was_open_is_asked_anew_and_its_yes_lets_the_call_through(home: Home) -> None:
    before = home.known["pending"]
    async with opened(home) as gateway:
        ana, policy = caller(home, "ana"), gateway.policy.current
        with pytest.raises(NotAnswerable):
            await gateway.approvals.answer(before["id"], MAYA, policy, True, "", home.now)
        waits = await call(gateway, ana, "crm_update_contact", **before["arguments"])
        assert waits.approval is not None
        assert waits.approval.id != before["id"]
        await gateway.approvals.answer(waits.approval.id, MAYA, policy, True, "", home.now)
        stale = await call(gateway, ana, "crm_update_contact", **before["arguments"])
        found = await call(gateway, ana, "crm_get_contact", contact_id=before["arguments"]["contact_id"])
    # What was approved and carried out before the upgrade changed the record.
    assert (stale.status, stale.error.kind if stale.error else None) == ("failed", "conflict")
    assert (result(found).title, result(found).version) == ("Buyer", 2)


@pytest.mark.parametrize(
    "command",
    [
        ("journal", "list"),
        ("journal", "why", "made"),
        ("journal", "why", "settled"),
        ("journal", "export", "--output", "out.jsonl"),
        ("approvals", "list"),
        ("doubts", "list"),
        ("token", "list"),
    ],
    ids=" ".join,
)
def test_every_command_reads_it(home: Home, tmp_path: Path, command: tuple[str, ...]) -> None:
    assert remit(home, "database", "upgrade") == 0
    named = {"made": home.known["made"], "settled": home.known["settled"]["id"], "out.jsonl": str(tmp_path / "out")}
    assert remit(home, *(named.get(part, part) for part in command)) == 0


def test_each_entry_is_found_by_its_tenant_alone(home: Home) -> None:
    assert remit(home, "database", "upgrade") == 0
    with home.settings.open_database() as database:
        by_tenant = {tenant: list(read_journal(database, tenant)) for tenant in ("larkspur", "other")}
        assert sum(map(len, by_tenant.values())) == len(list(read_journal(database, EVERY_TENANT)))
    for tenant, entries in by_tenant.items():
        assert {entry.tenant for entry in entries} == {tenant}
    assert {entry.kind for entry in by_tenant["other"]} >= {Kind.INTENT, Kind.OUTCOME}
    assert home.known["made"] in {entry.call_id for entry in by_tenant["larkspur"]}
