"""Policy and upstream servers: what decides, and what is called."""

from collections.abc import Sequence

import anyio
import anyio.to_thread

from connectors.mcp_upstream.declaration import BadUpstream, Server
from gateway.doctor.finding import Finding, ok, warning, wrong
from gateway.policy.lint.lint import check_folder
from gateway.policy.problem import Severity
from gateway.settings import SHIPPED_POLICIES, Settings
from gateway.upstream.catalogue import Pinned, known_tools, read_pinned
from gateway.visible_text import visible

_PATIENCE_SECONDS = 15.0
_LONGEST = 200


async def policy(settings: Settings) -> Sequence[Finding]:
    """The policy folder, as `remit check` looks at it without proofs."""
    try:
        tools = known_tools(settings)
    except BadUpstream:
        return []  # Told of by `upstreams`.
    loaded, problems = await anyio.to_thread.run_sync(check_folder, settings.policies, tools)
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    if loaded is None or errors:
        return [wrong("policy", f"`{settings.policies}` has {errors} errors", "`remit check` names them")]
    told = f"`{settings.policies}`, {len(loaded.rules)} rules, version {loaded.version}"
    found = [ok("policy", told)]
    if problems:
        found.append(warning("policy", f"{len(problems)} things most likely not meant", "`remit check` names them"))
    if settings.policies == SHIPPED_POLICIES:
        found.append(warning("policy", "it is the shipped sample", "set `policies` to a folder of your own"))
    return found


async def upstreams(settings: Settings) -> Sequence[Finding]:
    """Each upstream server: reachable, and everything that it defines accepted or refused."""
    try:
        pinned = await anyio.to_thread.run_sync(read_pinned, settings.upstreams_folder)
    except BadUpstream as error:
        lines = str(error).splitlines()
        return [wrong("upstream", lines[0], "mend the file: a start is refused until then")]
    found: list[Finding] = []
    async with anyio.create_task_group() as tasks:
        for server in pinned.servers:
            tasks.start_soon(_look, server, pinned, found)
    return sorted(found, key=lambda finding: finding.about)


async def _look(server: Server, pinned: Pinned, found: list[Finding]) -> None:
    about = f"upstream {server.name}"
    if server.credential:
        # Nothing here opens what is sealed: an examination changes nothing, and opening may renew.
        found.append(ok(about, "not asked: it wants a credential, and `remit upstream review` reaches it with that"))
        return
    try:
        defined = await _defined(server)
    except Exception as error:  # noqa: BLE001 - whatever stands in the way is what is looked for
        then = "is it running, and are its file's command, URL and secrets right?"
        found.append(wrong(about, f"cannot be reached: {_reason(error)}", then))
        return
    pins = pinned.pins.get(server.name, {})
    waiting = [
        name
        for name, hash_ in defined.items()
        if name not in pins or (pins[name].hash != hash_ and hash_ not in pins[name].refused)
    ]
    if waiting:
        names = visible(", ".join(sorted(waiting)))[:_LONGEST]
        found.append(warning(about, f"{len(waiting)} definitions wait: {names}", "`remit upstream review`"))
    else:
        found.append(ok(about, f"reached; all {len(defined)} definitions are accepted or refused"))


async def _defined(server: Server) -> dict[str, str]:
    from connectors.mcp_upstream.client import connected  # heavy, and only wanted where there are servers

    with anyio.fail_after(_PATIENCE_SECONDS):
        async with connected(server, lambda: None) as connection:
            return {each.name: each.hash for each in await connection.definitions()}


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return visible(f"{type(error).__name__}: {error}")[:_LONGEST]
