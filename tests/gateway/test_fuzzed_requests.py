"""Mutated requests find nothing here, and find what is broken on purpose. `benchmarks/fuzz.py` sends a million."""

import json
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from benchmarks.fuzz import run_batch
from benchmarks.fuzzing import model, world
from benchmarks.fuzzing.mutating import change_tree
from connectors.contract import CallContext
from gateway.catalog import Catalog

REQUESTS = 600


async def findings(requests: int = REQUESTS) -> str:
    batch = await run_batch(seed=7, number=0, requests=requests)
    assert batch.effects > requests / 50, "hardly anything got as far as a back end"
    return "\n".join(batch.findings)


def test_a_request_of_which_changes_have_left_nothing_is_changed_further() -> None:
    for seed in range(2_000):
        random = Random(seed)
        tree: dict[str, Any] = {"id": 1}
        for _ in range(6):
            change_tree(random, tree, ("co_1",))
        json.dumps(tree)


async def test_nothing_is_found() -> None:
    assert await findings() == ""


async def test_a_rule_that_allows_too_much_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "files", _with(model.files, "len(args.body) <= 500", "len(args.body) <= 501"))
    monkeypatch.setattr(world, "files", model.files)
    assert "ticket_add_note for " in await findings(1_600)


async def test_a_back_end_that_looks_into_another_tenant_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def confused(*given: Any, **named: Any) -> CallContext:
        context = CallContext(*given, **named)
        object.__setattr__(context, "tenant", "borealis")
        return context

    monkeypatch.setattr("gateway.carrying_out.CallContext", confused)
    assert "data of borealis" in await findings()


async def test_an_exception_that_nobody_expected_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("Traceback of something")

    monkeypatch.setattr(Catalog, "find", broken)
    with capture_logs():
        batch = await run_batch(seed=7, number=0, requests=50)
    assert any("an internal error" in finding for finding in batch.findings)


def _with(files: Any, old: str, new: str) -> Any:
    def changed(model_conf: str) -> dict[str, str]:
        return {name: text.replace(old, new) for name, text in files(model_conf).items()}

    return changed
