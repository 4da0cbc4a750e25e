"""The official conformance suite: against the real command, and against the same gateway with the suite's own tools.

`docs/conformance.md` lists every check that does not succeed, with its reason: no other may fall short, and none may be
listed that succeeds.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import anyio.to_thread
import pytest

from tests.clients.node import NodeProgram, node_program
from tests.clients.suite_gateway import serving_suite_tools
from tests.processes import serving

pytestmark = [pytest.mark.process, pytest.mark.node]

VERSIONS = ["2026-07-28", "2025-11-25", "2025-06-18"]
DOCUMENT = Path(__file__).parents[2] / "docs" / "conformance.md"
SERVED_WITH_SUITE_TOOLS = "Needs a tool of the suite"
ANA = "person:ana.ruiz@larkspur.example"
FINE = {"SUCCESS", "INFO"}


class Check(NamedTuple):
    version: str
    scenario: str
    id: str

    def __str__(self) -> str:
        return f"{self.version} {self.scenario}/{self.id}"


class Row(NamedTuple):
    section: str
    reason: str
    checks: list[Check]


@pytest.fixture(scope="module")
def suite() -> NodeProgram:
    return node_program("conformance")


@pytest.fixture(scope="module")
def url(suite: NodeProgram, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("home"), "--no-auth", "--as", ANA) as gateway:
        yield gateway.mcp


def listed(version: str, *, without: str = "") -> set[Check]:
    """The checks that the document lists for a protocol version, but for those of one section."""
    return {check for row in rows() if row.section != without for check in row.checks if check.version == version}


def assert_as_listed(short: set[Check], expected: set[Check]) -> None:
    unlisted = [f"{check}: does not succeed and is not listed" for check in sorted(short - expected)]
    stale = [f"{check}: is listed, but succeeds or does not occur" for check in sorted(expected - short)]
    assert not unlisted + stale, "\n".join(unlisted + stale)


def rows() -> Iterator[Row]:
    section = ""
    for line in DOCUMENT.read_text("utf-8").splitlines():
        section = line.removeprefix("## ") if line.startswith("## ") else section
        if not line.startswith("| ") or line.startswith("| Reason"):
            continue
        reason, versions, names = (cell.strip() for cell in line.strip("|").split("|"))
        pairs = [(scenario, check or scenario) for scenario, _, check in _partitioned(names)]
        yield Row(section, reason, [Check(version, *pair) for version in versions.split(", ") for pair in pairs])


def _partitioned(names: str) -> list[tuple[str, str, str]]:
    return [name.partition("/") for name in re.findall(r"`([^`]+)`", names)]


def run(suite: NodeProgram, url: str, version: str, out: Path) -> set[Check]:
    """Run every scenario that a protocol version has, and give the checks that did not succeed."""
    return {check for check, is_fine in run_all(suite, url, version, out).items() if not is_fine}


def run_all(suite: NodeProgram, url: str, version: str, out: Path) -> dict[Check, bool]:
    """Run every scenario that a protocol version has, and say of each check whether it succeeded."""
    out.mkdir(parents=True, exist_ok=True)
    told = suite.run("server", "--url", url, "--suite", "all", "--spec-version", version, "-o", str(out), home=out)
    started = set(re.findall(r"^=== Running scenario: (\S+) ===", told.stdout, re.MULTILINE))
    found = {_scenario(file.parent.name): json.loads(file.read_bytes()) for file in out.glob("server-*/checks.json")}
    assert started, told.stderr
    assert {scenario for scenario, checks in found.items() if checks} == started, "every scenario must have checks"
    outcome: dict[Check, bool] = {}
    for scenario, checks in found.items():
        for each in checks:
            check = Check(version, scenario, each["id"])
            outcome[check] = outcome.get(check, True) and each["status"] in FINE
    return outcome


def _scenario(folder: str) -> str:
    return re.sub(r"-\d{4}-\d\d-\d\dT.*", "", folder.removeprefix("server-"))


@pytest.mark.parametrize("version", VERSIONS)
def test_no_check_falls_short_but_the_listed_ones(suite: NodeProgram, url: str, version: str, tmp_path: Path) -> None:
    assert_as_listed(run(suite, url, version, tmp_path), listed(version))


@pytest.mark.parametrize("version", VERSIONS)
async def test_with_tools_of_the_suite_their_checks_succeed_too(
    suite: NodeProgram, version: str, tmp_path: Path
) -> None:
    async with serving_suite_tools(tmp_path / "home") as its_url:
        short = await anyio.to_thread.run_sync(run, suite, its_url, version, tmp_path)
    assert_as_listed(short, listed(version, without=SERVED_WITH_SUITE_TOOLS))


def test_every_row_has_a_reason_and_speaks_of_versions_that_are_run() -> None:
    assert {row.section for row in rows()} == {"Does not apply", SERVED_WITH_SUITE_TOOLS}
    for row in rows():
        assert row.reason
        assert row.checks
        assert {check.version for check in row.checks} <= set(VERSIONS)
