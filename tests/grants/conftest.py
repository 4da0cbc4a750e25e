"""A gateway for grants: that of the gateway's own tests, on a file unless a module wants both databases."""

import pytest

from tests.gateway.conftest import database, entries, home, opened, policies

__all__ = ["database", "entries", "home", "opened", "policies"]


@pytest.fixture
def database_url() -> str:
    return ""
