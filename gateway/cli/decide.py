"""`remit decide`: what policy says to one call, and why."""

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from connectors.contract import Tool
from gateway.catalog import InvalidArguments, validate
from gateway.cli.options import As, Home, Policies, Tenant, principal_named
from gateway.home import utc_now
from gateway.policy.decision import Verdict
from gateway.policy.explaining.explain import explain
from gateway.policy.explaining.remedies import remedies
from gateway.policy.explaining.telling import as_data, told, told_remedies
from gateway.policy.language.flow import Flow
from gateway.policy.language.flow_written import assumed, parse_flow
from gateway.policy.language.history import History
from gateway.policy.load import load_policy
from gateway.policy.problem import suggest
from gateway.policy.testing.cases import parse_time
from gateway.settings import load_settings
from gateway.upstream.catalogue import known_tools

EXIT_STATUS = {Verdict.ALLOW: 0, Verdict.ASK: 3, Verdict.DENY: 4}


def decide(
    tool: Annotated[str, typer.Option(help="The tool that is called.")],
    as_: As = None,
    args: Annotated[str, typer.Option(metavar="JSON", help="Its input, as a caller would send it.")] = "{}",
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="When, such as 2026-03-02T09:30:00Z. [default: now]")
    ] = None,
    history: Annotated[
        str, typer.Option(metavar="JSON", help='What the run was allowed before: `[{"tool": …, "args": {…}}, …]`.')
    ] = "[]",
    flow: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Where values come from, such as origins.to=outsider,integrity=anyone."),
    ] = None,
    explained: Annotated[
        bool, typer.Option("--explain", help="Also tell every rule considered and what would have to change.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    home: Home = None,
    policies: Policies = None,
    tenant: Tenant = None,
) -> None:
    """Say what policy decides about one call, and why.

    What --flow leaves unsaid is as in a run that has seen nothing. Nothing is called.

    Exit status: 0 allow, 3 ask, 4 deny; 2 when the question itself is wrong.
    """
    settings = load_settings(home=home, policies=policies, tenant=tenant, principal=as_)
    principal = principal_named(settings, "the decision")
    known = {each.name: each for each in known_tools(settings)}
    called, now = _tool(known, tool, "--tool"), _time(at)
    given = _arguments(called, _json(args, "--args"), "--args")
    earlier = _history(known, _json(history, "--history"))
    flowing = assumed(_flow(flow or [], called), called, given)
    policy = load_policy(settings.policies, tuple(known.values()))
    explanation = explain(policy, principal, called.name, given, now, earlier, flowing)
    found = remedies(policy, principal, called, given, now, earlier, flowing) if explained else None
    verdict = explanation.decision.verdict
    if as_json:
        typer.echo(json.dumps(as_data(explanation, found), indent=2, ensure_ascii=False))
    elif found is None:
        typer.echo(f"{verdict}: {explanation.decision.reason}")
    else:
        typer.echo("\n\n".join(filter(None, (told(explanation), told_remedies(found, verdict)))))
    sys.exit(EXIT_STATUS[verdict])


def _tool(known: Mapping[str, Tool], name: str, option: str) -> Tool:
    if name not in known:
        raise typer.BadParameter(f"unknown tool `{name}`{suggest(name, known)}", param_hint=option)
    return known[name]


def _time(text: str | None) -> datetime:
    try:
        return utc_now() if text is None else parse_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--at") from None


def _json(text: str, option: str) -> Any:  # noqa: ANN401 - JSON data
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint=option) from None


def _arguments(tool: Tool, sent: object, option: str) -> Mapping[str, object]:
    if not isinstance(sent, dict):
        raise typer.BadParameter("a JSON object is needed, such as '{\"amount\": 50}'", param_hint=option)
    try:
        return validate(tool, sent).model_dump()
    except InvalidArguments as error:
        raise typer.BadParameter(f"`{tool.name}`: {error.message}", param_hint=option) from None


def _flow(words: Sequence[str], tool: Tool) -> Flow:
    try:
        return parse_flow(words, tool)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--flow") from None


def _history(known: Mapping[str, Tool], sent: object) -> History:
    if not isinstance(sent, list) or not all(
        isinstance(each, dict) and each.keys() == {"tool", "args"} for each in sent
    ):
        raise typer.BadParameter('a JSON list of `{"tool": …, "args": {…}}` is needed', param_hint="--history")
    calls: dict[str, list[Mapping[str, object]]] = defaultdict(list)
    for each in sent:
        tool = _tool(known, str(each["tool"]), "--history")
        calls[tool.name].append(_arguments(tool, each["args"], "--history"))
    return History(dict(calls))
