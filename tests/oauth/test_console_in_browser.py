"""In a real browser, with its rules for cookies: from a link to the page, by way of the provider."""

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.clients.node import node_program
from tests.console.test_browser import SCRIPT, chromium
from tests.oauth.conftest import IDENTITY
from tests.oauth.provider import Provider
from tests.oauth.test_console_sign_in import ANA, CONSOLE
from tests.processes import copy_shipped_policies, serving

pytestmark = [pytest.mark.process, pytest.mark.node, pytest.mark.timeout(120)]


def test_a_person_signs_in_with_the_provider_by_keyboard_and_without_scripts(issuer: Provider, tmp_path: Path) -> None:
    browser, program = chromium(), node_program("node")
    policies = copy_shipped_policies(tmp_path / "policies")
    (policies / "identity.toml").write_text(
        IDENTITY.replace("role:lead", "role:support_lead").format(resource=f"{issuer.console}/mcp", issuer=issuer.url)
    )
    with (policies / "identity.toml").open("a") as file:
        file.write(CONSOLE.replace('{ env = "REMIT_CONSOLE_CLIENT" }', f'{{ file = "{tmp_path}/secret" }}'))
    (tmp_path / "secret").write_text("not-a-secret\n")
    issuer.signs_in("ana")
    arguments = ("--policies", str(policies))
    with serving(tmp_path / "home", *arguments, port=urlsplit(issuer.console).port):
        said: dict[str, object] = {
            "task": "signInWith",
            "url": issuer.console,
            "path": "/console/roles",
            "link": "Sign in with Larkspur",
        }
        said |= {"chromium": browser, "javascript": False}
        done = program.run(str(SCRIPT), json.dumps(said), home=tmp_path, timeout=100)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    # The page in between is left before its icon has come.
    noise = [each for each in seen["noise"] if not each.startswith(f"{issuer.console}/console/static/")]
    assert (seen["who"], noise) == (ANA, [])
