"""One server that hangs harms no other: the others' calls come back while the hanging ones still hang."""

from typing import Any

import anyio

from gateway.answer import Answer
from gateway.settings import Settings
from tests.upstream.conftest import Upstream, fronting, wire_tool


async def test_while_one_server_hangs_with_all_it_may_hold_others_answer(up: Upstream, settings: Settings) -> None:
    up.options = "timeout = 60\nmax_calls = 100"
    up.offers(wire_tool("look"), do="hang")
    other = Upstream(up.folder, up.plan_file.with_name("other.json"), "other")
    other.offers(wire_tool("look"))
    hanging: list[Answer[Any]] = []
    small = settings.model_copy(update={"max_calls": 8, "max_calls_of_area": 4, "max_waiting": 8})

    async with fronting(small, up, other) as front:
        await front.until(lambda: front.looked)
        assert (await front.call("other_look")).status == "ok"

        async def hang() -> None:
            hanging.append(await front.call("up_look"))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(hang)
            await front.until(lambda: len(up.calls()) >= 1 and len(hanging) >= 8)
            assert {answer.error.kind for answer in hanging if answer.error} == {"busy"}
            assert all(answer.retry_after for answer in hanging)
            assert front.gateway.slots.running == 4
            before = len(hanging)
            others = [await front.call("other_look") for _ in range(20)]
            others.append(await front.call("crm_search_accounts"))
            assert [answer.status for answer in others] == ["ok"] * 21
            assert (len(hanging), front.gateway.slots.running) == (before, 4), "the others hang still"
            tasks.cancel_scope.cancel()
        assert (front.gateway.slots.running, front.gateway.slots.waiting) == (0, 0)
