from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lakemill.core.errors import SchemaError
from lakemill.engines.frames import FRAME_ENGINES
from lakemill.training.many.packs import MAX_GROUPS, Part, Size, packs_for, write_packs
from lakemill.training.many.rows import read_rows
from lakemill.training.many.staging import Staging


@pytest.fixture(scope="module")
def frames():
    engine = FRAME_ENGINES.build({"kind": "local"})
    yield engine
    engine.close()


def skewed(groups: int) -> pa.Table:
    """Groups of 1 to 400 rows, shuffled; most are small."""
    generator = np.random.default_rng(3)
    sizes = np.minimum(1 + generator.pareto(1.0, groups).astype(int), 400)
    k = generator.permutation(np.repeat(np.arange(groups), sizes))
    return pa.table({"k": k, "t": generator.permutation(len(k))})


def cut(frames, root: Path, table: pa.Table, *, slots: int = 2, **more: pa.Table):
    parts = {name: Part(frame=frames.from_arrow(data), order=("t",)) for name, data in {"rows": table, **more}.items()}
    staging = Staging(root)
    packs = write_packs(frames, staging, parts=parts, by=("k",), cost="count(*)", slots=slots)
    return packs, {number: read_rows(staging.pack_file("rows", number)).to_pandas() for number in packs.numbers}


def test_every_row_is_in_one_pack_and_each_group_whole_and_in_order(frames, tmp_path):
    table = skewed(800)
    packs, files = cut(frames, tmp_path, table)
    found = [tuple(row) for rows in files.values() for row in rows[["k", "t"]].itertuples(index=False)]
    assert sorted(found) == sorted(zip(table["k"].to_pylist(), table["t"].to_pylist(), strict=True))
    owners = [key for rows in files.values() for key in rows["k"].unique()]
    assert len(owners) == len(set(owners)) == packs.groups == 800
    for rows in files.values():
        assert rows.equals(rows.sort_values(["k", "t"], ignore_index=True))
        assert list(rows.columns) == ["k", "t"]


def test_packs_are_of_like_cost_and_the_largest_groups_come_first(frames, tmp_path):
    table = skewed(800)
    packs, files = cut(frames, tmp_path, table)
    sizes = table.group_by("k").aggregate([("t", "count")])["t_count"].to_numpy()
    costs = np.array([len(files[number]) for number in packs.numbers])
    assert costs.max() <= table.num_rows / 32 + sizes.max()
    largest = [files[number].groupby("k").size().max() for number in packs.numbers]
    assert largest == sorted(largest, reverse=True)
    assert largest[0] == sizes.max()


def idle_share(costs: list[int], slots: int) -> float:
    """Hand tasks to whoever is free; return the share of time that workers wait at the end."""
    busy = np.zeros(slots)
    for cost in costs:
        busy[busy.argmin()] += cost
    return float(1 - busy.sum() / (slots * busy.max()))


@pytest.mark.parametrize("slots", [2, 8])
def test_skew_leaves_no_worker_idle(frames, tmp_path, slots):
    packs, files = cut(frames, tmp_path, skewed(3000), slots=slots)
    assert idle_share([len(files[number]) for number in packs.numbers], slots) < 0.05


def test_a_second_cut_takes_the_first_ones_packs(frames, tmp_path):
    first, _ = cut(frames, tmp_path, skewed(100), slots=2)
    assert cut(frames, tmp_path, skewed(50), slots=8)[0] == first


def test_a_part_that_has_nothing_of_a_pack_has_an_empty_file(frames, tmp_path):
    other = pa.table({"k": [0], "t": [5], "x": [1.0]})
    packs, _ = cut(frames, tmp_path, skewed(40), other=other)
    counts = [read_rows(Staging(tmp_path).pack_file("other", n)).num_rows for n in packs.numbers]
    assert sorted(counts) == [0] * (len(counts) - 1) + [1]


def test_a_part_that_is_empty_has_empty_files(frames, tmp_path):
    packs, _ = cut(frames, tmp_path, skewed(40), other=pa.table({"k": [0], "t": [5]}).slice(0, 0))
    tables = [read_rows(Staging(tmp_path).pack_file("other", n)) for n in packs.numbers]
    assert {(table.num_rows, tuple(table.column_names)) for table in tables} == {(0, ("k", "t"))}


def test_rows_of_a_part_whose_group_is_not_in_the_first_are_left_out(frames, tmp_path):
    _, files = cut(frames, tmp_path, pa.table({"k": [1, 2], "t": [0, 0]}), other=pa.table({"k": [2, 9], "t": [0, 0]}))
    other = [read_rows(Staging(tmp_path).pack_file("other", n)) for n in files]
    assert pa.concat_tables(other)["k"].to_pylist() == [2]


@pytest.mark.parametrize(("key", "message"), [([], "empty"), ([None, 1], "1 rows have no k")])
def test_no_groups_and_no_keys_are_refused(frames, tmp_path, key, message):
    with pytest.raises(SchemaError, match=message):
        cut(frames, tmp_path, pa.table({"k": pa.array(key, pa.int64()), "t": list(range(len(key)))}))


def test_packs_stay_small_however_many_groups_there_are():
    assert packs_for(Size(groups=3, rows=10, cost=1.0), slots=8) == 3
    many = packs_for(Size(groups=1_000_000, rows=50_000_000, cost=1.0), slots=2)
    assert 1_000_000 / many <= MAX_GROUPS


def test_the_order_in_which_rows_come_makes_no_difference(frames, tmp_path):
    """Also where keys and times tie, and whatever types the other columns have."""
    generator = np.random.default_rng(5)
    k, n = generator.integers(0, 20, 3000), 3000
    table = pa.table(
        {
            "k": k,
            "t": generator.integers(0, 5, n),
            "x": generator.normal(size=n),
            "text": generator.choice(["a", "b", None], n).tolist(),
            "day": pa.array(generator.integers(0, 9, n), pa.int32()).cast(pa.date32()),
            "price": pa.array(generator.integers(0, 9, n)).cast(pa.decimal128(22, 2)),
            "blob": pa.array(generator.choice([b"p", b"q"], n).tolist(), pa.binary()),
            "sold": generator.choice([True, False], n),
        }
    )
    _, first = cut(frames, tmp_path / "first", table)
    _, second = cut(frames, tmp_path / "second", table.take(generator.permutation(n)))
    assert first.keys() == second.keys()
    for number, rows in first.items():
        pd.testing.assert_frame_equal(second[number], rows)


def test_a_killed_cut_leaves_nothing_to_the_next(frames, tmp_path):
    left = tmp_path / "spill" / "rows" / "000000.arrows"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a record batch")
    _, files = cut(frames, tmp_path, pa.table({"k": [1, 2], "t": [0, 0]}))
    assert sorted(k for rows in files.values() for k in rows["k"]) == [1, 2]
    assert not left.parent.exists()
