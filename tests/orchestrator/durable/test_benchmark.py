"""The benchmark of durable runs works; what it measures is for people to read."""

import pytest

from benchmarks.orchestrator import measure


@pytest.mark.process
async def test_the_benchmark_measures_both_databases_against_the_plain_loop() -> None:
    lines = await measure(runs=4, steps=2, milliseconds=1)
    assert [line.partition("  ")[0] for line in lines] == [
        "plain, one worker",
        "SQLite, one worker",
        "SQLite, two workers",
        "SQLite, added to a step",
        "PostgreSQL, one worker",
        "PostgreSQL, two workers",
        "PostgreSQL, added to a step",
    ]
