from __future__ import annotations

import threading
import time

from lakemill.engines.idle import IdleStop


class Lamp(IdleStop):
    def __init__(self, idle_minutes: float) -> None:
        super().__init__(idle_minutes)
        self.told: list[str] = []
        self.off = threading.Event()

    def _start(self) -> None:
        self.off.clear()
        self.told.append("on")

    def _stop(self) -> None:
        self.told.append("off")
        self.off.set()


def test_it_starts_with_the_first_use_and_stops_when_idle():
    lamp = Lamp(idle_minutes=0.2 / 60)
    assert lamp.told == []
    with lamp.use():
        assert lamp.told == ["on"]
    assert lamp.off.wait(10)
    with lamp.use():
        assert lamp.told == ["on", "off", "on"]
    lamp.stop()


def test_it_does_not_stop_while_somebody_uses_it():
    lamp = Lamp(idle_minutes=0.1 / 60)
    with lamp.use():
        with lamp.use():
            pass
        time.sleep(0.4)
        assert lamp.told == ["on"]
    assert lamp.off.wait(10)


def test_zero_minutes_never_stop_it():
    lamp = Lamp(idle_minutes=0)
    with lamp.use():
        pass
    time.sleep(0.3)
    assert lamp.running
    lamp.stop()
    assert lamp.told == ["on", "off"]
