"""Workers are killed at random points: each run ends as if never killed, and nothing happens or is paid twice.

`REMIT_KILLS=200 pytest tests/orchestrator/durable/test_kills.py -s` does it at length and prints what it counted.
"""

import os
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest

from tests.orchestrator.durable.killing import Kills

KILLS = int(os.environ.get("REMIT_KILLS", "4"))


@pytest.mark.process
@pytest.mark.timeout(300 + 15 * KILLS)
async def test_runs_whose_workers_are_killed_end_as_if_they_never_were(runs_url: str, tmp_path: Path) -> None:
    counted = await Kills(tmp_path / "home", runs_url, Random(KILLS), runs=KILLS).drive()
    print(f"{urlsplit(runs_url).scheme}: {counted}")  # noqa: T201 - whoever runs it at length wants to know
    assert counted["runs"] > KILLS
