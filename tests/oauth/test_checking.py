"""Whoever sets an issuer up is told what keeps its tokens from being verified."""

import pytest
from joserfc.jwk import ECKey

from gateway.oauth.checking import obstacles
from tests.oauth.issuing import URL, Issuer, published, staff

ASKING = '\n[issuers.staff.introspection]\nclient_id = "gateway"\nsecret = { env = "TEST_SECRET" }\n'
CONSOLE = '\n[issuers.staff.console]\nclient_id = "console"\nsecret = { env = "TEST_SECRET" }\n'


async def test_an_issuer_that_can_be_used_has_no_obstacles(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await obstacles(staff(), Issuer().get) == ()
    monkeypatch.setenv("TEST_SECRET", "x")
    telling = Issuer()
    telling.metadata["introspection_endpoint"] = f"{URL}/introspect"
    assert await obstacles(staff(ASKING), telling.get) == ()


async def test_each_obstacle_is_told() -> None:
    assert await obstacles(staff(), Issuer(reachable=False).get) == ("nobody answers",)
    other = published(ECKey.generate_key("P-384"))
    assert await obstacles(staff(), Issuer(keys=other).get) == (
        "none of its 1 keys is for `algorithms`: RS256, ES256, Ed25519",
    )
    assert await obstacles(staff(ASKING), Issuer().get) == (
        "it cannot be asked about tokens: its metadata do not say where",
        "there is no secret in `TEST_SECRET`",
    )
    assert await obstacles(staff(CONSOLE), Issuer().get) == (
        "nobody can sign in to the console: its metadata do not say where",
        "nobody can sign in to the console: its metadata do not say where",
        "there is no secret in `TEST_SECRET`",
    )
    wrong = Issuer(metadata={"issuer": "https://evil.example"})
    assert await obstacles(staff(), wrong.get) == ("its metadata are those of `https://evil.example`",)
