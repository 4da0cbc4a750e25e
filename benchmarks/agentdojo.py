"""A wholly compromised agent against the gateway: AgentDojo's suites as upstream MCP servers behind it.

    python benchmarks/agentdojo.py                      # the workspace suite
    python benchmarks/agentdojo.py --suite all          # all four
    python benchmarks/agentdojo.py --every 10           # every tenth pair

For each pair of a user's task and an attacker's goal the agent gets a grant made of the user's words alone, plays the
user's own calls, reads everything in which the attacker's text may stand, and then plays the attacker's calls. The
suite's own check says whether the attacker's goal was reached: once with people who refuse what the attacker's calls
ask for, once with people who say yes to everything.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

# This file is called like the package that it plays.
sys.path.remove(str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import anyio
import structlog
from rich.console import Console
from rich.table import Table

from benchmarks.agentdojo_suites.replay import Score, replay_suite

SUITES = ("workspace", "banking", "slack", "travel")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=(*SUITES, "all"), default="workspace")
    parser.add_argument("--every", type=int, default=1, help="play every n-th pair only")
    parser.add_argument("--tell", action="store_true", help="tell each legitimate call that was held or denied")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    scores = [
        anyio.run(replay_suite, name, given.every, given.tell)
        for name in (SUITES if given.suite == "all" else (given.suite,))
    ]
    Console().print(_table(scores))


def _table(scores: Sequence[Score]) -> Table:
    table = Table("suite", title="a wholly compromised agent behind the gateway")
    for score in scores:
        table.add_column(score.suite, justify="right")
    rows = [score.told() for score in scores]
    for name in rows[0]:
        table.add_row(name, *(row[name] for row in rows))
    return table


if __name__ == "__main__":
    main()
