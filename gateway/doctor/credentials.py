"""What is wrong with credentials: which cannot be opened or have ended, and which can do more than the tools need."""

import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError

from connectors.declared import KINDS, read_declared
from connectors.embedded.schema import UnfitTables
from connectors.toml_files import BadFile
from connectors.vendor.kinds import Declared
from gateway.credentials.book import Listed, listed
from gateway.credentials.keys import KeySource, key_source
from gateway.credentials.table import CredentialTable
from gateway.doctor.finding import Finding, ok, warning, wrong
from gateway.home import utc_now
from gateway.settings import Settings
from gateway.upstream.catalogue import Pinned, read_pinned
from gateway.visible_text import visible

_SOON = timedelta(days=14)
_ABOUT = "credentials"


@dataclass(frozen=True)
class Wanted:
    """What a back end's credential is for.

    Args:
        scopes: Each scope that is needed, with the tools that need it; none of them if the file itself says so.
        is_complete: Whether every tool says which scopes it needs.
        personal: Whether people may have their own.
        tenants: Who must have one.
    """

    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_complete: bool = False
    personal: bool = False
    tenants: tuple[str, ...] = ()


async def credentials(settings: Settings) -> Sequence[Finding]:
    """Examine the credentials of an installation, showing and changing nothing."""
    return await anyio.to_thread.run_sync(lambda: list(_checked(settings)))


def _checked(settings: Settings) -> Iterator[Finding]:
    try:
        upstreams = _wanted(read_pinned(settings.upstreams_folder))
        wanted = {**upstreams, **_wanted_by_declared(read_declared(settings.back_ends_file))}
    except BadFile:
        wanted = None  # its own check says what is wrong
    source = key_source(settings)
    with settings.open_database() as database:
        try:
            found = list(listed(CredentialTable(database), source))
        except (SQLAlchemyError, UnfitTables):
            return  # Told of elsewhere, or there are none yet.
    yield from _key(source, settings, wanted=bool(found))
    for each in found:
        problems = list(_of(each, wanted, utc_now()))
        yield from problems or [ok(_about(each), _summary(each))]
    yield from _missing(found, wanted or {})


def _wanted(pinned: Pinned) -> Mapping[str, Wanted]:
    """What each upstream server's credential is for, by the tools that can be called."""
    found: dict[str, Wanted] = {}
    for server in pinned.servers:
        if server.credential is None:
            continue
        tools = {name: each for name, each in pinned.tools[server.name].items() if name not in pinned.withheld}
        needs: dict[str, list[str]] = {scope: [] for scope in server.credential.scopes}
        for name, tool in tools.items():
            for scope in tool.declared.scopes:
                needs.setdefault(scope, []).append(name)
        is_complete = bool(needs) and all(tool.declared.scopes or server.credential.scopes for tool in tools.values())
        scopes = {scope: tuple(names) for scope, names in needs.items()}
        tenants = tuple(dict.fromkeys((server.looks_as, *server.tenants)))
        found[server.name] = Wanted(scopes, is_complete, server.credential.personal, tenants)
    return found


def _wanted_by_declared(declared: Sequence[Declared]) -> Mapping[str, Wanted]:
    """What each declared back end's credential is for."""
    kinds = {kind.name: kind for kind in KINDS}
    found: dict[str, Wanted] = {}
    for each in declared:
        kind = kinds[each.kind]
        for name in each.all_shown if kind.shows else ():
            before = found.get(name, Wanted())
            scopes = {**before.scopes, **dict.fromkeys(kind.scopes, (f"{kind.area}_*",))}
            found[name] = Wanted(scopes, bool(scopes), personal=True, tenants=(*before.tenants, each.tenant))
    return found


