"""A person reviews by command; nothing is accepted without a record."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.journal import Entry, Kind
from gateway.settings import Settings
from gateway.upstream.comparing import widenings
from tests.upstream.conftest import TEXT, Upstream, defined, fronting, wire_tool
from tests.upstream.test_attacks import POISON

Entries = Callable[[], list[Entry]]


def remit(*arguments: str) -> tuple[int, str]:
    """Run a command within this process."""
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.output


@pytest.fixture
def reviewed(up: Upstream, home: Path, policies: Path) -> Callable[..., tuple[int, str]]:
    def run(command: str, *arguments: str) -> tuple[int, str]:
        where = ["--home", str(home), *(["--as", "person:rosa"] if command != "review" else [])]
        return remit("upstream", command, *arguments, *where)

    return run


def test_review_shows_what_is_new_and_accept_takes_what_is_not_suspicious(
    up: Upstream, reviewed: Callable[..., tuple[int, str]], entries: Entries
) -> None:
    up.offers(wire_tool("add", "Adds\u202e.", a=TEXT))
    up.offers(wire_tool("subtract"))
    up.tools.append(wire_tool("undeclared"))
    up.write()
    status, told = reviewed("review")
    assert status == 1
    assert told.isascii()
    assert "add (here `up_add`): NEW" in told
    assert "right-to-left override" in told
    assert "cannot be accepted: name: not declared" in told
    status, told = reviewed("accept", "up")
    assert status == 0
    assert "subtract: accepted" in told
    assert "add: not accepted: look at it" in told
    assert [(entry.kind, entry.body["tool"], entry.body["by"]) for entry in entries()] == [
        (Kind.REVIEWED, "up_subtract", "rosa")
    ]
    assert "add: accepted" in reviewed("accept", "up", "add")[1]
    assert "cannot be accepted" in reviewed("accept", "up", "undeclared")[1]
    assert "subtract: accepted by rosa" in reviewed("review", "up")[1]


def test_review_shows_what_changed_and_in_what_way_it_takes_more(
    up: Upstream, reviewed: Callable[..., tuple[int, str]]
) -> None:
    up.offers(wire_tool("pay", amount={"type": "number", "maximum": 50}), "send")
    up.write()
    up.accept()
    up.tools[0] = wire_tool("pay", POISON, amount={"type": "number", "maximum": 5000}, bcc=TEXT)
    up.write()
    status, told = reviewed("review", "up")
    assert status == 1
    assert "CHANGED since it was accepted" in told
    assert "`maximum` of `amount` was 50 and is 5000" in told
    assert "takes a new field `bcc`" in told
    assert '-  "description": "Does it.",' in told
    assert "not accepted: look at it" in reviewed("accept", "up")[1]


async def test_what_is_refused_or_accepted_counts_in_a_running_gateway(
    up: Upstream, settings: Settings, reviewed: Callable[..., tuple[int, str]]
) -> None:
    from anyio.to_thread import run_sync

    up.offers(wire_tool("add"))
    up.offers(wire_tool("subtract"))
    up.write()
    up.accept("add")
    async with fronting(settings, up, accepted=False) as front:
        assert (await front.call("up_add")).status == "ok"
        assert (await run_sync(lambda: reviewed("refuse", "up", "add")))[0] == 0
        await front.until(lambda: front.withheld)
        assert (await run_sync(lambda: reviewed("accept", "up", "subtract")))[0] == 0
        await front.until(lambda: "up_subtract" in front.gateway.catalog.tools)
        assert (await front.call("up_subtract")).status == "ok"
        assert not front.gateway.catalog.is_open("up_add", "larkspur")


async def test_policy_that_does_not_go_with_the_new_catalogue_leaves_the_previous_in_force(
    up: Upstream, settings: Settings
) -> None:
    rule = "p, A1, role:agent, up_pay*, args.amount <= 5, allow, small\n"
    (settings.policies / "rules.csv").write_text(rule)
    up.offers(wire_tool("pay", amount={"type": "number"}), "send")
    up.offers(wire_tool("pay_more", sum={"type": "number"}), "send")
    up.write()
    up.accept("pay")
    async with fronting(settings, up, accepted=False) as front:
        up.accept("pay_more")
        await front.until(lambda: front.gateway.upstreams.problem)
        assert "up_pay_more" not in front.gateway.catalog.tools
        assert (await front.call("up_pay", {"amount": 3})).status == "ok"
        assert (await front.call("up_pay", {"amount": 6})).status == "denied"
        (settings.policies / "rules.csv").write_text(rule.replace("up_pay*", "up_pay"))
        await front.until(lambda: "up_pay_more" in front.gateway.catalog.tools)


def test_only_a_person_reviews(up: Upstream, home: Path) -> None:
    up.offers(wire_tool("add"))
    up.write()
    for who in ("agent:triage", "agent:triage+person:rosa"):
        status, told = remit("upstream", "accept", "up", "--home", str(home), "--as", who)
        assert status == 2
        assert "a person answers for it" in told
    assert not (up.folder / "up.pins.json").exists()


def test_check_knows_accepted_tools_without_a_connection(
    up: Upstream, home: Path, policies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (policies / "rules.csv").write_text("p, A1, role:agent, up_pay, args.amunt <= 5, allow, small\n")
    up.offers(wire_tool("pay", amount={"type": "number"}), "send")
    up.write()
    up.accept()
    (up.folder / "up.toml").write_text((up.folder / "up.toml").read_text().replace("command = ", 'command = "/no"  # '))
    monkeypatch.setenv("REMIT_HOME", str(home))
    status, told = remit("check", str(policies))
    assert status == 1
    assert "did you mean `args.amount`?" in told or "amount" in told


def test_a_looser_schema_is_said_in_words() -> None:
    old = defined(wire_tool("a", b={"type": "string", "enum": ["x"], "maxLength": 5, "pattern": "^x"}))
    new = defined(
        {**wire_tool("a", b={"type": "string", "enum": ["x", "y"], "maxLength": 9}), "description": "Does it."}
    )
    assert set(widenings(old, new)) == {
        "`enum` of `b` has more: 'y'",
        "`maxLength` of `b` was 5 and is 9",
        "`b` is no longer bounded by `pattern`",
    }
    assert widenings(new, new) == ()
