"""A gateway or a console for an adversary: those of the other tests."""

from pathlib import Path
from typing import Any

import pytest

from gateway.settings import SHIPPED_POLICIES
from tests.console.conftest import site, site_on_each
from tests.gateway.conftest import database, entries, home, kept, opened
from tests.gateway.test_approvals import APPROVERS, ROLES, RULES, Till

__all__ = ["database", "entries", "home", "kept", "opened", "site", "site_on_each"]


@pytest.fixture
def database_url() -> str:
    """A file in the home: what is attacked here is the same on either database."""
    return ""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "model.conf").write_text((SHIPPED_POLICIES / "model.conf").read_text())
    (folder / "roles.csv").write_text(ROLES + "g, person:tom@larkspur.example, role:agent, larkspur\n")
    (folder / "rules.csv").write_text(RULES)
    (folder / "approvers.csv").write_text(APPROVERS)
    return folder


@pytest.fixture
def till() -> Any:
    return Till()
