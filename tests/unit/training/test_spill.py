from __future__ import annotations

import numpy as np
import pyarrow as pa

from lakemill.training.many.spill import PACK, SPILL_ROWS, Spill


def test_each_pack_has_its_rows_in_the_order_in_which_they_came(tmp_path):
    n = 2 * SPILL_ROWS + 77
    rows = pa.table({"row": np.arange(n), PACK: np.random.default_rng(0).choice([0, 3, 4], n)})
    with Spill(tmp_path / "spill") as spill:
        spill.add(rows.to_reader(max_chunksize=10_000))
        assert spill.packs == {0, 3, 4}
        for pack in spill.packs:
            kept = spill.read(pack)
            assert kept.column_names == ["row"]
            assert kept["row"].to_numpy().tolist() == np.flatnonzero(rows[PACK].to_numpy() == pack).tolist()
    assert not (tmp_path / "spill").exists()


def test_an_empty_stream_has_no_packs(tmp_path):
    with Spill(tmp_path / "spill") as spill:
        spill.add(pa.table({"row": [1], PACK: [0]}).slice(0, 0).to_reader())
        assert spill.packs == set()
