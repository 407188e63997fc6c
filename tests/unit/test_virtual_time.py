"""The clock of simulated nights: hours pass at once, in an order that follows from the seed."""

from __future__ import annotations

from datetime import timedelta

import anyio
import trio
from trio.testing import MockClock

from daybreak.testing.clock import DAWN, FakeClock
from daybreak.testing.virtual_time import JumpingClock, run


def _told(seed: int, clock: JumpingClock | None = None) -> list[tuple[float, str]]:
    """What three tasks say that sleep, are woken early and time out, with the moments."""
    told: list[tuple[float, str]] = []

    async def sleeper(name: str, pauses: list[float]) -> None:
        for pause_s in pauses:
            await anyio.sleep(pause_s)
            told.append((trio.current_time(), name))

    async def main() -> None:
        woken = anyio.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(sleeper, "a", [1.0, 0.1, 3600.0])
            group.start_soon(sleeper, "b", [0.5, 0.6, 0.0])
            with anyio.move_on_after(2.5):
                await woken.wait()
            told.append((trio.current_time(), "late"))

    if clock is None:
        start = MockClock(autojump_threshold=0)
        trio.run(main, clock=start)
    else:
        run(seed, clock, main)
    return told


def test_hours_pass_at_once_and_to_the_moment() -> None:
    """Every deadline is met exactly, as on trio's own clock; what comes at one moment may come in any order."""
    # shows: N14
    found = _told(1, JumpingClock())
    assert [moment for moment, _ in found] == [0.5, 1.0, 1.1, 1.1, 1.1, 2.5, 3601.1]
    assert sorted(found) == [(round(moment, 9), name) for moment, name in sorted(_told(0))]


def test_the_order_of_what_comes_together_follows_from_the_seed() -> None:
    """So that a night that failed can be looked at again."""
    orders = {seed: _told(seed, JumpingClock()) for seed in range(20)}
    assert all(_told(seed, JumpingClock()) == found for seed, found in orders.items())
    assert len({str(found) for found in orders.values()}) > 1


def test_a_thread_is_waited_for_where_no_deadline_comes() -> None:
    """The loop does not turn for nothing, and does not end, while a thread works."""
    clock = JumpingClock()
    found: list[str] = []

    async def main() -> None:
        found.append(await anyio.to_thread.run_sync(lambda: "done"))
        found.append(f"{trio.current_time():.0f} s")

    run(1, clock, main)
    assert found == ["done", "0 s"]


def test_a_clock_that_is_set_tells_the_new_time_at_once() -> None:
    """The last answer is remembered, but not beyond a change of what it came from."""
    clock = FakeClock()
    assert clock.now() is clock.now()
    clock.start = DAWN + timedelta(hours=3)
    assert clock.now() == DAWN + timedelta(hours=3)
    clock.advance(2)
    assert clock.now() == DAWN + timedelta(hours=3, seconds=2)
