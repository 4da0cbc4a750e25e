"""`remit prove`: what holds for every call there can be."""

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connectors.contract import Tool
from gateway.cli.diff import policy_named
from gateway.policy.files.lines import read_text
from gateway.policy.language.flow_written import flow_words
from gateway.policy.load import load_policy
from gateway.policy.problem import PolicyError, Problem
from gateway.policy.proof.invariants import FILE, read_invariants
from gateway.settings import load_settings
from gateway.upstream.catalogue import known_tools

if TYPE_CHECKING:
    from gateway.policy.proof.prove import Answer, CounterExample

_HELP_SECONDS = "How long the solver may think about one question; without an answer nothing is proved."


def prove(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The policy folder. [default: the one in use]")
    ] = None,
    implies: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="OLD NEW",
            help="Instead prove that NEW permits nothing that OLD does not; each is a folder or a git revision of DIR.",
        ),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(metavar="ID", help="Only this statement; repeatable.")] = None,
    seconds: Annotated[float, typer.Option(min=0.01, max=3600, help=_HELP_SECONDS)] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
) -> None:
    """Prove the statements of `invariants.csv`, or show for each that fails a call that breaks it.

    Exit status: 0 if everything is proved, 1 if not.
    """
    settings = load_settings()
    folder, tools = directory or settings.policies, known_tools(settings)
    found = list(
        _stricter(folder, tools, *implies, seconds) if implies else _invariants(folder, tools, only or [], seconds)
    )
    if as_json:
        typer.echo(json.dumps({"statements": [_as_data(*each) for each in found]}, indent=2, ensure_ascii=False))
    else:
        # Of two policies, what did not get looser needs no line for each tool.
        for line in _told(each for each in found if not implies or each[2].status != "proved"):
            typer.echo(line)
        typer.echo(
            ", ".join(f"{count} {status}" for status, count in Counter(each[2].status for each in found).items())
        )
    if any(answer.status != "proved" for _, _, answer in found):
        raise typer.Exit(1)


_Found = tuple[str, str, "Answer"]


def _invariants(folder: Path, tools: Sequence[Tool], only: Iterable[str], seconds: float) -> Iterator[_Found]:
    prover = _prover()
    problems: list[Problem] = []
    policy = load_policy(folder, tools)
    invariants = read_invariants(read_text(folder / FILE, problems), policy, tools, problems)
    if problems:
        raise PolicyError(problems)
    if unknown := set(only) - {each.id for each in invariants}:
        raise typer.BadParameter(f"`{folder / FILE}` has no statement `{min(unknown)}`")
    wanted = [each for each in invariants if not only or each.id in set(only)]
    for invariant, answer in prover.prove_invariants(policy, tools, wanted, seconds):
        yield invariant.id, f"{invariant.requirement}: {invariant.note}", answer


def _stricter(folder: Path, tools: Sequence[Tool], old: str, new: str, seconds: float) -> Iterator[_Found]:
    before, after = policy_named(old, folder, tools), policy_named(new, folder, tools)
    for tool, answer in _prover().prove_stricter(before, after, tools, seconds):
        yield tool, "permits nothing that it did not before", answer


def _prover() -> Any:  # noqa: ANN401 - the module, imported only where it is needed
    try:
        from gateway.policy.proof import prove as prover
    except ModuleNotFoundError as error:
        if error.name != "z3":
            raise
        raise typer.BadParameter("proofs need the solver z3: install it with `pip install 'remit[prove]'`") from None
    return prover


def _told(found: Iterable[_Found]) -> Iterator[str]:
    for name, statement, answer in found:
        yield f"{name:6} {answer.status}  {statement}{f' ({answer.reason})' if answer.reason else ''}"
        if answer.example:
            yield from (f"       {line}" for line in _told_example(answer.example))


def _told_example(example: "CounterExample") -> Iterator[str]:
    call, decision = example.call, example.decision
    was = f"was {example.before.verdict}, is now " if example.before else ""
    yield f"{call.principal} calls `{call.tool}`: {was}{decision.verdict}; {decision.reason}"
    yield f"with {json.dumps(call.args, ensure_ascii=False)} at {call.now.isoformat()}"
    earlier = {tool: len(made) for tool, made in call.history.calls.items() if made}
    if earlier:
        yield f"after {', '.join(f'{count} × `{tool}`' for tool, count in earlier.items())} in the same run"
        if flow := ", ".join(flow_words(call.flow)):
            yield f"with the data flow {flow}"
    else:
        yield f"see: {_command(example)}"


def _command(example: "CounterExample") -> str:
    call = example.call
    words = ["remit", "decide", "--explain", "--as", "+".join(reversed(call.principal.parties))]
    words += ["--tenant", call.principal.tenant, "--tool", call.tool]
    words += ["--args", json.dumps(call.args, ensure_ascii=False), "--at", call.now.isoformat()]
    return shlex.join([*words, *(word for said in flow_words(call.flow) for word in ("--flow", said))])


def _as_data(name: str, statement: str, answer: "Answer") -> dict[str, Any]:
    example = answer.example
    return {
        "id": name,
        "statement": statement,
        "status": answer.status,
        "questions": answer.questions,
        "reason": answer.reason,
        "example": example
        and {
            "tenant": example.call.principal.tenant,
            "person": example.call.principal.person,
            "agent": example.call.principal.agent,
            "tool": example.call.tool,
            "args": dict(example.call.args),
            "at": example.call.now.isoformat(),
            "earlier": {tool: [_plain(made) for made in calls] for tool, calls in example.call.history.calls.items()},
            "flow": example.call.flow.told(),
            "verdict": example.decision.verdict,
            "rules": list(example.decision.rules),
            "verdict_before": example.before and example.before.verdict,
        },
    }


def _plain(made: Any) -> dict[str, Any]:  # noqa: ANN401 - a mapping of arguments
    return {name: value if value is None else str(value) for name, value in made.items()}
