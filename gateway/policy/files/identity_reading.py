"""Reads `identity.toml` strictly: what is unknown, of a wrong type or clashes is told with place and suggestion."""

import json
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from connectors.contract import Effect
from gateway.policy.files.identity import (
    ANY_CLIENT,
    FILE,
    OWN,
    Algorithm,
    ConsoleClient,
    Exchange,
    GivenRoles,
    Identity,
    Introspection,
    Issuer,
    Person,
    Secret,
    TenantClaim,
    clashes,
    every_tenant,
)
from gateway.policy.files.roles import ANY_TENANT, EVERYONE, role_mistake, tenant_mistake
from gateway.policy.files.toml_places import place_of
from gateway.policy.language import patterns
from gateway.policy.problem import Problem, suggest

_TABLES: Mapping[str, type[BaseModel]] = {
    "person": Person,
    "tenant": TenantClaim,
    "roles": GivenRoles,
    "introspection": Introspection,
    "secret": Secret,
    "console": ConsoleClient,
    "exchange": Exchange,
}
_AT = re.compile(r"\(at line (\d+), column (\d+)\)")
_Path = tuple[str, ...]


def read_identity(text: str, tools: Collection[str], problems: list[Problem]) -> Identity | None:
    """Read the file's text; every mistake is added to `problems`.

    Args:
        text: The text.
        tools: The names of all tools.
        problems: Where mistakes go.

    Returns:
        What it says; None if that cannot be used.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = _AT.search(str(error))
        line, column = (int(found[1]), int(found[2])) if found else (1, 1)
        told = _AT.sub("", str(error)).strip()
        problems.append(Problem(FILE, line, column, f"the file is not TOML: {told[:1].lower()}{told[1:]}"))
        return None
    if not data:
        return None  # comments alone
    try:
        # By way of JSON, so that strict types still accept a list for a tuple.
        identity = Identity.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        found_wrong = error.errors(include_url=False, include_input=False, include_context=False)
        problems.extend(dict.fromkeys(_misfit(text, data, each) for each in found_wrong))
        return None
    mistakes = [*_mistakes(identity, tools)]
    problems.extend(_problem(text, path, message) for path, message in mistakes)
    return None if mistakes else identity


def unknown_roles(identity: Identity, text: str, known: Collection[str]) -> Iterator[Problem]:
    """Roles that claims give and that nothing else mentions: most likely misspelt.

    Args:
        identity: What the file says.
        text: The file's text.
        known: The roles that rules speak of, or `roles.csv` gives something to.
    """
    for path, role in _given(identity):
        if role not in known:
            near = suggest(role.removeprefix("role:"), (each.removeprefix("role:") for each in known), prefix="role:")
            yield _problem(text, path, f"no rule speaks of `{role}`{near}")


def _given(identity: Identity) -> Iterator[tuple[_Path, str]]:
    for name, issuer in identity.issuers.items():
        for value, role in issuer.roles.give.items() if issuer.roles else ():
            yield ("issuers", name, "roles", "give", value), role


def _mistakes(identity: Identity, tools: Collection[str]) -> Iterator[tuple[_Path, str]]:
    yield from _scope_mistakes(identity, tools)
    for name, issuer in identity.issuers.items():
        if name == OWN:
            yield ("issuers", name), f"`{OWN}` is what the journal calls this gateway: choose another name"
        yield from ((("issuers", name, *path), message) for path, message in _issuer_mistakes(issuer, identity))
    for name, _, why in clashes(identity.issuers):
        yield ("issuers", name), why
    for path, role in _given(identity):
        if message := role_mistake(role) or (f"`{EVERYONE}` is had by everyone" if role == EVERYONE else ""):
            yield path, message
    if identity.exchange:
        yield from _exchange_mistakes(identity.exchange, identity)


def _scope_mistakes(identity: Identity, tools: Collection[str]) -> Iterator[tuple[_Path, str]]:
    effects = [effect.value for effect in Effect]
    for scope, opened in identity.scopes.items():
        for each in opened:
            if each not in effects and (message := patterns.mistake(each, [*tools, *effects])):
                yield ("scopes", scope), message


def _issuer_mistakes(issuer: Issuer, identity: Identity) -> Iterator[tuple[_Path, str]]:
    for path, tenant in every_tenant(issuer):
        if message := tenant_mistake(tenant) or ("name one tenant" if tenant == ANY_TENANT else ""):
            yield path, message
    for client, acting in issuer.clients.items():
        if client == ANY_CLIENT and acting.endswith(" alone"):
            yield ("clients", client), "an agent that acts for nobody is a client that is named, not every other one"
        if issuer.person is None and not acting.endswith(" alone"):
            yield ("clients", client), f"`{acting}` needs `[…person]`, or write `agent:NAME alone`"
    if issuer.console:
        yield from _console_mistakes(issuer, issuer.console.client_id, identity.resource)


def _console_mistakes(issuer: Issuer, client: str, resource: str) -> Iterator[tuple[_Path, str]]:
    if issuer.person is None:
        yield ("console",), "only people sign in to the console: it needs `[…person]`"
    if client in issuer.clients:
        yield ("console", "client_id"), f"`{client}` makes calls: the console needs a client of its own"
    if client in {issuer.audience, resource}:
        yield ("console", "client_id"), f"tokens for calls are for `{client}`: the console needs a client of its own"


def _exchange_mistakes(exchange: Exchange, identity: Identity) -> Iterator[tuple[_Path, str]]:
    named = {
        acting.removesuffix(" alone") for issuer in identity.issuers.values() for acting in issuer.clients.values()
    }
    for agent, bringing in exchange.agents.items():
        for each in bringing:
            if each != "person" and each not in named | {f"agent:{other}" for other in exchange.agents}:
                near = suggest(each, named)
                yield ("exchange", "agents", agent), f"no client is `{each}`{near}"


def _misfit(text: str, data: Mapping[str, Any], found: Any) -> Problem:  # noqa: ANN401 - pydantic's error
    path = _within(data, found["loc"])
    message = str(found["msg"]).removeprefix("Value error, ")
    if found["type"] == "extra_forbidden":
        name = str(found["loc"][-1])
        message = f"unknown key `{name}`{suggest(name, _keys_of(path[:-1])) or _there_are(_keys_of(path[:-1]))}"
    elif found["type"] == "missing":
        message = f"`{found['loc'][-1]}` is missing"
    elif found["type"] == "literal_error" and path[-1:] == ("algorithms",):
        message = f"`algorithms`: only signatures that nobody but the issuer can make: {', '.join(get_args(Algorithm))}"
    elif found["type"] == "model_type" and path[-1:] == ("secret",):
        message = 'a secret never stands in this file: write `{ env = "NAME" }` or `{ file = "PATH" }`'
    else:
        message = f"`{path[-1]}`: {message[:1].lower()}{message[1:]}" if path else message
    return _problem(text, path, message)


def _within(data: Any, location: Sequence[object]) -> _Path:  # noqa: ANN401 - parsed TOML
    """The keys of a location that the file has: pydantic also names the members of unions there."""
    path: list[str] = []
    for part in location:
        if isinstance(data, dict) and isinstance(part, str) and part in data:
            path.append(part)
            data = data[part]
    return tuple(path)


def _keys_of(table: _Path) -> Iterable[str]:
    """The keys that there are in the table around an unknown one."""
    if not table:
        return Identity.model_fields
    if table[0] == "issuers" and len(table) == 2:
        return Issuer.model_fields
    return _TABLES[table[-1]].model_fields if table[-1] in _TABLES else ()


def _there_are(keys: Iterable[str]) -> str:
    return f": there are {', '.join(f'`{key}`' for key in keys)}" if keys else ""


def _problem(text: str, path: Sequence[str], message: str) -> Problem:
    return Problem(FILE, *place_of(text, path), message.replace("\n", " "))
