"""Forecasts of many series, from the training set to a fitted model for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lakemill import features
from lakemill.catalog import CommitKey
from lakemill.core.errors import ConfigError, EngineError
from lakemill.core.events import Event
from lakemill.core.records import Resources, to_json
from lakemill.engines.frames import Frame
from lakemill.engines.tasks import Task
from lakemill.training.forecasting.accuracy import WRMSSE, accuracy_by_method, evaluation
from lakemill.training.forecasting.definition import GLOBAL, LEVELS, Forecasting
from lakemill.training.forecasting.global_model import NOT_FEATURES, GlobalFit, fit_global
from lakemill.training.forecasting.panel import Panel
from lakemill.training.forecasting.pool import learn
from lakemill.training.forecasting.series import MIX, Learnt, backtest, fit_series
from lakemill.training.many.again import count
from lakemill.training.many.groups import Phase
from lakemill.training.many.packs import Part
from lakemill.training.many.session import Session
from lakemill.training.many.staging import Staging
from lakemill.training.many.train import Fitted, data_of

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

COST: Final = "count(*) * (case when sum(case when y > 0 then 1 else 0 end) * 1.32 > count(*) then 40.0 else 1.0 end)"
"""AutoETS and AutoTheta, for frequent demand only, cost forty times what the others do together."""

BACKTESTS: Final = pa.schema(
    [
        ("origin", pa.int32()),
        ("method", pa.string()),
        ("class", pa.string()),
        ("seen", pa.int32()),
        ("weight", pa.float64()),
        ("unit", pa.float64()),
        ("rmsse", pa.float64()),
        ("forecast", pa.list_(pa.float64())),
        ("actual", pa.list_(pa.float64())),
    ]
)
MODELS: Final = pa.schema([("class", pa.string()), ("weights", pa.list_(pa.float64())), ("model", pa.binary())])
ACCURACY: Final = pa.schema(
    [
        ("method", pa.string()),
        ("class", pa.string()),
        ("seen", pa.int32()),
        ("weight", pa.float64()),
        ("rmsse", pa.float64()),
        ("mase", pa.float64()),
        ("forecast_units", pa.float64()),
        ("actual_units", pa.float64()),
        *((f"inside_{level}", pa.float64()) for level in LEVELS),
    ]
)
HOLDOUT: Final = pa.schema(
    [
        ("position", pa.int32()),
        ("actual", pa.float64()),
        ("forecast", pa.float64()),
        *((f"{side}_{level}", pa.float64()) for level in LEVELS for side in ("lower", "upper")),
    ]
)


def fit_groups(session: Session) -> Fitted:
    """Fit every series of a session whose definition declares a `Forecasting`."""
    fit: Forecasting = session.definition.fit
    learnt = Forecasts(session).run()
    accuracy = accuracy_by_method(session)
    data = f"{data_of(session)}, last {fit.horizon} days"
    measured = {name: evaluation(accuracy, name, data=data) for name in (MIX, *fit.forecasters)}
    return Fitted(
        evaluations={WRMSSE: measured[MIX]},
        baselines={WRMSSE: measured["seasonal_naive"]} if "seasonal_naive" in measured else {},
        texts={"learnt.json": to_json({"members": fit.members, "learnt": learnt}), "accuracy.json": to_json(accuracy)},
        example=lambda key: pd.DataFrame([dict(zip(session.definition.keys, key, strict=True))]),
    )


class Forecasts:
    """The steps of a forecasting session, each of which goes on where it was killed.

    Parameters
    ----------
    session
        The training under way; its definition's `fit` is a `Forecasting`.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.workspace = session.workspace
        self.keys = session.definition.keys
        self.method: Forecasting = session.definition.fit
        self.training_set = features.as_training_set(session.definition.training_set)
        self.panel = Panel(self.workspace, session.definition, self.training_set.spine, self.training_set.label)

    def run(self) -> Learnt:
        """Fit the global model, backtest every series, learn from all, fit every series."""
        self._check_base()
        everywhere = self._global_forecasts()
        parts = {
            "rows": Part(frame=self.panel.series, order=("position",)),
            "global": Part(frame=everywhere, order=("origin", "step")),
        }
        self.session.prepare(parts, cost=COST)
        self.session.run(self._phase("backtest", backtest, outputs={"backtests": BACKTESTS}))
        learnt = self._learn()
        fit = partial(fit_series, learnt=learnt, time=self.session.definition.time)
        outputs = {"models": MODELS, "accuracy": ACCURACY, "holdout": HOLDOUT}
        more = {"backtests": Staging.output("backtest", "backtests")}
        self.session.run(self._phase("fit", fit, outputs=outputs, more=more))
        return learnt

    def _phase(
        self, name: str, fn: Callable[..., Any], *, outputs: Mapping[str, pa.Schema], more: Mapping[str, str] = NOTHING
    ) -> Phase:
        parts = {"rows": Staging.part("rows"), "global": Staging.part("global"), **more}
        return Phase(
            name=name, by=self.keys, parts=parts, fn=partial(fn, self.method, self.panel.grid), outputs=outputs
        )

    def _check_base(self) -> None:
        """Refuse to carry over groups that forecast other days."""
        if self.session.subset is None:
            return
        kept = self.session.subset.others(self.session.table("holdout"))
        rows = self.workspace.frames.to_arrow(self.workspace.sql("select distinct position from h", h=kept)).read_all()
        held, grid = set(rows["position"].to_pylist()), self.panel.grid
        if held and held != set(range(grid.holdout, grid.end)):
            raise ConfigError(
                f"{self.session.subset.base.uri} was trained up to another day or with another horizon: "
                "its groups would forecast other days than those of only=",
                hint="train all groups: leave out only=",
            )

    def _learn(self) -> Learnt:
        """Learn from the backtests of all series, those that are carried over from another version among them."""
        sql, to_arrow = self.workspace.sql, self.workspace.frames.to_arrow
        rows = sql(f"select * from b where training = '{self.session.id}'", b=self.session.table("backtests"))
        groups = count(self.workspace, sql(f"select distinct {', '.join(self.keys)} from b", b=rows))
        prior, intervals = learn(to_arrow(rows), self.method, keys=self.keys, groups=groups)
        return Learnt(prior=prior, intervals=intervals, days=tuple(self.panel.future_days()))

    def _global_forecasts(self) -> Frame:
        """Return the global model's forecasts at every origin as a frame."""
        name, key = self.session.table("global"), CommitKey(writer=f"{self.session.id}/global", sequence=0)
        if not self._is_committed(name, key):
            fits = self._global_fits() if GLOBAL in self.method.forecasters else []
            self.workspace.catalog.write(name, self._global_stream(fits), commit=key)
        return self.workspace.sql(f"select * from g where training = '{self.session.id}'", g=name)

    def _is_committed(self, name: str, key: CommitKey) -> bool:
        catalog = self.workspace.catalog
        return catalog.exists(name) and catalog.committed(name, key.writer) >= key.sequence

    def _global_fits(self) -> list[GlobalFit]:
        fits = [self._global_fit(origin) for origin in self.panel.grid.predicted]
        left = [fit for fit in fits if not fit.forecasts.exists()]
        if left:
            self._write_samples(left[0].samples)
            with self.session.stage("global"):
                self._run_global(left, len(fits))
        return fits

    def _global_fit(self, origin: int) -> GlobalFit:
        root = self.session.staging.root
        return GlobalFit(
            samples=str(root / "samples.parquet"),
            folder=str(root / "global"),
            keys=self.keys,
            time=self.session.definition.time,
            origin=origin,
            horizon=self.method.horizon,
        )

    def _write_samples(self, path: str) -> None:
        if Path(path).exists():
            return
        order = ", ".join(("origin", "step", *self.keys))
        samples = self.workspace.sql(f"select * from s order by {order}", s=self.panel.samples(self.training_set))
        stream, draft = self.workspace.frames.to_arrow(samples), Path(f"{path}.draft")
        schema = pa.schema([_narrow(field) for field in stream.schema])
        with pq.ParquetWriter(draft, schema) as writer:
            for batch in stream:
                writer.write_batch(batch.cast(schema))
        draft.rename(path)

    def _run_global(self, fits: Sequence[GlobalFit], total: int) -> None:
        tasks = [Task(key=str(fit.origin), payload=fit) for fit in reversed(fits)]
        done = total - len(fits)
        for outcome in self.workspace.tasks.map_tasks(fit_global, tasks, each=Resources(cpus=1)):
            if outcome.failure is not None:
                raise EngineError(
                    f"the global model failed at origin {outcome.key}: {outcome.failure.message}\n{outcome.failure.traceback}"
                )
            done += 1
            self.session.other_seconds += outcome.seconds
            self.workspace.emit(Event(kind="progress", stage="global model", done=done, total=total, unit="origins"))

    def _global_stream(self, fits: Sequence[GlobalFit]) -> pa.RecordBatchReader:
        fields = [pa.field("origin", pa.int64()), pa.field("step", pa.int64()), pa.field("value", pa.float64())]
        keys = [self._key_field(name) for name in self.keys]
        schema = pa.schema([pa.field("training", pa.string()), *keys, *fields])
        return pa.RecordBatchReader.from_batches(schema, self._global_batches(fits, schema))

    def _global_batches(self, fits: Sequence[GlobalFit], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for fit in fits:
            for batch in pq.ParquetFile(fit.forecasts).iter_batches():
                training = pa.repeat(pa.scalar(self.session.id), batch.num_rows)
                yield pa.RecordBatch.from_arrays([training, *batch.columns], names=schema.names).cast(schema)

    def _key_field(self, name: str) -> pa.Field:
        frame = self.workspace.sql(f"select {name} from s limit 0", s=self.panel.series)
        return self.workspace.frames.to_arrow(frame).schema.field(name)


def _narrow(field: pa.Field) -> pa.Field:
    """Features are learnt in single precision: half the memory, the same trees."""
    wide = field.type == pa.float64() and field.name not in NOT_FEATURES
    return field.with_type(pa.float32()) if wide else field
