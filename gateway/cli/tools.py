"""`remit tools`: what a principal sees."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from connectors.contract import Tool
from gateway.cli.options import As, Home, Policies, Tenant, principal_named
from gateway.policy.load import load_policy
from gateway.policy.narrowing.narrow import Narrower, Narrowing
from gateway.settings import load_settings
from gateway.upstream.catalogue import known_tools

_SAID_ELSEWHERE = frozenset({"title", "description", "default", "anyOf", "items", "type", "format", "pattern"})
_WORDS = {
    "const": "only {}",
    "enum": "one of {}",
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
}


def show_tools(
    as_: As = None,
    as_json: Annotated[bool, typer.Option("--json", help="As `tools/list` gives it.")] = False,
    home: Home = None,
    policies: Policies = None,
    tenant: Tenant = None,
) -> None:
    """Show the tools that a principal sees under the policy, and what the policy leaves it to do with them."""
    settings = load_settings(home=home, policies=policies, tenant=tenant, principal=as_)
    principal = principal_named(settings, "the list")
    tools = known_tools(settings)
    found = Narrower(load_policy(settings.policies, tools), tools).narrow(principal)
    seen = [tool for tool in tools if found[tool.name].possible]
    if as_json:
        from gateway.listing import described, narrowed  # the protocol's types: heavy, and only wanted here

        shown = (narrowed(described(tool), found[tool.name]) for tool in seen)
        listed = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in shown]
        typer.echo(json.dumps(listed, indent=2, ensure_ascii=False))
        return
    table = Table("tool", "effect", "what it does", title=f"{len(seen)} of {len(tools)} tools for {principal}")
    for tool in seen:
        lines = [escape(line) for line in (tool.description.splitlines()[0], *limits(tool, found[tool.name]))]
        table.add_row(tool.name, tool.effect, "\n- ".join(lines))
    Console().print(table)


def limits(tool: Tool, narrowing: Narrowing) -> Iterator[str]:
    """What a narrowing changes about a tool, a line each, such as `amount: at most 500`."""
    plain = tool.input.model_json_schema()
    for name, before in plain.get("properties", {}).items():
        after = narrowing.schema["properties"].get(name)
        if after is None:
            yield f"{name}: must be left out"
            continue
        told = [*_changed(before, after)]
        if name in narrowing.schema.get("required", ()) and name not in plain.get("required", ()):
            told.append("must be given")
        if told:
            yield f"{name}: {', '.join(told)}"
    yield from narrowing.words


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    old, new = _bare(before), _bare(after)
    for keyword, value in new.items():
        if keyword not in _SAID_ELSEWHERE and old.get(keyword) != value:
            values = value if isinstance(value, list) else [value]
            yield _WORDS.get(keyword, f"{keyword} {{}}").format(", ".join(map(str, values)))
    if old.get("items") != new.get("items"):
        yield from (f"each {told}" for told in _changed(old["items"], new["items"]))
    if (hint := after.get("description", "").removeprefix(before.get("description", ""))) != "":
        yield hint.strip().removeprefix("Policy: ").removesuffix(".")


def _bare(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a property that a given value must fit."""
    return {**schema, **next((choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"), {})}