def _key(source: KeySource, settings: Settings, *, wanted: bool) -> Iterator[Finding]:
    """Whether the key is well kept."""
    path = source.file
    if not wanted or path is None or not path.exists():
        return
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        told = f"others can read the key in `{path}`"
        yield wrong(_ABOUT, told, f"`chmod 600 {path}`, `remit credentials rekey` under a new key")
    is_beside = not settings.database_url.get_secret_value() and path.resolve().parent == settings.home.resolve()
    if is_beside:
        told = "the key lies beside the database that it protects: whoever copies the folder has both"
        yield warning(_ABOUT, told, "give `credentials_key`, `credentials_key_file` or `credentials_keyring`")


def _of(each: Listed, wanted: Mapping[str, Wanted] | None, now: datetime) -> Iterator[Finding]:
    about, place = _about(each), each.row.place
    anew = f"`remit credentials set {visible(place.back_end)}` anew"
    if each.content is None:
        yield wrong(about, f"it cannot be opened: {each.closed}", f"give the key that sealed it, or {anew}")
        return
    if each.row.trouble:
        yield wrong(about, f"it cannot be renewed: {each.row.trouble}", anew)
    yield from _ending(each, about, anew, now)
    if wanted is None:
        return
    if (needs := wanted.get(place.back_end)) is None:
        yield warning(about, "no back end shows it", f"`remit credentials remove {visible(place.back_end)}`")
        return
    if place.person and not needs.personal:
        yield warning(about, "it is a person's own, and the back end shows only the tenant's", "remove it")
    yield from _scopes(each, about, needs)


def _ending(each: Listed, about: str, anew: str, now: datetime) -> Iterator[Finding]:
    ends = each.content.expires_at if each.content else None
    if each.content is None or each.content.is_renewed or ends is None:
        return
    if ends <= now:
        yield wrong(about, f"it expired on {ends:%Y-%m-%d %H:%M} UTC", anew)
    elif ends - now < _SOON:
        yield warning(about, f"it expires on {ends:%Y-%m-%d %H:%M} UTC", anew)


def _scopes(each: Listed, about: str, needs: Wanted) -> Iterator[Finding]:
    content = each.content
    has = content.scopes if content and content.scopes is not None else content.asked if content else ()
    if not has:
        if needs.scopes:
            told = "which scopes it has is not known, so nobody can tell whether it can do more than the tools need"
            yield warning(about, told, "set it with `--scope` for each that it has")
        return
    for scope in sorted(needs.scopes.keys() - set(has)):
        tools = ", ".join(needs.scopes[scope]) or "every call"
        told = f"it lacks the scope `{visible(scope)}`, which {visible(tools)} needs"
        yield wrong(about, told, "grant it, or withhold the tools")
    more = sorted(set(has) - needs.scopes.keys())
    if more and (needs.is_complete or needs.scopes):
        names = ", ".join(f"`{visible(scope)}`" for scope in more)
        doubt = "" if needs.is_complete else ", as far as they say"
        told = f"it can do more than the tools need{doubt}: {names}"
        yield warning(about, told, "have it granted without")
    elif more:
        told = "no tool says which scopes it needs, so nobody can tell whether it can do more"
        yield warning(about, told, "say `scopes` in the server's file")


def _missing(found: Sequence[Listed], wanted: Mapping[str, Wanted]) -> Iterator[Finding]:
    there = {(each.row.place.back_end, each.row.place.tenant) for each in found if not each.row.place.person}
    for name, needs in wanted.items():
        for tenant in needs.tenants:
            if (name, tenant) not in there:
                told = f"`{name}` has no credential of the tenant `{visible(tenant)}`: its calls are refused"
                then = f"`remit credentials set {name} --tenant {visible(tenant)}`"
                yield wrong(_ABOUT, told, then)


def _about(each: Listed) -> str:
    return f"credential {visible(str(each.row.place))}"


def _summary(each: Listed) -> str:
    ends = each.content.expires_at if each.content and not each.content.is_renewed else None
    return f"{each.row.kind}, good" + (f" until {ends:%Y-%m-%d}" if ends else "")
