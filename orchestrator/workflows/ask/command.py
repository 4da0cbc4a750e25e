"""`remit ask`: a question to the company's documents, and on a terminal further ones."""

import json
import sys
from typing import Annotated, Any

import anyio
import anyio.to_thread
import typer

from orchestrator.assembling import Orchestrator
from orchestrator.commands.begin import worked_on
from orchestrator.commands.opening import opened, who
from orchestrator.commands.runs import result_of
from orchestrator.fence import for_terminal
from orchestrator.workflows.ask import shown

_WIDTH = 2_000
_SECONDS, _TRIES = 180.0, 2
"""After so long, or put off so often, a question is a worker's: `remit runs show` tells what it came to."""


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    origin: Annotated[str, typer.Option(help="Only documents of this origin, such as `official`.")] = "",
    days: Annotated[float, typer.Option(min=0, max=36_500, help="Only documents changed within so many days.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON, and ask no further.")] = False,
) -> None:
    """Ask the company's documents: the answer names for each sentence the document and the words that it rests on.

    It is found with the rights of `REMIT_TOKEN`. On a terminal you may go on asking; an empty line ends it.
    """
    with opened() as orchestrator:
        anyio.run(_converse, orchestrator, {"question": question, "origin": origin, "days": days}, as_json)


async def _converse(orchestrator: Orchestrator, asked: dict[str, Any], as_json: bool) -> None:
    earlier: list[dict[str, str]] = []
    while True:
        question = asked["question"].strip()
        given = {**asked, "question": question, "earlier": earlier, "person": who()}
        run = await orchestrator.store.begin(orchestrator.workflows.find("ask").begin(given, about=question))
        answer = json.loads(result_of(await worked_on(orchestrator, run, _SECONDS, _TRIES)))
        told = "\n".join(for_terminal(line, _WIDTH) for line in shown(answer).splitlines())
        typer.echo(json.dumps(answer | {"run": run}) if as_json else told)
        if as_json or not sys.stdin.isatty():
            break
        earlier.append({"question": question, "answer": answer["answer"]})
        asked["question"] = await anyio.to_thread.run_sync(_further)
        if not asked["question"].strip():
            break


def _further() -> str:
    return str(typer.prompt("\nAnd", default="", show_default=False))
