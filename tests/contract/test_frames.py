"""Every kind of frame engine keeps the contract, and all give the same values."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lakemill.catalog import Catalog
from lakemill.core.records import Context
from lakemill.engines.frames import FRAME_ENGINES, Aggregate, AsOf
from lakemill.metadata import Database
from lakemill.testing.frames import FrameEngineContract
from lakemill.testing.oracles import random_asof

TOTALS = "t.count_name, t.min_at, t.max_price, t.min_price"


@pytest.fixture
def catalog(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/metadata.db")
    yield Catalog(root=str(tmp_path / "a bé {c} *" / "tables"), database=database, context=Context(user="test"))
    database.close()


@pytest.mark.parametrize("kind", FRAME_ENGINES.kinds())
class TestFrameEngines(FrameEngineContract):
    @pytest.fixture
    def engine(self, kind, frame_engines):
        return frame_engines[kind]


def _most(group):
    return pa.table({"shop": group["shop"][:1], "rows": [group.num_rows], "names": [sorted(group["name"].to_pylist())]})


def _report(engine, catalog, *, seed):
    """Go once through every verb; the rows of the last frame depend on all of them."""
    spine, features = (engine.from_arrow(table) for table in random_asof(seed, ties=True))
    on = AsOf(
        keys=(("shop", "store"), ("item", "article")),
        spine_time="at",
        feature_time="since",
        columns=(("price", "price"), ("name", "name")),
        tie_break="made",
        lookback_seconds=20 * 3600,
    )
    ref = engine.write(engine.asof_join(spine, features, on=on), catalog, name="main.test.joined", mode="overwrite")
    known = engine.sql("select * from joined where name is not null", {"joined": engine.scan(ref)})
    schema = pa.schema({"shop": pa.string(), "rows": pa.int64(), "names": pa.list_(pa.string())})
    groups = engine.map_groups(known, ["shop"], fn=_most, schema=schema)
    operators = [("count", "name"), ("min", "at"), ("max", "price"), ("min", "price")]
    totals = engine.aggregate(
        known, ["shop"], aggregates=[Aggregate(operator=op, column=c, name=f"{op}_{c}") for op, c in operators]
    )
    query = f"select g.*, {TOTALS} from groups g full join totals t on g.shop = t.shop order by g.shop"
    return engine.to_arrow(engine.sql(query, {"groups": groups, "totals": totals})).read_all()


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", [kind for kind in FRAME_ENGINES.kinds() if kind != "local"])
def test_the_same_work_gives_the_same_values_as_the_local_engine(kind, seed, frame_engines, catalog):
    found = _report(frame_engines[kind], catalog, seed=seed)
    expected = _report(frame_engines["local"], catalog, seed=seed)
    assert found["shop"].to_pylist() == ["a", "b"]
    assert found.schema.equals(expected.schema)
    assert found.to_pylist() == expected.to_pylist()
