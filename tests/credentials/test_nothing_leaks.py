"""A secret is in nothing that the gateway writes, keeps or answers, even if the server behind repeats it everywhere."""

import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from connectors.credentials import HIDDEN, Access
from gateway.cli import app
from tests.credentials.endpoint import CLIENT, CLIENT_SECRET, token_endpoint
from tests.credentials.guarded import Guarded, serving
from tests.gateway.test_approvals_process import call
from tests.gateway.test_http import META
from tests.processes import free_port
from tests.processes import serving as serving_remit
from tests.upstream.conftest import RULES, Upstream

WHO = "ana@larkspur.example"
TOKEN = 'mark/er+4f1d"0e7b-9a%c3'
PASSWORD, REFRESH = "pass/wörd+77ab01", "refresh/77ab01fe"
EVERYWHERE = '{{"say": "{0}"}} and {0}, Basic {0}'


def spellings(secret: str) -> Iterator[bytes]:
    access = Access("up", "larkspur", None, 1, SecretStr(secret))
    yield from (each.encode() for each in access._spellings)
    yield secret.encode("latin-1")


def files(home: Path) -> list[bytes]:
    return [path.read_bytes() for path in home.rglob("*") if path.is_file()]


def leaks(secrets: list[str], *texts: bytes | str) -> list[bytes]:
    looked_at = [each.encode() if isinstance(each, str) else each for each in texts]
    return [each for secret in secrets for each in spellings(secret) if any(each in text for text in looked_at)]


async def remit(home: Path, *arguments: str, given: str = "") -> str:
    """What a command says, wherever it says it."""

    def run() -> str:
        ended = CliRunner().invoke(app, [*arguments, "--home", str(home)], input=given, env={"COLUMNS": "300"})
        return f"{ended.output}{ended.exception or ''}"

    return await anyio.to_thread.run_sync(run)


@pytest.mark.process
async def test_a_whole_gateway_says_and_keeps_no_secret(up: Upstream, home: Path, policies: Path) -> None:
    (policies / "rules.csv").write_text(f"{RULES}p, I1, role:auditor, *, , deny, only looks\n")
    (policies / "roles.csv").write_text(
        f"g, person:{WHO}, role:agent, larkspur\ng, person:ina, role:auditor, larkspur\n"
    )
    (policies / "approvers.csv").write_text("viewer, role:auditor, journal, larkspur\n")
    guarded = Guarded(free_port(), {f"Bearer {TOKEN}"}, words=EVERYWHERE)
    guarded.declare(up)
    written = [await remit(home, "credentials", "set", "up", "--as", "person:rosa", given=f"{TOKEN}\n")]
    own = (await remit(home, "token", "create", "--person", WHO)).splitlines()[-1]
    console = (await remit(home, "token", "create", "--person", "ina", "--console")).splitlines()[-1]

    def use(url: str) -> Iterator[str]:
        for tool in ("up_echo", "up_fail", "up_look", "up_write"):
            yield json.dumps(call(f"{url}/mcp", own, tool, {}))
        guarded.forbidden = {f"Bearer {TOKEN}"}
        yield json.dumps(call(f"{url}/mcp", own, "up_echo", {}))
        headers = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {own}"}
        headers |= {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/list"}
        listed = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
        yield httpx.post(f"{url}/mcp", json=listed, headers=headers, timeout=30).text
        yield from pages(url, console)
        yield httpx.get(f"{url}/readyz", timeout=30).text

    async with serving(guarded):
        process = serving_remit(home, "--policies", str(policies))
        served = await anyio.to_thread.run_sync(process.__enter__)
        try:
            answers = await anyio.to_thread.run_sync(lambda: list(use(served.url)))
        finally:
            await anyio.to_thread.run_sync(process.__exit__, None, None, None)
    assert ("Bearer " + TOKEN, "echo") in guarded.calls
    assert HIDDEN in answers[0]
    assert HIDDEN in answers[1]
    assert "up_echo" in answers[-2]
    written += answers
    for command in (
        ("credentials", "list"),
        ("doctor",),
        ("journal", "list"),
        ("journal", "export"),
        ("upstream", "review"),
    ):
        written.append(await remit(home, *command))
    assert "up of larkspur" in written[-4]
    assert len(written[-2]) > 1_000
    kept = files(home)
    assert len(kept) > 5
    assert not leaks([TOKEN], *written, *kept)


def pages(url: str, console: str) -> Iterator[str]:
    """What the console shows of the journal and its calls."""
    with httpx.Client(base_url=url, follow_redirects=True, timeout=30) as browser:
        signed_in = browser.post("/console/sign-in", data={"token": console}, headers={"Origin": url})
        assert signed_in.status_code == 200
        for page in ("/console/", "/console/journal"):
            yield browser.get(page).text


async def test_secrets_of_oauth_are_in_no_message_even_if_the_endpoint_repeats_them(
    up: Upstream, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with token_endpoint() as endpoint:
        endpoint.down, endpoint.refresh = True, REFRESH
        command = ["credentials", "set", "up", "--kind", "refresh", "--token-url", endpoint.url, "--client-id", CLIENT]
        said = [await remit(home, *command, "--as", "person:rosa", given=f"{CLIENT_SECRET}\n{REFRESH}\n")]
        guarded = Guarded(free_port(), set())
        guarded.declare(up)
        async with serving(guarded):
            said.append(await remit(home, "upstream", "review"))
        said += [await remit(home, "credentials", "list"), await remit(home, "doctor")]
    assert "503 `server_error`" in said[2]
    kept = files(home)
    assert not leaks([CLIENT_SECRET, REFRESH], *said, *kept, *capfd.readouterr())


@pytest.mark.parametrize("secret", [TOKEN, PASSWORD, REFRESH, 'quo"te\\back', "plain-token-0"])
@pytest.mark.parametrize("user", ["", "remit"])
def test_a_secret_is_hidden_in_every_likely_spelling(secret: str, user: str) -> None:
    access = Access("up", "larkspur", None, 1, SecretStr(secret), user)
    basic = b64encode(f"{user}:{secret}".encode()).decode() if user else ""
    said: Any = {
        secret: [secret, {"in": json.dumps({"a": secret})}, 7, None, True],
        "url": f"https://x.example/?t={secret}&u={httpx.QueryParams({'t': secret})}",
        "header": access.header(),
        "basic": basic,
        "base64": b64encode(secret.encode()).decode(),
    }
    kept = json.dumps(access.hide_in(said), ensure_ascii=False)
    assert not leaks([secret], kept)
    assert not basic or basic not in kept
    assert access.hide_in(said)["url"].startswith("https://x.example/?t=[credential]&u=")


def test_what_is_no_secret_stays() -> None:
    access = Access("up", "larkspur", None, 1, SecretStr(TOKEN))
    said = {"a": ["nothing", 1, 2.5, None, {"b": True}], "c": "mark/er"}
    assert access.hide_in(said) == said


def test_neither_access_nor_its_parts_show_themselves() -> None:
    access = Access("up", "larkspur", None, 1, SecretStr(TOKEN), "remit")
    assert TOKEN not in f"{access!r} {access!s} {access.secret}"
