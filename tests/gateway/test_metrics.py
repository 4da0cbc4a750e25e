"""What operators see at `/metrics`: each call once, what is wrong just now, and nothing that callers can blow up."""

import os
import re
import resource
import select
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from connectors.errors import Unavailable
from connectors.registry import TOOLS
from gateway.backlog import Backlog
from gateway.catalog import UnknownTool
from gateway.gateway import Gateway
from gateway.journal import Entry, Kind
from gateway.metrics import Metrics
from gateway.metrics_together import Together, joined
from gateway.settings import BadSettings, load_settings
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_call import ANA, INES, KIM, REFUND, StandInCrm, ask, at_once, with_crm
from tests.gateway.test_outage import create_contact
from tests.processes import PATIENCE_SECONDS, Served, copy_shipped_policies, serving

Labels = frozenset[tuple[str, str]]
TOKEN = "a-token-for-metrics-alone"


def samples(text: str) -> dict[tuple[str, Labels], float]:
    families = text_string_to_metric_families(text)
    return {(each.name, frozenset(each.labels.items())): each.value for family in families for each in family.samples}


def value(text: str, name: str, **labels: str) -> float | None:
    return samples(text).get((name, frozenset(labels.items())))


def calls(gateway: Gateway) -> list[tuple[str, str, str, str, float]]:
    """Tenant, tool, status, error and number of what was counted."""
    found = samples(gateway.metrics.written().decode())
    counted = [(dict(labels), number) for (name, labels), number in found.items() if name == "remit_calls_total"]
    return sorted((each["tenant"], each["tool"], each["status"], each["error"], n) for each, n in counted)


async def test_each_call_is_counted_once_with_what_became_of_it(opened: OpenGateway) -> None:
    async with opened() as gateway:
        await ask(gateway, ANA, "crm_create_contact", KIM)
        await ask(gateway, ANA, "crm_search_contacts", {})
        await ask(gateway, ANA, "crm_search_contacts", {})
        await ask(gateway, ANA, "crm_search_contacts", {"limit": "many"})
        await ask(gateway, ANA, "crm_issue_refund", {**REFUND, "amount": 600})
        await ask(gateway, ANA, "crm_issue_refund", {**REFUND, "amount": 60})
        await ask(gateway, ANA, "crm_issue_refund", {**REFUND, "amount": 6})
        for hidden_or_not_there in ("crm_create_contact", "crm_drop_tables"):
            with pytest.raises(UnknownTool):
                await ask(gateway, INES, hidden_or_not_there, {})
        assert calls(gateway) == [
            ("larkspur", "crm_create_contact", "failed", "unknown_tool", 1),
            ("larkspur", "crm_create_contact", "ok", "", 1),
            ("larkspur", "crm_issue_refund", "denied", "", 1),
            ("larkspur", "crm_issue_refund", "failed", "not_found", 1),
            ("larkspur", "crm_issue_refund", "pending_approval", "", 1),
            ("larkspur", "crm_search_contacts", "failed", "invalid_input", 1),
            ("larkspur", "crm_search_contacts", "ok", "", 2),
            ("larkspur", "unknown", "failed", "unknown_tool", 1),
        ]
        told = gateway.metrics.written().decode()
        assert value(told, "remit_call_seconds_count", tool="crm_search_contacts") == 3
        assert (value(told, "remit_journal_append_seconds_count") or 0) >= 9


async def test_calls_that_nobody_waits_for_or_that_find_no_slot_are_counted_too(opened: OpenGateway) -> None:
    async with opened(max_calls=1, max_waiting=1) as real, anyio.create_task_group() as tasks:
        gateway = with_crm(real, StandInCrm(anyio.sleep_forever))
        for _ in range(2):
            tasks.start_soon(ask, gateway, ANA, "crm_get_contact", {"contact_id": "con_abcd2345"})
        await anyio.wait_all_tasks_blocked()
        told = gateway.metrics.written().decode()
        assert (value(told, "remit_calls_running"), value(told, "remit_calls_waiting")) == (1, 1)
        await ask(gateway, ANA, "crm_get_contact", {"contact_id": "con_abcd2345"})
        tasks.cancel_scope.cancel()
    assert calls(gateway) == [
        ("larkspur", "crm_get_contact", "failed", "busy", 1),
        ("larkspur", "crm_get_contact", "failed", "cancelled", 2),
    ]
    told = gateway.metrics.written().decode()
    assert (value(told, "remit_calls_running"), value(told, "remit_calls_waiting")) == (0, 0)


