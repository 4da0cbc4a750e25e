"""A gateway of its own for each test: real journal, real policy, real embedded back ends, in a temporary home."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.embedded.tenancy import EVERY_TENANT
from gateway.app import open_gateway
from gateway.database import Database
from gateway.gateway import Gateway
from gateway.journal import Entry, read_journal
from gateway.journal.personal import unlisted
from gateway.secret import naming_secret
from gateway.settings import Settings
from tests.gateway.journals import Kept
from tests.policies import policy_folder
from tests.sqlite import ready_home

ROLES = """\
g, person:ana@larkspur.example, role:agent, larkspur
g, person:ines@larkspur.example, role:auditor, larkspur
g, person:zoe@other.example, role:agent, other
g, agent:triage, role:triage, larkspur
"""
RULES = """\
p, A1, role:agent, crm_*, , allow, support works in the CRM
p, A2, role:agent, crm_issue_refund, args.amount > 50, ask, refunds above 50 need a second look
p, A3, role:agent, crm_issue_refund, args.amount > 500, deny, nobody refunds more than 500
p, A4, role:agent, ticket_*, , allow, support works on tickets
p, B1, role:auditor, crm_get_*, , allow, auditors read
p, C1, role:triage, crm_get_contact, , allow, triage looks customers up
p, C2, role:triage, crm_create_contact, , allow, triage adds customers
"""

SECRET = bytes(range(32))
"""Names calls and questions in tests, so that a test knows them beforehand."""
OpenGateway = Callable[..., AbstractAsyncContextManager[Gateway]]


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return policy_folder(tmp_path / "policies", roles=ROLES, rules=RULES)


@pytest.fixture
def for_its_owner_alone() -> Iterator[None]:
    """What is made is for its owner alone, as on the command line."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def database(home: Path, database_url: str) -> Iterator[Database]:
    with Settings(home=home, database_url=SecretStr(database_url)).open_database() as database:
        yield database


@pytest.fixture
def kept(home: Path, database_url: str) -> Iterator[Kept]:
    kept = Kept(home, database_url)
    yield kept
    kept.database.close()


@pytest.fixture
def opened(home: Path, policies: Path, database_url: str) -> OpenGateway:
    given = {"home": home, "policies": policies, "database_url": database_url}

    @asynccontextmanager
    async def open_(**settings: object) -> AsyncIterator[Gateway]:
        made = Settings(**{**given, **settings})  # type: ignore[arg-type]
        ready_home(made)
        with made.open_database() as database:
            naming_secret(database, lambda _bytes: SECRET)
        async with open_gateway(made) as gateway:
            yield gateway
        with made.open_database() as database:
            # Whoever adds a part to an entry says whether it is personal: unsaid, it is erased with the rest.
            assert not {name for entry in read_journal(database, EVERY_TENANT) for name in unlisted(entry.body)}

    return open_


@pytest.fixture
def entries(database: Database) -> Callable[[], list[Entry]]:
    return lambda: list(read_journal(database, EVERY_TENANT))
