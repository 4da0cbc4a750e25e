"""What an operator deploys speaks of what there is: metrics, settings, addresses, packages."""

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.routing import Route

from gateway.http import build_http_app
from gateway.server import build_server
from gateway.settings import Settings
from tests.gateway.conftest import OpenGateway
from tests.gateway.test_call import ANA
from tests.gateway.test_metrics import every_metric
from tests.processes import REMIT

TOP = Path(__file__).parents[2]
DEPLOY = TOP / "deploy"
MOST_BEYOND = 5
"""Seconds that a process may still take once its patience is over."""


@pytest.fixture
def database_url() -> str:
    return ""


def rules() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus-rules.yaml").read_text())["groups"][0]["rules"]
    return found


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    return found


def queries() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ()))
    yield from (str(variable["query"]) for variable in dashboard()["templating"]["list"])


async def test_every_metric_that_is_asked_for_exists_and_none_goes_unseen(opened: OpenGateway) -> None:
    async with opened() as gateway:
        there = await every_metric(gateway)
    asked = {name for query in queries() for name in re.findall(r"\b(?:remit|process)_\w+", query)}
    asked = {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked}
    assert asked <= there
    # Of these the others tell enough.
    unseen = {"remit_policy_refusals_total", "remit_policy_in_force_since_seconds", "remit_upstreams_unreachable"}
    unseen |= {"remit_upstream_tools_unreviewed"}
    assert {name for name in there - asked if name.startswith("remit_")} == unseen


def test_every_alarm_says_what_to_do_and_so_does_the_page_for_operators() -> None:
    page = (TOP / "docs" / "operations.md").read_text()
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert {"summary", "description"} == rule["annotations"].keys()
        assert f"`{rule['alert']}`" in page


def test_the_panels_of_the_dashboard_do_not_cover_each_other() -> None:
    panels = dashboard()["panels"]
    taken = [
        (place["x"] + x, place["y"] + y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["w"])
        for y in range(place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _y in taken) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


# Kubernetes


def kubernetes(kind: str) -> dict[str, Any]:
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    return next(document for document in documents if document["kind"] == kind)


async def test_probes_and_settings_of_the_replicas_are_real(opened: OpenGateway, monkeypatch: Any) -> None:
    pod = kubernetes("Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    for given in container["env"]:
        monkeypatch.setenv(given["name"], given.get("value", "postgresql://host/name-and-more-than-24"))
    settings = Settings()
    assert {given["name"].removeprefix("REMIT_").lower() for given in container["env"]} <= Settings.model_fields.keys()
    assert pod["terminationGracePeriodSeconds"] >= settings.shutdown_delay + settings.shutdown_patience + MOST_BEYOND
    async with opened() as gateway:
        app = build_http_app(gateway, build_server(gateway, ANA), Settings(), "127.0.0.1", 8900, None)
    paths = {route.path for route in app.routes if isinstance(route, Route)}
    probes = {container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")}
    assert probes == {"/readyz", "/healthz"} & paths
    assert container["args"][-1].endswith(f":{container['ports'][0]['containerPort']}")
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["runAsNonRoot"] is True


# systemd


def test_the_unit_gives_the_calls_their_time_and_leaves_the_workers_to_their_parent() -> None:
    unit = (DEPLOY / "remit.service").read_text()
    [stop] = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    fields = Settings.model_fields
    assert int(stop) >= fields["shutdown_delay"].default + fields["shutdown_patience"].default + MOST_BEYOND
    assert "KillMode=mixed" in unit


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd")
def test_the_unit_is_one_that_systemd_takes_and_is_confined(tmp_path: Path) -> None:
    unit = tmp_path / "remit.service"
    unit.write_text((DEPLOY / "remit.service").read_text().replace("/opt/remit/.venv/bin/remit", REMIT))
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    # It looks at the machine's other units, too.
    ours = [line for line in verified.stderr.splitlines() if not line.startswith(("/lib/", "/usr/lib/"))]
    assert (verified.returncode, ours) == (0, [])
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert rated.returncode == 0, rated.stdout[-300:]


# Container


def steps() -> list[tuple[str, str]]:
    """The instructions of the container file."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1].strip()) for line in text.splitlines() if line.strip()]


def test_the_container_holds_what_the_wheel_does_and_runs_as_nobody() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    copies = [rest for name, rest in steps() if name == "COPY" and "--from" not in rest]
    copied = {source for rest in copies for source in rest.split()[:-1]}
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert copied == {*packages, "pyproject.toml", "uv.lock", "README.md"}
    ignored = (TOP / ".dockerignore").read_text().splitlines()
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == copied
    assert dict(steps())["USER"] == "10001"
    extras = {extra for _name, rest in steps() for extra in re.findall(r"--extra (\w+)", rest)}
    # A container has no keyring of its own.
    assert extras == project["project"]["optional-dependencies"].keys() - {"keyring"}
    versions = [re.findall(r"uv==[0-9.]+", text) for text in ((TOP / "Makefile").read_text(), str(steps()))]
    assert versions[0] == versions[1]


def test_the_container_is_told_to_end_itself_and_not_a_shell() -> None:
    told = dict(steps())
    assert json.loads(told["ENTRYPOINT"]) == ["remit"]
    assert json.loads(told["CMD"])[0] == "serve"
    assert "/healthz" in told["HEALTHCHECK"]
