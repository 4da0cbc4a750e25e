"""The gateway is killed while it works: what it did, it did once, and the journal knows what became of everything."""

from pathlib import Path
from random import Random

import anyio
import pytest

from tests.gateway.crashing import Crashes

pytestmark = pytest.mark.process


def test_after_kills_at_random_points_every_call_has_one_outcome_and_every_effect_happened_once(tmp_path: Path) -> None:
    crashes = Crashes(tmp_path / "home", Random(20261120))
    crashes.prepare()
    anyio.run(crashes.drive)
    counted = crashes.check()
    print(counted)  # noqa: T201
    assert counted["calls"] >= 200
    assert counted["unanswered"] > 0
