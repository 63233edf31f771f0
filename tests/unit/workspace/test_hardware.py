"""What is measured of this machine, and what is kept of it."""

from __future__ import annotations

import platform
from dataclasses import replace

import psutil
import pytest

from lakemill.core.errors import MissingExtraError, StorageError
from lakemill.core.planning import LaneCost, NodeType, exact, within
from lakemill.core.records import utc_now
from lakemill.engines.frames import FRAME_ENGINES
from lakemill.engines.measure import measure_lane, measure_node
from lakemill.engines.measure_frames import FrameTimes, frame_lane, time_frames
from lakemill.engines.tasks import TASK_ENGINES
from lakemill.workspace.hardware import FILE, Hardware, keep, kept

HARDWARE = Hardware(
    node=NodeType(name="this machine", cores=2, memory_bytes=2**33, price_per_hour=0.0),
    lanes=(LaneCost(kind="local", abilities=("tasks",), start_seconds=within(0.6, 0.3), worker_bytes=exact(2.0**27)),),
    missing=(("ray", "not installed"),),
    host=platform.node(),
    measured_at=utc_now(),
)


def test_what_was_measured_is_read_back_whole(tmp_path):
    assert kept(tmp_path) is None
    keep(HARDWARE, tmp_path)
    assert kept(tmp_path) == HARDWARE


def test_a_machine_is_quiet_while_a_quarter_of_its_cores_is_busy_at_most():
    assert [replace(HARDWARE, busy_cores=busy).quiet for busy in (0.0, 0.5, 0.6)] == [True, True, False]


def test_another_machine_s_figures_are_not_this_one_s(tmp_path):
    keep(replace(HARDWARE, host="elsewhere"), tmp_path)
    assert kept(tmp_path) is None


def test_a_file_that_is_something_else_is_told(tmp_path):
    (tmp_path / FILE).write_text('{"node": 1}')
    with pytest.raises(StorageError, match=FILE):
        kept(tmp_path)


def test_the_node_is_this_machine():
    node = measure_node()
    assert node.cores == len(psutil.Process().cpu_affinity())
    assert 2**28 < node.memory_bytes <= psutil.virtual_memory().total
    assert 1e8 < node.flop_per_second < 1e15
    assert 1e8 < node.memory_bytes_per_second < 1e13
    assert 0 <= node.slowdown_per_busy_core < 5
    assert 1e6 < node.disk_bytes_per_second < 1e12


@pytest.mark.parametrize("kind", TASK_ENGINES.kinds())
def test_every_engine_can_be_measured(kind, required):
    try:
        lane = measure_lane(kind)
    except MissingExtraError as error:
        if kind in required:
            pytest.fail(str(error))
        pytest.skip(str(error))
    assert lane.kind == kind
    assert "tasks" in lane.abilities
    assert 0 < lane.seconds_per_task.value < lane.start_seconds.value < 120
    assert 2**25 < lane.worker_bytes.value < 2**30
    assert lane.driver_bytes.value < 2**33


@pytest.mark.parametrize("kind", FRAME_ENGINES.kinds())
def test_every_frame_engine_can_be_measured(kind, required):
    try:
        times = time_frames(kind, rows=5_000)
    except MissingExtraError as error:
        if kind in required:
            pytest.fail(str(error))
        pytest.skip(str(error))
    assert times.copied_bytes == 5_000 * (8 + 8 + 8)
    assert all(0 < seconds < 120 for seconds in (times.start_seconds, times.job_seconds, times.join_seconds))
    assert 2**25 < times.peak_bytes < 2**33


def test_a_frame_engine_s_work_is_measured_by_the_plain_one_s():
    plain = FrameTimes(
        start_seconds=0.1, job_seconds=0.2, join_seconds=0.5, copy_seconds=0.3, copied_bytes=24_000, peak_bytes=2**28
    )
    other = replace(plain, start_seconds=9.0, join_seconds=2.0)
    assert frame_lane("local", plain, beside=plain).work_factor == exact(1)
    lane = frame_lane("local", other, beside=plain)
    assert lane.work_factor.low < lane.work_factor.value == 4 < lane.work_factor.high
    assert (lane.abilities, lane.start_seconds.value, lane.seconds_per_task.value) == (("frames",), 9.0, 0.2)
    assert lane.seconds_per_byte.value == pytest.approx(0.3 / 24_000)


def test_a_kind_of_engine_may_be_two_lanes():
    frames = LaneCost(kind="local", abilities=("frames",))
    both = replace(HARDWARE, lanes=(*HARDWARE.lanes, frames))
    assert both.lane("local", "frames") is frames
    assert both.lane("local", "tasks") is HARDWARE.lanes[0]
    assert both.lane("spark", "frames") is None
