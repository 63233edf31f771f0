"""What is known of a training set before it is joined, and after it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lakemill import features, plan
from lakemill.core.errors import ConfigError, NotFoundError
from lakemill.core.planning import LaneCost, exact, within
from lakemill.features import FeatureLookup, TrainingSet, TrainingTable, write_training_set
from lakemill.features.facts import HISTORY_ERROR, work_of
from lakemill.workspace import execute
from lakemill.workspace.hardware import keep
from lakemill.workspace.history import History
from lakemill.workspace.planning import facts_of, state_of
from tests.unit.workspace.test_hardware import HARDWARE

SPINE, PRICES, KINDS, OUT = "main.a.spine", "main.a.prices", "main.a.kinds", "main.a.out"
LANE = LaneCost(
    kind="local",
    abilities=("frames",),
    start_seconds=within(0.05, 0.3),
    seconds_per_task=exact(0.002),
    seconds_per_byte=exact(1e-9),
    driver_bytes=exact(2.0**27),
    spills=True,
    threads=True,
)
AS_OF = FeatureLookup(table_name=PRICES, lookup_key="k", timestamp_lookup_key="at")
SET = TrainingSet(spine=SPINE, lookups=[AS_OF, FeatureLookup(table_name=KINDS, lookup_key="k")])


def fill(ws, times: int = 1):
    """Key 0 has 60 of 100 rows of the spine and 10 of the 50 prices, `times` times over."""
    k = np.repeat([0, 1, 2], [60 * times, 30 * times, 10 * times])
    spine = pd.DataFrame({"k": k, "at": np.arange(len(k)), "y": 1.0})
    ws.table(SPINE).write(spine, mode="overwrite")
    prices = pd.DataFrame({"k": np.repeat(np.arange(5), 10 * times), "at": np.arange(50 * times), "price": 2.0})
    features.write_table(ws, PRICES, prices, mode="overwrite", primary_keys="k", timeseries_column="at")
    kinds = pd.DataFrame({"k": np.arange(3), "kind": ["a", "b", "c"]})
    features.write_table(ws, KINDS, kinds, mode="overwrite", primary_keys="k")


@pytest.fixture
def measured(ws):
    """Tables, on a machine that was measured before."""
    keep(replace(HARDWARE, lanes=(*HARDWARE.lanes, LANE)), state_of(ws))
    fill(ws)
    return ws


def test_rows_bytes_and_skew_come_from_metadata(measured):
    facts = facts_of(SET, measured)
    assert facts.rows == 100 + 50 + 3
    assert facts.bytes == 100 * 24 + 50 * 24 + 3 * (8 + 24)
    assert facts.shuffled_bytes == (100 * 24 + 50 * 24) + (100 * 24 + 50 * 24 + 3 * 32)
    assert facts.joins == 2
    assert facts.largest_share == (60 + 10) / (100 + 50)
    assert facts.assumed == ("core_seconds", "peak_bytes")
    assert facts.needs == ("frames",)


def test_a_training_set_is_written_as_it_is_loaded(measured, rows):
    ref = write_training_set(measured, SET, OUT)
    assert (ref.name, ref.version) == (OUT, measured.table(OUT).ref.version)
    assert rows(measured.table(OUT).scan()) == rows(features.load(measured, SET))
    fill(measured, times=2)
    write_training_set(measured, SET, OUT)
    assert len(measured.table(OUT).to_arrow()) == 200


def test_a_new_feature_becomes_a_new_column(measured):
    write_training_set(measured, TrainingSet(spine=SPINE), OUT)
    assert "price" in write_training_set(measured, SET, OUT).column_names


def test_what_it_took_is_kept_beside_what_was_predicted(measured):
    before = facts_of(SET, measured)
    write_training_set(measured, SET, OUT)
    (past,) = History(measured.database).newest()
    assert (past.work, past.kind, past.lane, past.items, past.rows) == (
        work_of(SET),
        "FeaturePipeline",
        "local",
        2,
        153,
    )
    assert past.predicted is not None
    assert past.predicted.basis == "assumed"
    assert past.seconds == pytest.approx(sum(past.stages.values()))
    assert past.item_seconds == past.stages["join and write"] > 0
    assert past.peak_bytes > 2**25
    after = facts_of(SET, measured)
    assert (before.rows, before.largest_share) == (after.rows, after.largest_share)
    assert after.assumed == ()
    assert dict(after.sources)["core_seconds"] == "history"


def test_history_in_its_own_lane_predicts_what_it_took(measured):
    write_training_set(measured, SET, OUT)
    (past,) = History(measured.database).newest()
    made = plan(measured, SET).plan
    same = next(one for one in made.candidates if one.workers == past.workers)
    cold = max(0.0, same.parts.start - past.stages["start"])  # of the start, what the first join had of it
    assert same.seconds.value - same.parts.start + cold == pytest.approx(past.item_seconds, rel=1e-6)
    assert same.seconds.low < past.item_seconds + same.parts.start - cold < same.seconds.high


def test_more_rows_take_longer_in_proportion(measured):
    write_training_set(measured, SET, OUT)
    before = facts_of(SET, measured)
    fill(measured, times=10)
    after = facts_of(SET, measured)
    growth = after.rows / before.rows
    assert growth == pytest.approx(1503 / 153)
    assert after.core_seconds.value == pytest.approx(before.core_seconds.value * growth, rel=1e-3)
    assert after.core_seconds.high > after.core_seconds.value * (1 + 0.99 * HISTORY_ERROR)


def test_an_engine_that_runs_starts_no_more(measured):
    for _ in range(2):
        write_training_set(measured, SET, OUT)
    second, first = History(measured.database).newest()
    assert first.predicted is not None
    assert second.predicted is not None
    assert (first.predicted.parts.start, second.predicted.parts.start) == (LANE.start_seconds.value, 0)
    assert second.stages["start"] == 0 < first.stages["start"]


def test_another_definition_has_no_history(measured):
    write_training_set(measured, SET, OUT)
    assert facts_of(TrainingSet(spine=SPINE, lookups=[AS_OF]), measured).assumed == ("core_seconds", "peak_bytes")


def test_a_key_with_most_of_the_rows_is_told(measured):
    three = replace(HARDWARE, node=replace(HARDWARE.node, cores=3), lanes=(LANE,))
    keep(three, state_of(measured))
    made = plan(measured, SET, aim="fastest").plan
    assert made.bottleneck == "data size"
    assert made.choice is not None
    assert made.choice.workers == 3
    assert f"one key has {(60 + 10) / 150:.0%} of the rows" in " ".join(made.reasons)


def test_a_task_may_name_a_table_to_write(measured):
    declared = TrainingTable(name=OUT, training_set=SET)
    assert facts_of(declared, measured) == facts_of(SET, measured)
    told = execute(declared, measured)
    assert told is not None
    assert told.startswith(f"{OUT} version {measured.table(OUT).ref.version}: 100 rows")


def test_bad_declarations(measured):
    with pytest.raises(ConfigError, match="out"):
        TrainingTable(name="out", training_set=SET)
    with pytest.raises(NotFoundError, match=r"main\.a\.nothing"):
        facts_of(TrainingSet(spine="main.a.nothing"), measured)
    with pytest.raises(NotFoundError, match=r"main\.a\.nothing"):
        write_training_set(measured, TrainingSet(spine="main.a.nothing"), OUT)
    assert not measured.table(OUT).exists()
    assert History(measured.database).newest() == ()
