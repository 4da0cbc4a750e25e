"""A gateway or a console for an adversary: those of the other tests."""

from pathlib import Path
from typing import Any

import pytest

from tests.console.conftest import site, site_on_each
from tests.gateway.conftest import database, entries, home, kept, opened
from tests.gateway.test_approvals import APPROVERS, ROLES, RULES, Till
from tests.policies import policy_folder

__all__ = ["database", "entries", "home", "kept", "opened", "site", "site_on_each"]


@pytest.fixture
def database_url() -> str:
    """A file in the home: what is attacked here is the same on either database."""
    return ""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    roles = ROLES + "g, person:tom@larkspur.example, role:agent, larkspur\n"
    return policy_folder(tmp_path / "policies", roles=roles, rules=RULES, approvers=APPROVERS)


@pytest.fixture
def till() -> Any:
    return Till()
