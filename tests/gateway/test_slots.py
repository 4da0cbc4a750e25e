"""A bounded number of calls run, a bounded number wait, the rest come back later."""

import anyio
import pytest

from gateway.slots import Busy, Slots


async def test_calls_beyond_running_and_waiting_are_refused_and_slots_come_back() -> None:
    slots = Slots(running=1, waiting=1)
    release = anyio.Event()
    running: list[int] = []

    async def call(number: int) -> None:
        async with slots.take():
            running.append(number)
            await release.wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, 1)
        tasks.start_soon(call, 2)
        await anyio.wait_all_tasks_blocked()
        assert running == [1]
        with pytest.raises(Busy):
            await call(3)
        release.set()
    assert running == [1, 2]
    async with slots.take():
        pass


async def test_a_call_that_fails_gives_its_slot_back() -> None:
    slots = Slots(running=1, waiting=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with slots.take():
                raise ZeroDivisionError
