"""An issuer's answer is taken only where it is small, JSON and its own; a token is asked about at its address alone."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import pytest

from gateway.oauth.fetching import MAX_ANSWER, NotFound, get_json
from gateway.oauth.keys import Keys
from gateway.oauth.own import OwnTokens
from gateway.oauth.refusals import BadToken, IssuerUnavailable
from gateway.oauth.verifying import Verifier
from tests.oauth.forging import signed
from tests.oauth.issuing import IDENTITY, KEYS, NoStaticTokens, Time, claims, policy_of, published
from tests.processes import free_port

ASKING = '\n[issuers.staff.introspection]\nclient_id = "gateway"\nsecret = { env = "TEST_SECRET" }\nof = "jwt"\n'


class Answers(ThreadingHTTPServer):
    """Answers by path, and keeps what it was asked."""

    daemon_threads = True
    bodies: dict[str, tuple[int, bytes]]
    asked: list[tuple[str, str, str]]


class _Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length", 0))
        told = self.rfile.read(length).decode()
        self.server.asked.append((self.path, self.headers.get("authorization", ""), told))
        status, body = self.server.bodies.get(self.path, (404, b"{}"))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", body.decode())
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, *_: Any) -> None:
        return None


@contextmanager
def answering(bodies: dict[str, Any]) -> Iterator[tuple[str, Answers]]:
    server = Answers(("127.0.0.1", free_port()), _Handler)
    server.bodies = {
        path: body if isinstance(body, tuple) else (200, json.dumps(body).encode()) for path, body in bodies.items()
    }
    server.asked = []
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_an_answer_that_is_no_small_json_object_of_that_address_is_not_taken() -> None:
    bodies: dict[str, Any] = {
        "/good": {"a": 1},
        "/elsewhere": (302, b"/good"),
        "/list": [1],
        "/words": (200, b"hello"),
        "/deep": (200, b"[" * 100_000),
        "/large": (200, b'{"a": "' + b"x" * MAX_ANSWER + b'"}'),
        "/broken": (500, b"{}"),
    }
    with answering(bodies) as (url, _):
        assert await get_json(f"{url}/good") == {"a": 1}
        for path in bodies.keys() - {"/good"}:
            with pytest.raises(IssuerUnavailable):
                await get_json(url + path)
        with pytest.raises(NotFound):
            await get_json(f"{url}/nothing")
    with pytest.raises(IssuerUnavailable, match="cannot be reached"):
        await get_json(f"{url}/good")


@pytest.mark.parametrize(
    ("told", "good"),
    [
        ({"active": True}, True),
        ({"active": True, "sub": "ana", "jti": "j1"}, True),
        ({"active": False}, False),
        ({"active": "true"}, False),
        ({}, False),
        ({"active": True, "sub": "maya"}, False),
        ({"active": True, "jti": "another"}, False),
        ({"active": True, "iss": "https://evil.example"}, False),
        ({"active": True, "exp": 1}, False),
        ({"active": True, "aud": "https://other.example/mcp"}, False),
        ({"active": True, "token_type": "refresh_token"}, False),
    ],
)
async def test_a_jwt_that_is_good_here_counts_only_while_its_issuer_says_so(
    told: dict[str, Any], good: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_SECRET", "s3cret")
    with answering({"/keys": published(*KEYS.values())}) as (url, server):
        metadata = {"issuer": url, "jwks_uri": f"{url}/keys", "introspection_endpoint": f"{url}/introspect"}
        server.bodies["/.well-known/openid-configuration"] = 200, json.dumps(metadata).encode()
        server.bodies["/introspect"] = 200, json.dumps(told).encode()
        policy = policy_of(IDENTITY.replace("https://id.larkspur.example", url) + ASKING)
        verifying = Verifier(NoStaticTokens(), lambda: policy, OwnTokens(bytes(32)), Time(), Keys)
        token = signed(claims(iss=url), KEYS["ES256"], alg="ES256", kid="ec")
        if good:
            assert (await verifying.verify(token)).principal.person == "ana"
        else:
            with pytest.raises(BadToken):
                await verifying.verify(token)
        path, authorization, body = server.asked[-1]
        assert (path, parse_qs(body)["token"]) == ("/introspect", [token])
        assert authorization.startswith("Basic ")
