"""`remit doctor`: each thing that can be wrong is found, said in one line with what to do, and nothing is changed."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import SecretStr

from gateway.app import open_gateway
from gateway.doctor import database as database_check
from gateway.doctor import home as home_check
from gateway.doctor.checks import CHECKS, examine
from gateway.doctor.finding import Check, Finding, Level
from gateway.doctor.outside import address
from gateway.gateway import Gateway
from gateway.home import utc_now
from gateway.journal import Entry, Kind
from gateway.principal import Principal
from gateway.settings import Settings
from gateway.stopping.stop import Target, What
from gateway.tokens import Tokens
from tests.gateway.test_call import ANA, KIM, ask
from tests.processes import free_port, remit
from tests.upstream.conftest import Upstream, wire_tool

pytestmark = pytest.mark.usefixtures("for_its_owner_alone")


@pytest.fixture
def database_url() -> str:
    return ""


@pytest.fixture
def settings(home: Path, policies: Path) -> Settings:
    return Settings(home=home, policies=policies)


def found(settings: Settings, *checks: Check) -> list[Finding]:
    async def run() -> list[Finding]:
        return [finding async for finding in examine(settings, checks or CHECKS)]

    return anyio.run(run)


def told(settings: Settings, *checks: Check) -> str:
    """What is not well, as a person reads it."""
    return "\n".join(
        f"{each.level} {each.about}: {each.told} / {each.next}"
        for each in found(settings, *checks)
        if each.level is not Level.OK
    )


def check(name: str) -> Check:
    return next(each for each in CHECKS if each.__name__ == name)


def use(settings: Settings, work: Callable[[Gateway], Any]) -> None:
    """Open a gateway and do something."""

    async def run() -> None:
        async with open_gateway(settings) as gateway:
            await work(gateway)

    anyio.run(run)


def contents(home: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file() and "-shm" not in path.name}


async def call(gateway: Gateway) -> None:
    await ask(gateway, ANA, "crm_create_contact", KIM)


def test_a_gateway_in_use_is_well_and_stays_as_it_is(settings: Settings) -> None:
    use(settings, call)
    before = contents(settings.home)
    assert {each.level for each in found(settings)} == {Level.OK, Level.WARNING}
    assert "wrong" not in told(settings)
    journal = next(each for each in found(settings) if each.about == "journal")
    assert journal.told.startswith("2 entries, 2 of them signed for")
    assert contents(settings.home) == before


def test_before_the_first_start_nothing_is_wrong_and_nothing_is_made(settings: Settings) -> None:
    assert "wrong" not in told(settings)
    assert not settings.home.exists()


def test_a_secret_that_others_can_read_and_a_disk_that_is_full_are_wrong(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(settings, call)
    settings.journal_key.chmod(0o640)
    monkeypatch.setattr(home_check, "_VERY_LITTLE", 2**60)
    monkeypatch.setattr(home_check, "_SHARED_DISKS", {home_check._disk(settings.home)})
    said = told(settings, check("home"))
    assert f"wrong permissions: other users of this machine may look into `{settings.journal_key}`" in said
    assert f"`chmod 600 {settings.journal_key}`" in said
    assert "wrong disk" in said
    assert "locks cannot be trusted" in said


def change(settings: Settings, statement: str) -> None:
    with closing(sqlite3.connect(settings.home / "remit.db")) as file, file:
        for [trigger] in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            file.execute(f"DROP TRIGGER {trigger}")
        file.execute(statement)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE journal SET tenant = 'other' WHERE position = 2", "entry 2 is not what was written"),
        ("DELETE FROM journal WHERE position = 2", "it ends at entry 1, but 2 were signed for"),
        ("UPDATE journal SET previous = zeroblob(32) WHERE position = 2", "entry 2 is not what was written"),
    ],
)
def test_a_journal_that_was_changed_or_cut_off_is_wrong(settings: Settings, statement: str, said: str) -> None:
    use(settings, call)
    change(settings, statement)
    assert f"wrong journal: {said}" in told(settings, check("journal"))


def test_a_journal_without_its_key_or_with_a_foreign_one_is_wrong(settings: Settings) -> None:
    use(settings, call)
    settings.journal_key.rename(settings.home / "elsewhere")
    assert "which signed this journal" in told(settings, check("journal"))
    settings.journal_key.write_text("no key")
    assert "holds no journal key" in told(settings, check("journal"))


def test_what_waits_for_people_is_told(settings: Settings) -> None:
    async def wait(gateway: Gateway) -> None:
        for tenant in ("larkspur", "other"):
            doubt = Entry(f"call_{tenant}", tenant, "p", utc_now(), Kind.OUTCOME, {"status": "in_doubt"}, "doubt:1")
            await gateway.journal.append(doubt)
        long_ago = utc_now() - timedelta(days=30)
        await gateway.stops.book.stop(Target(What.AGENT, "triage", "larkspur"), "rosa", "odd", long_ago)
        with settings.open_database() as database:
            now = utc_now()
            Tokens(database).create(Principal("larkspur", agent="triage"), now, now + timedelta(days=3))
            Tokens(database).create(Principal("larkspur", agent="triage"), now, now + timedelta(days=90))

    use(settings, wait)
    said = told(settings, check("doubts"), check("stops"), check("tokens"))
    assert "warning doubts: 2 calls" in said
    assert "warning stops: 1 stops are in force for more than 7 days: stop_" in said
    assert "warning tokens: 1 of 2 tokens end within 14 days: tok_" in said


def test_a_policy_with_a_mistake_is_wrong(settings: Settings) -> None:
    (settings.policies / "rules.csv").write_text("p, A1, role:agent, crm_*, args.x ==, allow, note\n")
    assert "wrong policy" in told(settings, check("policy"))


def test_a_check_that_breaks_is_told_and_the_others_go_on(settings: Settings) -> None:
    async def broken(_settings: Settings) -> list[Finding]:
        await anyio.lowlevel.checkpoint()
        raise RuntimeError("so\nit goes")

    first, *others = found(settings, broken, check("policy"))
    assert (first.level, first.told) == (Level.WRONG, "RuntimeError: so")
    assert others


def test_upstream_servers_are_reached_and_what_waits_for_review_is_named(settings: Settings, tmp_path: Path) -> None:
    up = Upstream(settings.upstreams_folder, tmp_path / "plan.json")
    up.offers(wire_tool("look"))
    up.write()
    assert "warning upstream up: 1 definitions wait: look" in told(settings, check("upstreams"))
    up.accept()
    assert not told(settings, check("upstreams"))
    up.plan_file.unlink()
    assert "wrong upstream up: cannot be reached" in told(settings, check("upstreams"))


def test_addresses_are_looked_at(settings: Settings) -> None:
    port = free_port()
    unsafe = settings.model_copy(
        update={
            "console_url": "http://remit.example",
            "notify_webhook": f"http://127.0.0.1:{port}/very-secret-path",
            "metrics_token": SecretStr("a-token-for-metrics-alone"),
        }
    )
    said = told(unsafe, check("console"), check("notices"), check("telemetry"), partial(address, "127.0.0.1", port))
    assert "wrong console: `http://remit.example` is not over TLS" in said
    assert f"wrong notices: nothing usable listens at http://127.0.0.1:{port}" in said
    assert "secret" not in said
    assert "address" not in said


async def test_an_address_that_something_else_has_is_wrong(settings: Settings) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)  # noqa: S610 - no query
        tasks.start_soon(listener.serve, _close)
        [finding] = await address("127.0.0.1", port, settings)
        tasks.cancel_scope.cancel()
    assert (finding.level, finding.about) == (Level.WRONG, "address")


async def _close(stream: anyio.abc.SocketStream) -> None:
    await stream.aclose()


def test_a_server_that_may_forget_what_it_was_told_to_keep_is_wrong(postgres_url: str, settings: Settings) -> None:
    # As the server of the tests does.
    [well, ill, clock] = found(settings.model_copy(update={"database_url": SecretStr(postgres_url)}), check("database"))
    assert well.told.startswith("`postgresql://")
    assert (ill.level, "`fsync`" in ill.told) == (Level.WRONG, True)
    assert (clock.level, clock.about) == (Level.OK, "clock")


def test_clocks_that_do_not_agree_are_told() -> None:
    levels = [database_check._clock(skew).level for skew in (0.2, -5, 90)]
    assert levels == [Level.OK, Level.WARNING, Level.WRONG]


@pytest.mark.process
def test_as_json_it_counts_and_its_exit_status_says_whether_something_is_wrong(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    well = remit("doctor", "--home", str(home), "--json")
    answer = json.loads(well.stdout)
    assert answer["wrong"] == 0
    assert {"level", "about", "told", "next"} == answer["findings"][0].keys()
    (home / "remit.toml").write_text("nonsense = 1\n")
    ill = remit("doctor", "--home", str(home), check=False)
    assert ill.returncode == 1
    assert ill.stdout.startswith("wrong    settings: setting `nonsense`")


def test_an_issuer_that_does_not_answer_is_told(settings: Settings, tmp_path: Path) -> None:
    policies = tmp_path / "with an issuer"
    shutil.copytree(settings.policies, policies)
    (policies / "identity.toml").write_text(
        'resource = "http://127.0.0.1:2/mcp"\n[issuers.staff]\nissuer = "http://127.0.0.1:1"\ntenant = "larkspur"\n'
        '[issuers.staff.clients]\ntriage = "agent:triage alone"\n'
    )
    said = told(settings.model_copy(update={"policies": policies}), check("issuers"))
    assert said.startswith("wrong issuer staff: ")
    assert told(settings, check("issuers")) == ""
