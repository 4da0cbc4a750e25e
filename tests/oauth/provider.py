"""A certified OpenID provider (npm `oidc-provider`) on a loopback port, and getting tokens from it."""

import base64
import hashlib
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from tests.clients.node import node_program
from tests.processes import PATIENCE_SECONDS, clean, free_port

SCRIPT = Path(__file__).parents[1] / "node" / "provider.mjs"
SECRET = "not-a-secret"
CALLBACK = "http://127.0.0.1/callback"
_TRUST = httpx.create_ssl_context()
"""Made once: a client makes one of its own otherwise, which takes longer than what it then does here."""


@dataclass(frozen=True)
class Provider:
    """The provider."""

    url: str
    console: str
    """The console's address, to which its client `console` takes people back."""

    def rotate(self) -> None:
        """Give it a new signing key; the former one is no longer published."""
        httpx.post(f"{self.url}/test/rotate", verify=_TRUST).raise_for_status()

    def signs_in(self, person: str) -> None:
        """Say who signs in from now on."""
        httpx.post(f"{self.url}/test/person/{person}", verify=_TRUST).raise_for_status()

    def keys(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/jwks", verify=_TRUST).json()["keys"]
        return found

    def of_client(self, client: str, resource: str, scope: str = "", **headers: str) -> str:
        """A client's own token."""
        form = {"grant_type": "client_credentials", "resource": resource, **({"scope": scope} if scope else {})}
        token: str = self._got(self._post("token", form, (client, SECRET), headers))["access_token"]
        return token

    def of_person(self, person: str, resource: str, scope: str = "", client: str = "desktop") -> str:
        """A person's token, by authorization code with PKCE."""
        token: str = self.signed_in(person, resource, scope, client)["access_token"]
        return token

    def signed_in(self, person: str, resource: str, scope: str = "", client: str = "desktop") -> dict[str, Any]:
        """Everything that a client gets when a person signs in."""
        self.signs_in(person)
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {"client_id": client, "response_type": "code", "redirect_uri": CALLBACK, "resource": resource}
        asked |= {"code_challenge": challenge, "code_challenge_method": "S256", "scope": f"openid {scope}".strip()}
        code = parse_qs(urlsplit(self.sign_in(f"{self.url}/auth?{urlencode(asked)}")).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "client_id": client}
        form |= {"code_verifier": verifier, "resource": resource}
        return self._got(self._post("token", form, None, {}))

    def sign_in(self, url: str) -> str:
        """Follow an authorization request as a browser does; give the address that it leads back to."""
        with httpx.Client(verify=_TRUST) as browser:
            for _ in range(10):
                if not url.startswith(self.url):
                    return url
                answer = browser.get(url)
                assert answer.is_redirect, answer.text
                url = str(answer.headers["location"])
                url = f"{self.url}{url}" if url.startswith("/") else url
        raise AssertionError(f"the provider sends people in circles: {url}")

    def revoke(self, token: str, client: str = "desktop") -> None:
        auth = (client, SECRET) if client == "triage-bot" else None
        form = {"token": token, **({} if auth else {"client_id": client})}
        self._post("token/revocation", form, auth, {}).raise_for_status()

    def _post(
        self, path: str, form: dict[str, str], client: tuple[str, str] | None, headers: dict[str, str]
    ) -> httpx.Response:
        return httpx.post(f"{self.url}/{path}", data=form, auth=client, headers=headers, verify=_TRUST)

    @staticmethod
    def _got(answer: httpx.Response) -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@contextmanager
def provider(folder: Path) -> Iterator[Provider]:
    """Run the provider until the block ends; without Node the test is skipped, or fails in CI."""
    program = node_program("node")
    port, console = free_port(), f"http://127.0.0.1:{free_port()}"
    node = shutil.which("node", path=program.path)
    log = folder / "provider.log"
    command = [str(node), str(SCRIPT), str(port), f"{console}/console/sign-in/back/staff"]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=clean()) as process:
        try:
            _wait(f"http://127.0.0.1:{port}/jwks", process, log)
            yield Provider(f"http://127.0.0.1:{port}", console)
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the provider stopped: {log.read_text()}")
        try:
            if httpx.get(url, timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the provider did not get ready: {log.read_text()}")