async def test_a_call_whose_back_end_breaks_is_counted_as_failed_within(opened: OpenGateway) -> None:
    async def explode() -> None:
        await at_once()
        raise ZeroDivisionError

    async with opened() as real:
        gateway = with_crm(real, StandInCrm(explode))
        answer = await ask(gateway, ANA, "crm_get_contact", {"contact_id": "con_abcd2345"})
        assert answer.error is not None
        assert calls(gateway) == [("larkspur", "crm_get_contact", "failed", answer.error.kind.value, 1)]


ANY_TEXT = st.text(st.characters(), max_size=30)  # half surrogate pairs and line ends included


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT | st.sampled_from([tool.name for tool in TOOLS])), max_size=40))
def test_no_name_that_a_caller_sends_becomes_a_label(named: list[tuple[str, str]]) -> None:
    metrics = Metrics(tool.name for tool in TOOLS)
    for tenant, tool in named:
        metrics.called(tenant, tool, "ok", "", 0.1)
    found = samples(metrics.written().decode())
    counted = [dict(labels) for (name, labels) in found if name == "remit_calls_total"]
    assert {each["tool"] for each in counted} <= {*(tool.name for tool in TOOLS), "unknown"}
    assert sum(number for (name, _), number in found.items() if name == "remit_calls_total") == len(named)


def test_the_number_of_tenants_with_their_own_name_is_bounded() -> None:
    metrics = Metrics([])
    for number in range(1_000):
        metrics.called(f"tenant {number}", "crm_get_contact", "ok", "", 0.1)
    found = samples(metrics.written().decode())
    counted = {
        dict(labels)["tenant"]: number for (name, labels), number in found.items() if name == "remit_calls_total"
    }
    assert len(counted) == 201
    assert counted["other"] == 800


async def test_every_metric_is_documented(opened: OpenGateway) -> None:
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    documented = set(re.findall(r"`(remit_\w+)`", text))
    async with opened() as gateway:
        names = await every_metric(gateway)
    assert documented == {name for name in names if not name.startswith("process_")}


async def every_metric(gateway: Gateway) -> set[str]:
    """The names of all metrics of a gateway that has seen everything there is a metric for."""
    gateway.metrics.registry.register(Backlog(gateway))
    await ask(gateway, ANA, "crm_search_contacts", {})
    # These have no values without an upstream server and on a file.
    elsewhere = {"remit_upstream_up", "remit_back_ends_left_alone", "remit_database_connections"}
    gateway.metrics.recovered("ok")
    gateway.metrics.refused_by_limit(["K01"])
    with suppress(TimeoutError), gateway.metrics.back_end("crm"):
        raise TimeoutError
    told = gateway.metrics.written().decode()
    families = {family.name for family in text_string_to_metric_families(told)}
    assert elsewhere - {"remit_database_connections"} <= families
    told = joined({"1": told.encode()}, 0).decode()
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name, _ in samples(told)} | elsewhere


async def test_what_waits_for_people_is_counted_in_all_tenants(opened: OpenGateway) -> None:
    async with opened() as gateway:
        backlog = Backlog(gateway)
        gateway.metrics.registry.register(backlog)
        await ask(gateway, ANA, "crm_issue_refund", {**REFUND, "amount": 60})
        await ask(gateway, ANA, "crm_issue_refund", {**REFUND, "amount": 70})
        for tenant in ("larkspur", "other"):
            doubt = Entry(f"call_{tenant}", tenant, "p", gateway.now(), Kind.OUTCOME, {"status": "in_doubt"}, "doubt:1")
            await gateway.journal.append(doubt)
        await backlog.read()
        told = gateway.metrics.written().decode()
    assert value(told, "remit_approvals_open") == 2
    assert (value(told, "remit_approvals_oldest_seconds") or 0) > 0
    assert value(told, "remit_doubts") == 2


async def test_a_back_end_is_timed_and_its_failures_are_told_apart(opened: OpenGateway) -> None:
    async def away() -> None:
        await at_once()
        raise Unavailable("gone")

    async with opened(call_tries=1, breaker_failures=1) as real:
        gateway = with_crm(real, StandInCrm(away))
        await ask(gateway, ANA, "crm_get_contact", {"contact_id": "con_abcd2345"})
        told = gateway.metrics.written().decode()
    assert value(told, "remit_back_end_seconds_count", area="crm") == 1
    assert value(told, "remit_back_end_failures_total", area="crm", kind="unavailable") == 1
    assert value(told, "remit_back_ends_left_alone", area="crm") == 1


# Over HTTP


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    return copy_shipped_policies(tmp_path / "policies")


