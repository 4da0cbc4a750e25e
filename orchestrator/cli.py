"""The orchestrator's commands, found by `remit` through its entry points; each is imported when it is wanted.

Of each: its module, the function in it or its `app` where it has subcommands itself, under which heading it is listed,
and the first sentence of its own help.
"""

_TRY, _RUN, _POLICY = "Try it", "Run it", "Write and prove policy"
COMMANDS = {
    "run": ("orchestrator.commands.begin", "app", _TRY, "Run a workflow against a gateway, over MCP."),
    "ask": (
        "orchestrator.workflows.ask.command",
        "ask",
        _TRY,
        "Ask the company's documents: the answer names for each sentence the document and the words that it rests on.",
    ),
    "demo": (
        "orchestrator.commands.triage",
        "demo",
        _TRY,
        "Show Remit at work on a sample company: triage, a denied call, a pending approval, a blocked injection.",
    ),
    "runs": (
        "orchestrator.commands.runs",
        "app",
        _RUN,
        "See what runs do and did, answer what they ask, resume and cancel them.",
    ),
    "worker": (
        "orchestrator.commands.worker",
        "work",
        _RUN,
        "Work on runs, and begin those that triggers ask for, until told to stop by SIGTERM or Ctrl-C.",
    ),
    "stage": ("orchestrator.commands.stage", "app", _RUN, "See and change what workflows do by themselves."),
    "models": (
        "orchestrator.commands.models",
        "models",
        _RUN,
        "Which models are used, where they process data, how long they keep it, what each may see and what it costs.",
    ),
    "cost": (
        "orchestrator.commands.cost",
        "cost",
        _RUN,
        "What models cost, as CSV in exact US dollars, the most expensive first; all of it unless told since when.",
    ),
    "eval": ("orchestrator.commands.evaluate", "app", _POLICY, "Grade a workflow on its cases: `remit eval WORKFLOW`."),
}
