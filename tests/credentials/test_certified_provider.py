"""Tokens of a certified provider (npm `oidc-provider`), got as the standards say."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.credentials.endpoint import NotRenewed, renew
from gateway.credentials.kinds import Content
from tests.oauth.provider import SECRET, provider

pytestmark = [pytest.mark.node, pytest.mark.process]


async def test_the_gateways_own_account_gets_the_scopes_that_it_asks_for_and_no_others(tmp_path: Path) -> None:
    with provider(tmp_path) as certified:
        given = {"kind": "client", "token_url": f"{certified.url}/token", "client_id": "triage-bot"}
        asked = {"scopes": ("remit.read",), "resource": "https://mail.example/mcp"}
        now = datetime.now(UTC)

        def content(**more: Any) -> Content:
            return Content.model_validate({"given": {**given, "client_secret": SECRET, **asked, **more}})

        got = await renew(content(), now)
        assert got.access is not None
        assert got.access.get_secret_value().count(".") == 2
        assert (got.scopes, got.expires_at) == (("remit.read",), now + timedelta(seconds=300))
        again = await renew(got, now)
        assert again.access != got.access
        other = await renew(content(scopes=("remit.read", "remit.delete")), now)
        assert other.scopes == ("remit.read",)
        assert (await renew(content(client_auth="post"), now)).access is not None
        with pytest.raises(NotRenewed, match="answered 401 `invalid_client`"):
            await renew(content(client_secret="wrong-secret"), now)