@pytest.fixture
def served(tmp_path: Path, shipped: Path) -> Iterator[Served]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "remit.toml").write_text(f'metrics_token = "{TOKEN}"\n')
    who = "person:tom.lindqvist@larkspur.example"
    with serving(home, "--policies", str(shipped), "--no-auth", "--as", who) as up:
        yield up


async def test_who_is_about_to_listen_is_silent_and_who_died_is_forgotten(tmp_path: Path) -> None:
    alive, dead = tmp_path / str(os.getppid()), tmp_path / "999999999"
    with socket.socket(socket.AF_UNIX) as about_to_listen, socket.socket(socket.AF_UNIX) as left_behind:
        about_to_listen.bind(str(alive))
        left_behind.bind(str(dead))
        written = (await Together(Metrics(tool.name for tool in TOOLS), tmp_path).written()).decode()
    assert 'remit_workers{state="told"} 1' in written
    assert 'remit_workers{state="silent"} 1' in written
    assert (alive.exists(), dead.exists()) == (True, False)


async def test_who_ends_while_it_is_asked_is_silent(tmp_path: Path) -> None:
    ending = socket.socket(socket.AF_UNIX)
    ending.bind(str(tmp_path / str(os.getppid())))
    ending.listen()
    written: list[str] = []

    async def ask() -> None:
        written.append((await Together(Metrics(tool.name for tool in TOOLS), tmp_path).written()).decode())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.to_thread.run_sync(select.select, [ending], [], [])
        ending.close()
    assert 'remit_workers{state="silent"} 1' in written[0]


def told(served: Served) -> str:
    answer = httpx.get(f"{served.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return answer.text


@pytest.mark.process
def test_metrics_are_told_to_whoever_holds_the_token_and_to_nobody_else(served: Served) -> None:
    for given_ in ({}, {"Authorization": "Bearer guessed"}, {"Authorization": f"Basic {TOKEN}"}):
        refused = httpx.get(f"{served.url}/metrics", headers=given_)
        assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "remit_calls" not in refused.text
    assert value(told(served), "remit_policy_refused") == 0
    assert TOKEN not in served.log.read_text()


@pytest.mark.process
def test_without_a_token_set_there_are_no_metrics_even_for_this_machine(tmp_path: Path) -> None:
    with serving(tmp_path / "home", "--no-auth", "--as", "agent:triage") as up:
        assert httpx.get(f"{up.url}/metrics").status_code == 404
        assert httpx.get(f"{up.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 404


def test_a_token_that_can_be_guessed_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="`metrics_token`") as refused:
        load_settings(home=tmp_path, metrics_token="hunter2")
    assert "hunter2" not in str(refused.value)


@pytest.mark.process
def test_a_refused_policy_is_shown_within_a_poll_as_readiness_shows_it_and_stays_counted(
    served: Served, shipped: Path
) -> None:
    rules = shipped / "rules.csv"
    good = rules.read_text()
    version = next(dict(labels)["version"] for name, labels in samples(told(served)) if name == "remit_policy_info")
    rules.write_text(good + "p, Z1, role:sales, crm_create_contact, args.nonsense, deny, typo\n")
    wait_for_policy(served, refused=True)
    assert value(told(served), "remit_policy_refusals_total") == 1
    assert value(told(served), "remit_policy_info", version=version) == 1, "the previous policy stays in force"
    rules.write_text(good + "# mended\n")
    wait_for_policy(served, refused=False)
    assert value(told(served), "remit_policy_refusals_total") == 1
    assert value(told(served), "remit_policy_info", version=version) is None


def wait_for_policy(served: Served, *, refused: bool) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (httpx.get(f"{served.url}/readyz").json()["policy"] != "ok") is not refused:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert value(told(served), "remit_policy_refused") == refused


@pytest.mark.process
def test_a_journal_that_fails_is_shown_until_it_works_again(served: Served) -> None:
    unlimited = resource.prlimit(served.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(served.pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))
    assert create_contact(served, 1)["status"] == "failed"
    assert value(told(served), "remit_journal_failing") == 1
    resource.prlimit(served.pid, resource.RLIMIT_FSIZE, unlimited)
    assert create_contact(served, 1)["status"] == "ok"
    now = told(served)
    assert value(now, "remit_journal_failing") == 0
    labels = {"tenant": "larkspur", "tool": "crm_create_contact"}
    assert value(now, "remit_calls_total", status="failed", error="journal_unavailable", **labels) == 1
    assert value(now, "remit_calls_total", status="ok", error="", **labels) == 1
