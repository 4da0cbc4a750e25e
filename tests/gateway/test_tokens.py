"""Static tokens: shown once, kept as hashes, refused when expired or revoked."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.database import Database
from gateway.identity import StaticTokenVerifier, access_of
from gateway.principal import Principal
from gateway.tokens import Tokens

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
TRIAGE_FOR_ANA = Principal("larkspur", person="ana.ruiz@larkspur.example", agent="triage")


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def tokens(database: Database) -> Tokens:
    return Tokens(database)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(tokens: Tokens, clock: Callable[[], datetime]) -> StaticTokenVerifier:
    return StaticTokenVerifier(tokens, clock)


def create(tokens: Tokens, days: int = 30) -> tuple[str, str]:
    secret, token = tokens.create(TRIAGE_FOR_ANA, NOW, NOW + timedelta(days=days))
    return secret, token.id


def test_the_secret_is_kept_nowhere(tmp_path: Path) -> None:
    secret, _ = create(Tokens(Database.in_file(tmp_path / "remit.db")))
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"triage" in stored
    assert secret.encode() not in stored
    assert secret.removeprefix("remit_").encode() not in stored


async def test_a_good_token_names_tenant_person_and_agent(tokens: Tokens, verifier: StaticTokenVerifier) -> None:
    secret, token_id = create(tokens)
    access = await verifier.verify(secret)
    assert access is not None
    assert access.token == token_id
    assert access.principal == TRIAGE_FOR_ANA
    assert (access.issuer, access.scopes, access.key) == ("", None, "")


@pytest.mark.parametrize("secret", ["", "remit_", "remit_wrong", "x" * 10_000, "\x00", "\udcff"])
async def test_an_unknown_token_is_refused(verifier: StaticTokenVerifier, secret: str) -> None:
    assert await verifier.verify(secret) is None


async def test_an_expired_token_is_refused_even_if_it_was_good_a_moment_ago(
    tokens: Tokens, verifier: StaticTokenVerifier, clock: Clock
) -> None:
    secret, _ = create(tokens, days=1)
    clock.time = NOW + timedelta(days=1, seconds=-1)
    assert await verifier.verify(secret)
    clock.time = NOW + timedelta(days=1)
    assert await verifier.verify(secret) is None


async def test_a_revoked_token_is_refused_within_five_seconds(
    tokens: Tokens, verifier: StaticTokenVerifier, clock: Clock
) -> None:
    secret, token_id = create(tokens)
    assert await verifier.verify(secret)
    assert tokens.revoke(token_id, NOW)
    clock.time = NOW + timedelta(seconds=5)
    assert await verifier.verify(secret) is None


def test_revoking_twice_or_a_token_that_never_was_says_so(tokens: Tokens) -> None:
    _, token_id = create(tokens)
    assert tokens.revoke(token_id, NOW)
    assert not tokens.revoke(token_id, NOW)
    assert not tokens.revoke("tok_never", NOW)


def test_an_unauthenticated_user_is_nobody() -> None:
    assert access_of(None) is None
    assert access_of(object()) is None
