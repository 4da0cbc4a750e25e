"""Identity providers: whether their tokens can be verified, and people sent to them."""

from collections.abc import Sequence

import anyio
import anyio.to_thread

from connectors.mcp_upstream.declaration import BadUpstream
from gateway.doctor.finding import Finding, ok, wrong
from gateway.oauth.checking import obstacles
from gateway.policy.files.identity import Issuer
from gateway.policy.lint.lint import check_folder
from gateway.settings import Settings
from gateway.upstream.catalogue import known_tools
from gateway.visible_text import visible

_LONGEST = 300


async def issuers(settings: Settings) -> Sequence[Finding]:
    """Each issuer of `identity.toml`: its metadata, its keys, and what else it is asked for."""
    try:
        tools = known_tools(settings)
    except BadUpstream:
        return []  # Told of elsewhere, like a policy folder that cannot be loaded.
    loaded, _ = await anyio.to_thread.run_sync(check_folder, settings.policies, tools)
    found: list[Finding] = []
    async with anyio.create_task_group() as tasks:
        for name, issuer in (loaded.identity.issuers if loaded and loaded.identity else {}).items():
            tasks.start_soon(_look, name, issuer, found)
    return sorted(found, key=lambda finding: finding.about)


async def _look(name: str, issuer: Issuer, found: list[Finding]) -> None:
    about = f"issuer {name}"
    if stands_in_the_way := await obstacles(issuer):
        told = visible("; ".join(stands_in_the_way))[:_LONGEST]
        found.append(wrong(about, told, "until then its tokens are refused; docs/sign-in.md says what it must offer"))
    else:
        found.append(ok(about, f"`{issuer.issuer}` answers, and its tokens can be verified"))
