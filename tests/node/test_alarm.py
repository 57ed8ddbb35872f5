"""An alarm: never later than it was told, and few timers for many calls."""

import asyncio
from typing import Any

from syncd.node.alarm import LEAST, Alarm


class Counting:
    """The running loop, of which the timers are counted."""

    def __init__(self, monkeypatch: Any) -> None:
        self.timers = 0
        loop = asyncio.get_running_loop()
        real = loop.call_at

        def counted(when: float, *rest: Any, **options: Any) -> asyncio.TimerHandle:
            self.timers += 1
            return real(when, *rest, **options)

        monkeypatch.setattr(loop, "call_at", counted)


async def test_one_that_is_moved_on_and_on_is_set_seldom(monkeypatch: Any) -> None:
    wake, loop = asyncio.Event(), asyncio.get_running_loop()
    alarm, counting = Alarm(wake), Counting(monkeypatch)
    begin = loop.time()
    for number in range(1_000):
        alarm.at(begin + 60 + number / 1_000)
    assert counting.timers == 1
    alarm.at(begin + 1)  # an earlier one counts
    assert counting.timers == 2
    alarm.at(None)
    assert not wake.is_set()


async def test_it_wakes_again_and_again() -> None:
    wake, loop = asyncio.Event(), asyncio.get_running_loop()
    alarm = Alarm(wake)
    for _ in range(2):
        began = loop.time()
        alarm.at(began - 1)
        await wake.wait()
        wake.clear()
        assert loop.time() - began >= LEAST / 2
