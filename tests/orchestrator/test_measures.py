"""What is measured of a day of known runs, the page that shows it, and who gets to see that page.

`REMIT_GOLDEN=1` writes `golden/measures.txt` anew; look at what changes.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import uvicorn
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import Connection, insert
from starlette.applications import Starlette

from orchestrator import telemetry
from orchestrator.durable.database import Database
from orchestrator.durable.run import Parked
from orchestrator.durable.store import Done, Store
from orchestrator.durable.tables import ratings, runs, spending, steps
from orchestrator.measures import Measure, figure, measures
from orchestrator.page.routes import page_routes
from orchestrator.workflow import Workflows
from tests.clients.node import node_program
from tests.console.test_browser import chromium
from tests.orchestrator.test_stages import Office, letters
from tests.orchestrator.test_stages import office as office  # noqa: PLC0414 - a fixture

GOLDEN = Path(__file__).parent / "golden" / "measures.txt"
SCRIPT = Path(__file__).parents[1] / "node" / "console.mjs"
HOUR = 3_600_000
NIGHT = "<img src=x onerror=alert(1)> at night"


def day(connection: Connection, began: int) -> None:
    """Ten runs, one an hour: of every outcome, with calls, models, questions, retries, passages, claims and ratings."""
    for number in range(10):
        at, run = began + number * HOUR, f"r{number}"
        state = {8: "failed", 9: "waiting"}.get(number, "done")
        told = {"id": run, "workflow": "letters", "version": 1, "about": NIGHT, "state": state, "why": NIGHT}
        empty = dict.fromkeys(("given", "team", "customer", "person", "worker", "seed", "result", "parent"), "")
        zero = dict.fromkeys(("fence", "tries", "losses"), 0)
        known = {name: value for name, value in (told | empty | zero).items() if name in runs.c}
        connection.execute(insert(runs).values(**known, begun=at, changed=at + (number + 1) * 1_000))
        for place, (name, kind, facts) in enumerate(facts_of(number)):
            kept = {"run": run, "name": name, "kind": kind, "given": "", "output": "null", "facts": json.dumps(facts)}
            place_of = {"place": place} if "place" in steps.c else {}
            connection.execute(insert(steps).values(**kept, **place_of, milliseconds=100 * (number + 1), at=at))
        choice = "needless" if number == 4 else "edit" if number == 2 else "accept"
        said = {"run": run, "name": "reply", "choice": choice, "workflow": "letters", "step": "reply", "stage": "draft"}
        more = {"person": "maya", "since": 0, "distance": 0.1, "note": ""}
        connection.execute(insert(ratings).values(**said, **more, escalated=number in (4, 5), at=at))
    connection.execute(insert(ratings).values(**{**said, "choice": "incident"}, **more, escalated=False, at=began))


def facts_of(number: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    status = {1: "failed", 3: "denied", 6: "denied"}.get(number, "ok")
    if number in (2, 3):
        yield "send.asked", "person", {"approval": f"a{number}"}
    yield "send", "call", {"tool": "email_send_message", "status": status, "milliseconds": 10 * (number + 1)}
    yield "think.model1", "model", {"model": "small"}
    if number == 5:
        yield "send.failed1", "function", {"retry": "TimeoutError"}
    yield "find", "function", {"retrieval": "good" if number % 2 else "poor", "found": 10, "kept": 4}
    yield "check", "function", {"claims": 5, "unsupported": int(number == 7)}


def spent(connection: Connection, began: int) -> None:
    for number in range(10):
        name = dict.fromkeys(("team", "customer", "route", "prompt"), "")
        counts = {"requests": 1, "failed": int(number < 2), "from_cache": int(number == 9), "cost": 2_000_000}
        zero = dict.fromkeys(("input_tokens", "cached_tokens", "output_tokens", "milliseconds", "reserved"), 0)
        key = {"key": f"r{number}:think", "model": "small", "run": f"r{number}", "workflow": "letters"}
        connection.execute(insert(spending).values(**key, **name, **counts, **zero, at=began + number * HOUR))


async def known(office: Office, began: int) -> None:
    await office.store.database.run(lambda connection: day(connection, began))
    await office.store.database.run(lambda connection: spent(connection, began))


async def test_figures_of_a_known_day_are_those_of_the_golden_file_on_both_databases(office: Office) -> None:
    await known(office, 0)
    lines = []
    for each in measures():
        found = await figure(office.store.database, each, 0, 24 * HOUR, 12)
        shown = " ".join(found.shown(value) for value in found.values)
        most = f", 95 of 100 at most {found.shown(found.most)}" if found.most is not None else ""
        lines.append(f"{each.id}: {found.shown(found.total)} of {found.of}{most}\n  {shown}\n")
    if os.environ.get("REMIT_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text("".join(lines))
    assert "".join(lines) == GOLDEN.read_text()


async def test_a_median_is_in_the_middle_and_ninety_five_of_a_hundred_are_no_more(office: Office) -> None:
    sql = "WITH RECURSIVE n(at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM n WHERE at < 20) "
    sql += "SELECT at, 'letters' AS workflow, at AS part, 1 AS whole FROM n"
    times = Measure(id="t", title="t", says="t", unit="ms", sql=sql)
    found = await figure(office.store.database, times, 0, 100, 1)
    assert (found.total, found.most) == (10.5, 19)


async def test_of_another_workflow_or_another_time_nothing_is_counted(office: Office) -> None:
    await known(office, 0)
    for each in measures():
        for since, workflow in ((0, "others"), (100 * HOUR, "")):
            assert not (await figure(office.store.database, each, since, since + HOUR, 4, workflow)).of


@contextmanager
def serving(office: Office) -> Iterator[str]:
    """The page on a port of this machine, by a thread with a database of its own."""
    database = Database(str(office.store.database.engine.url))
    app = Starlette(routes=page_routes(Store(database), Workflows([letters])))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, ws="none", lifespan="off"))
    thread = Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        database.close()


def client(office: Office, token: str, host: str = "127.0.0.1") -> httpx.AsyncClient:
    app = Starlette(routes=page_routes(office.store, Workflows([letters]), token))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(host, 1)), base_url="http://127.0.0.1")


async def test_the_page_shows_runs_stages_and_plots_and_makes_nothing_of_outside_text(office: Office) -> None:
    await known(office, time.time_ns() // 1_000_000 - 11 * HOUR)
    async with client(office, "") as http:
        page = await http.get("/measures?days=1&workflow=letters")
    assert page.status_code == 200
    assert "<img" not in page.text
    assert "&lt;img src=x" in page.text
    assert "script" not in page.text
    assert page.text.count("<svg") == len(measures())
    assert "letters reply" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("token", "host", "headers", "status"),
    [
        ("", "127.0.0.1", {}, 200),
        ("", "10.0.0.7", {}, 403),
        ("", "127.0.0.1", {"X-Forwarded-For": "10.0.0.7"}, 403),
        ("", "127.0.0.1", {"Host": "elsewhere.example"}, 403),
        ("secret", "127.0.0.1", {}, 401),
        ("secret", "10.0.0.7", {"Authorization": "Bearer secret"}, 200),
        ("secret", "10.0.0.7", {"Authorization": "Bearer secre"}, 401),
        ("secret", "10.0.0.7", {"Authorization": "Basic YW55Ym9keTpzZWNyZXQ="}, 200),
        ("secret", "10.0.0.7", {"Authorization": "Basic not base64"}, 401),
    ],
)
async def test_the_page_is_for_this_machine_or_for_whoever_has_its_token(
    office: Office, token: str, host: str, headers: dict[str, str], status: int
) -> None:
    async with client(office, token, host) as http:
        assert (await http.get("/measures", headers=headers)).status_code == status


async def test_the_page_of_another_workflow_counts_none_of_these_runs(office: Office) -> None:
    await known(office, time.time_ns() // 1_000_000 - 11 * HOUR)
    async with client(office, "") as http:
        page = await http.get("/measures?days=1&workflow=others")
    assert "no runs yet" in page.text
    assert "Nothing waits and nothing failed." in page.text


async def test_a_span_that_is_none_is_refused(office: Office) -> None:
    async with client(office, "") as http:
        assert (await http.get("/measures?days=2")).status_code == 400


@pytest.mark.process
@pytest.mark.node
@pytest.mark.timeout(120)
@pytest.mark.parametrize("office", ["sqlite"], indirect=True)
async def test_a_browser_shows_it_without_complaint_readable_for_everybody(office: Office, tmp_path: Path) -> None:
    program, browser = node_program("node"), chromium()
    await known(office, time.time_ns() // 1_000_000 - 11 * HOUR)
    with serving(office) as url:
        said: dict[str, Any] = {"task": "look", "url": url, "token": "", "chromium": browser, "shots": str(tmp_path)}
        said |= {"pages": {"measures": "/measures", "week": "/measures?days=7"}}
        done: subprocess.CompletedProcess[str] = program.run(str(SCRIPT), json.dumps(said), home=tmp_path, timeout=100)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert {name: found for name, found in seen["found"].items() if found} == {}
    assert seen["noise"] == []


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[InMemorySpanExporter, InMemoryMetricReader]]:
    """Whoever collects what is told."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    traces, times = TracerProvider(shutdown_on_exit=False), MeterProvider([reader], shutdown_on_exit=False)
    traces.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(trace, "get_tracer", traces.get_tracer)
    monkeypatch.setattr(metrics, "get_meter", times.get_meter)
    telemetry._histogram.cache_clear()
    yield spans, reader
    telemetry._histogram.cache_clear()
    traces.shutdown()
    times.shutdown()


