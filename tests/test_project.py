"""What holds for the project as a whole: its documents, its package, its layout."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import cast

import pytest
from typer import Context
from typer.core import TyperGroup
from typer.main import get_command

from gateway.cli import app
from gateway.settings import Settings
from tests.processes import as_given

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "policies/README.md",
]


def test_every_setting_is_documented_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE))
    assert set(rows) == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, bool):
            assert rows[name] == str(field.default).lower()
        elif isinstance(field.default, int | float):
            assert float(rows[name]) == field.default


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_path_in_the_documents_exists(page: Path) -> None:
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("http")]
    named = re.findall(r"`((?:gateway|connectors|orchestrator|policies|tests|docs|examples)/[\w./-]*\w/?)`", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [path for path in named if "AREA" not in path and not (ROOT / path).exists()]
    assert not missing


def test_the_architecture_names_every_module_of_data_flow_and_no_other() -> None:
    [paragraph] = re.findall(
        r"^In `gateway/flow/`.*?\n\n", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE | re.DOTALL
    )
    modules = {path.name for path in (ROOT / "gateway/flow").glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"`(\w+\.py)`", paragraph)) == modules


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_the_documents_name_exists(page: Path) -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)::([^`]*)`", page.read_text()))
    assert not [
        f"{path}::{name}"
        for path, name in named
        if not (ROOT / path).exists()
        or not re.search(rf"^(async )?def {re.escape(name)}\(", (ROOT / path).read_text(), re.MULTILINE)
    ]


def test_every_capability_has_a_row_with_a_test_or_a_command_that_exists() -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \| (.+) \|$", (ROOT / "docs/capabilities.md").read_text(), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 25))
    assert not [shown for _, shown in rows if "`tests/" not in shown]
    remit = cast("TyperGroup", get_command(app))
    known = set(remit.list_commands(Context(remit)))
    named = {name for _, shown in rows for name in re.findall(r"`remit (\w+)", shown)}
    assert named <= known


def test_every_attack_of_the_security_page_has_a_test_and_a_twin() -> None:
    attacks = re.findall(r"^\| \*\*.*$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)
    assert len(attacks) >= 25
    assert not [row for row in attacks if not re.search(r"\| A(, T)? `tests/.*\| (MCP|ASI)\d\d", row)]
    assert not [row for row in attacks if " T `tests/" not in row]


@pytest.mark.timeout(180)
def test_the_wheel_holds_the_three_packages_and_the_policy_files_and_nothing_else(tmp_path: Path) -> None:
    uv = ROOT / ".bootstrap/bin/uv"
    build = [str(uv), "build"] if uv.exists() else [sys.executable, "-m", "build"]
    command = [*build, "--wheel", "--out-dir", str(tmp_path), str(ROOT)]
    built = subprocess.run(command, check=False, capture_output=True, text=True, env=as_given())
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("*.whl")
    names = [Path(name) for name in zipfile.ZipFile(wheel).namelist()]
    assert {name.parts[0] for name in names if ".dist-info" not in name.parts[0]} == {
        "gateway",
        "connectors",
        "orchestrator",
        "policies",
    }
    for needed in (
        "policies/rules.csv",
        "policies/roles.csv",
        "policies/model.conf",
        "gateway/cli/__init__.py",
        "gateway/console/templates/question.html",
        "gateway/console/static/console.css",
    ):
        assert Path(needed) in names
    assert not [name for name in names if "__pycache__" in name.parts or "node_modules" in name.parts]