async def test_runs_answers_and_calls_are_told_by_the_conventions_and_hold_no_data(
    office: Office, collected: tuple[InMemorySpanExporter, InMemoryMetricReader]
) -> None:
    spans, reader = collected
    run = await office.begin()
    await office.answer(run, "accept")
    account = {"model": "openai:small", "prompt": "reply@1", "input_tokens": 7, "output_tokens": 3}
    cached = account | {"model": "openai:cached", "input_tokens": 0, "output_tokens": 0}
    vectors = account | {"model": "openai:vectors", "prompt": "", "output_tokens": 0}
    for each in (account, cached, vectors):
        telemetry.tell_step("letters", Done("think", "model", "", "secret", each, 40))
    call = {"tool": "crm_get_contact", "status": "failed", "milliseconds": 5}
    telemetry.tell_step("letters", Done("read", "call", "", "secret", call, 0))
    with pytest.raises(KeyError), telemetry.told_run("letters", "r1", Parked):
        raise KeyError("secret")
    told = {span.name: dict(span.attributes or {}) for span in spans.get_finished_spans()}
    models = {"chat openai:small", "chat openai:cached", "embeddings openai:vectors"}
    assert set(told) == {"invoke_workflow letters", "execute_tool crm_get_contact"} | models
    assert told["chat openai:small"]["gen_ai.provider.name"] == "openai"
    assert told["execute_tool crm_get_contact"]["error.type"] == "tool_error"
    assert told["invoke_workflow letters"]["error.type"] == "KeyError"
    data = reader.get_metrics_data()
    assert data
    found = data.to_json()
    assert set(re.findall(r'"name": "(gen_ai\.[a-z_.]+)"', found)) == {
        "gen_ai.workflow.duration",
        "gen_ai.client.operation.duration",
        "gen_ai.client.token.usage",
        "gen_ai.execute_tool.duration",
    }
    assert "secret" not in found + str(told)
    assert "kim@" not in found + str(told)
