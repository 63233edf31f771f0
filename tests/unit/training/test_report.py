"""The report against figures computed with pandas from the same tables, in a real catalog and registry."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import ExitStack, closing
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lakemill.core.errors import ConfigError, NotFoundError
from lakemill.core.records import Context
from lakemill.features import TrainingSet
from lakemill.metadata.schema import job_runs, task_runs
from lakemill.registry import TRAINING, BetterThan, Decision
from lakemill.training.forecasting import Forecasting
from lakemill.training.forecasting.report import charts, forecasting_report
from lakemill.training.forecasting.report.products import Band
from lakemill.training.forecasting.report.subject import Subject
from lakemill.training.forecasting.report.verdict import verdict
from lakemill.training.many import ManyTraining
from lakemill.workspace import Workspace, WorkspaceSettings

HORIZON, DAYS = 7, 60
HELD = range(DAYS - HORIZON, DAYS)
HOSTILE = "<script>alert('x')</script>"
CLASSES = {HOSTILE: "smooth", "B2": "erratic", "C&3": "lumpy", "D4": "lumpy", "E5": "intermittent"}
MODEL = "main.shop.demand"
METHODS = ("mix", "tsb", "ses", "auto_ets")
BOUNDS = ("forecast", "lower_80", "upper_80", "lower_95", "upper_95")
NBSP = "\N{NO-BREAK SPACE}"

DEFINITION = ManyTraining(
    training_set=TrainingSet(spine="main.shop.daily", label="quantity"),
    by="product",
    time="day",
    registered_model=MODEL,
    gate=BetterThan(opponent="champion", metric="wrmsse"),
    fit=Forecasting(
        horizon=HORIZON, calendar="main.shop.calendar", forecasters=("tsb", "ses", "auto_ets"), members=("tsb", "ses")
    ),
)


class Shop:
    """A workspace with a finished training of five products, as tables written by hand."""

    def __init__(self, folder: Path, **context: str) -> None:
        settings = WorkspaceSettings.in_folder("shop", folder)
        self.ws = Workspace(settings, context=Context(user="tester", **context))
        self.rng = np.random.default_rng(3)
        self.days = [date(2024, 1, 1) + timedelta(days=n) for n in range(DAYS + HORIZON)]
        self.daily = self._daily()
        self.accuracy = self._accuracy("one")
        self.holdout = self._bands(HELD, "position").assign(training="one")
        self.holdout["actual"] = self.holdout.merge(
            self.daily.assign(position=[self.days.index(day) for day in self.daily["day"]]), how="left"
        )["quantity"].astype(float)
        self.forecast = self._bands(self.days[DAYS:], "day")

    def _daily(self) -> pd.DataFrame:
        rows = [(name, day, int(self.rng.poisson(4))) for name in CLASSES for day in self.days[:DAYS]]
        return pd.DataFrame(rows, columns=["product", "day", "quantity"])

    def _accuracy(self, training: str) -> pd.DataFrame:
        rows = [
            {
                "training": training,
                "product": name,
                "method": method,
                "class": kind,
                "weight": float(10 * (n + 1)),
                "rmsse": float(self.rng.uniform(0.7, 1.3)),
                "mase": float(self.rng.uniform(0.7, 1.3)),
                "forecast_units": float(self.rng.uniform(10, 20)),
                "actual_units": float(self.rng.integers(20, 30)),
                "inside_80": float(self.rng.integers(4, 7)) / HORIZON if method == "mix" else None,
                "inside_95": float(self.rng.integers(6, 8)) / HORIZON if method == "mix" else None,
            }
            for method in METHODS
            for n, (name, kind) in enumerate(CLASSES.items())
            if method != "auto_ets" or kind == "erratic"
        ]
        return pd.DataFrame(rows)

    def _bands(self, steps, name: str) -> pd.DataFrame:
        rows = [
            (product, step, *np.sort(self.rng.uniform(0, 9, 5))[[2, 1, 3, 0, 4]])
            for product in CLASSES
            for step in steps
        ]
        return pd.DataFrame(rows, columns=["product", name, *BOUNDS])

    def write(self, *names: str) -> Shop:
        """Write the named tables; all of them where none is named."""
        frames = {
            "daily": self.daily,
            "calendar": pd.DataFrame({"day": self.days}),
            "demand_accuracy": self.accuracy,
            "demand_holdout": self.holdout,
            "forecast": self.forecast,
        }
        for name in names or frames:
            self.table(name, frames[name])
        return self

    def table(self, name: str, frame: pd.DataFrame) -> None:
        self.ws.table(f"main.shop.{name}").write(pa.Table.from_pandas(frame, preserve_index=False), mode="overwrite")

    def register(self, training: str = "one", *, passed: bool = True, reason: str = "it was good") -> None:
        models = self.ws.models
        with models.start_run(MODEL, inputs=[self.ws.table("main.shop.daily").ref]) as run:
            pass
        if not any(name == MODEL for name in models.models()):
            models.client.create_registered_model(MODEL)
        made = models.client.create_model_version(MODEL, "nowhere", run_id=run.run_id, tags={TRAINING: training})
        models.promote(models.get(f"{MODEL}/{made.version}"), Decision(passed=passed, reason=reason))

    def close(self) -> None:
        self.ws.close()

    def report(self, **options: str) -> Page:
        path = forecasting_report(self.ws, DEFINITION, forecast="main.shop.forecast", **options)
        return Page(path.read_text())


class Page(HTMLParser):
    """The sections of a page, their text and the cells of their tables."""

    VOID = frozenset({"meta", "br", "circle", "path", "rect"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.open: list[str] = []
        self.ids: list[str] = []
        self.section: dict[str, str] = {}
        self.rows: dict[str, list[list[str]]] = {}
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs) -> None:
        found = dict(attrs).get("id")
        if found:
            self.ids.append(found)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.setdefault(self.where, []).append([])
        if tag in {"td", "th"}:
            self.rows[self.where][-1].append("")

    def handle_startendtag(self, tag: str, attrs) -> None:  # noqa: ARG002
        assert tag in self.VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.section[self.where] = self.section.get(self.where, "") + data
        if {"td", "th"} & set(self.open):
            self.rows[self.where][-1][-1] += data

    @property
    def where(self) -> str:
        return self.ids[-1] if self.ids else ""

    def text(self, section: str) -> str:
        return re.sub(r"\s+", " ", self.section[section].replace(NBSP, " "))

    def row(self, section: str, first: str) -> list[str]:
        """Return the cells of the first row that begins so."""
        row = next(row for row in self.rows[section] if row[0].strip() == first)
        return [cell.strip().replace(NBSP, " ").replace("\N{MINUS SIGN}", "-") for cell in row[1:]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store of MLflow: to make one takes longer than all that a test does with it."""
    folder = tmp_path_factory.mktemp("store")
    with Workspace(WorkspaceSettings.in_folder("shop", folder), context=Context(user="tester")) as ws:
        assert ws.models.models() == ()
    return folder / ".lakemill" / "mlflow.db"


@pytest.fixture
def open_shop(tmp_path: Path, store: Path):
    """Open a shop in a context, and close it after the test."""
    (tmp_path / ".lakemill").mkdir()
    shutil.copy(store, tmp_path / ".lakemill")
    with ExitStack() as stack:
        yield lambda **context: stack.enter_context(closing(Shop(tmp_path, **context)))


@pytest.fixture
def shop(open_shop) -> Shop:
    return open_shop()


def weighted(frame: pd.DataFrame) -> float:
    return float((frame["rmsse"] * frame["weight"]).sum() / frame["weight"].sum())


def test_methods_have_the_figures_of_pandas(shop: Shop) -> None:
    shop.write().register()
    page = shop.report()
    for method, title in {"mix": "mix", "tsb": "TSB", "ses": "exponential smoothing", "auto_ets": "AutoETS"}.items():
        own = shop.accuracy[shop.accuracy["method"] == method]
        mix = shop.accuracy[(shop.accuracy["method"] == "mix") & shop.accuracy["product"].isin(own["product"])]
        bias = own["forecast_units"].sum() / own["actual_units"].sum() - 1
        same, gain = f"{weighted(mix):.3f}", f"{100 * (1 - weighted(mix) / weighted(own)):+.1f} %"
        inside = [f"{100 * own[f'inside_{level}'].mean():.1f} %" for level in (80, 95)]
        assert page.row("methods", title) == [
            str(len(own)),
            f"{weighted(own):.3f}",
            *(["\N{EN DASH}"] * 2 if method == "mix" else [same, gain]),
            "",
            f"{own['rmsse'].mean():.3f}",
            f"{own['mase'].mean():.3f}",
            f"{100 * bias:+.1f} %",
            *(inside if method == "mix" else ["\N{EN DASH}"] * 2),
        ]


def test_classes_have_the_figures_of_pandas(shop: Shop) -> None:
    shop.write().register()
    page, mix = shop.report(), shop.accuracy[shop.accuracy["method"] == "mix"]
    held = shop.holdout.merge(mix[["product", "class"]])
    for kind in ("smooth", "erratic", "intermittent", "lumpy"):
        own, days = mix[mix["class"] == kind], held[held["class"] == kind]
        cells = page.row("classes", kind)
        assert cells[:2] == [str(len(own)), f"{weighted(own):.3f}"]
        assert cells[-1] == f"{100 * (days['actual'] > days['upper_80']).mean():.1f} %"
    assert page.row("classes", "all")[0] == "5"


def test_weighted_coverage_is_that_of_pandas(shop: Shop) -> None:
    shop.write().register()
    held = shop.holdout.merge(shop.accuracy[shop.accuracy["method"] == "mix"][["product", "weight"]])
    inside = held["actual"].between(held["lower_80"], held["upper_80"])
    share = (inside * held["weight"]).sum() / held["weight"].sum()
    assert f"{100 * share:.1f} % of the held-out days were inside" in shop.report().text("methods")


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (0.96, "earns its keep"),
        (0.98, "only a little better"),
        (1.01, "no better than the best single method"),
    ],
)
def test_the_verdict_is_honest(shop: Shop, factor: float, said: str) -> None:
    table = shop.accuracy
    best = table.loc[table["method"] == "tsb", "rmsse"].to_numpy()
    table.loc[table["method"] == "mix", "rmsse"] = best * factor
    table.loc[table["method"] == "ses", "rmsse"] = best * 1.1
    shop.write().register()
    text = shop.report().text("verdict")
    assert said in text
    assert f"the mix is {100 * abs(1 - factor):.1f} % {'better' if factor < 1 else 'worse'} than TSB" in text
    assert ("it is not reached" in text) == (factor > 0.97)


def test_a_method_fitted_to_few_series_is_not_the_best_single_one(shop: Shop) -> None:
    table = shop.accuracy
    table.loc[table["method"] == "auto_ets", "rmsse"] = 0.01
    shop.write().register()
    found = verdict(Subject(shop.ws, DEFINITION, forecast="main.shop.forecast"))
    assert found is not None
    assert found.best.method in {"tsb", "ses"}
    assert [(c.method, c.series) for c in found.partial] == [("auto_ets", 1)]
    mix = float(table[(table["method"] == "mix") & (table["product"] == "B2")]["rmsse"].iloc[0])
    assert found.partial[0].gain == pytest.approx(1 - mix / 0.01)


def test_the_range_of_the_gain_is_that_of_a_bootstrap(shop: Shop) -> None:
    n = 200
    weight, own = shop.rng.gamma(1.0, size=n), shop.rng.uniform(0.5, 2, n)
    mix = own * shop.rng.normal(0.97, 0.1, n)
    frames = [
        pd.DataFrame({"product": [str(k) for k in range(n)], "method": method, "weight": weight, "rmsse": rmsse})
        for method, rmsse in (("mix", mix), ("tsb", own))
    ]
    shop.table("demand_accuracy", pd.concat(frames).assign(training="one"))
    shop.write("daily").register()
    found = verdict(Subject(shop.ws, DEFINITION, forecast="main.shop.forecast"))
    draws = shop.rng.integers(0, n, (4000, n))
    gains = 1 - (weight * mix)[draws].sum(axis=1) / (weight * own)[draws].sum(axis=1)
    assert found is not None
    assert (found.best.low, found.best.high) == pytest.approx(np.quantile(gains, [0.025, 0.975]), abs=0.003)


def test_the_foreseen_method_is_judged_on_backtests_that_all_have(shop: Shop) -> None:
    """SES has no backtest of the hard series, and series without a unit must not decide."""
    columns = {
        "product": ["A", "A", "B", "C", "C"],
        "method": ["tsb", "ses", "tsb", "tsb", "ses"],
        "rmsse": [1.0, 1.1, 9.0, None, None],
        "unit": [1.0, 2.0, 3.0, None, None],
    }
    constants = {"training": ["one"] * 5, "origin": [5] * 5, "weight": [1.0] * 5}
    shop.ws.table("main.shop.demand_backtests").write(pa.table(columns | constants))
    shop.write().register()
    found = verdict(Subject(shop.ws, DEFINITION, forecast="main.shop.forecast"))
    assert found is not None
    assert found.foreseen == "tsb"


def test_the_headline_compares_with_the_last_horizon(shop: Shop) -> None:
    shop.write().register(reason="better & cheaper")
    page = shop.report()
    ahead, last = shop.forecast["forecast"].sum(), shop.daily[shop.daily["day"] >= shop.days[HELD[0]]]["quantity"].sum()
    change = f"{100 * abs(ahead / last - 1):.0f} % {'more' if ahead > last else 'less'} than in the last 7"
    assert f"{ahead:,.0f} units forecast for the next 7 open days, {change}" in page.text("")
    assert f"{last:,.0f} units were sold" in page.text("")
    assert "version 1, the champion. It was promoted: better & cheaper." in page.text("")
    assert "newcomers" not in page.ids


def test_new_series_that_dominate_are_set_apart(shop: Shop) -> None:
    day, ahead = shop.days[DAYS - 1], shop.days[DAYS:]
    shop.daily.loc[len(shop.daily)] = ("new", day, 80_000)
    huge = pd.DataFrame({"product": "new", "day": ahead, **dict.fromkeys(BOUNDS, 50_000.0)})
    usual = shop.forecast["forecast"].sum()
    shop.forecast = pd.concat([shop.forecast, huge])
    shop.write().register()
    page = shop.report()
    assert f"{usual:,.0f} units forecast for the next 7 open days" in page.text("")
    assert "new alone would add 350,000, from 1 day of history" in page.text("newcomers")
    assert "came to 80,000 units, and would add 350,000" in page.text("newcomers")


def test_a_large_bias_is_warned_of(shop: Shop) -> None:
    mix = shop.accuracy["method"] == "mix"
    shop.accuracy.loc[mix, "forecast_units"] = 0.8 * shop.accuracy.loc[mix, "actual_units"]
    shop.write().register()
    above = 100 * (shop.holdout["actual"] > shop.holdout["upper_80"]).mean()
    text = shop.report().text("bias")
    assert "came to 20 % less than was sold" in text
    assert f"upper end of the 80 % interval: demand was above it on {above:.1f} %" in text


def test_a_small_bias_is_not_warned_of(shop: Shop) -> None:
    shop.accuracy["forecast_units"] = 1.05 * shop.accuracy["actual_units"]
    shop.write().register()
    assert "bias" not in shop.report().ids


def test_the_worst_series_come_first_with_their_share(shop: Shop) -> None:
    shop.write().register()
    mix = shop.accuracy[shop.accuracy["method"] == "mix"].assign(loss=lambda f: f["weight"] * f["rmsse"])
    expected = mix.sort_values("loss", ascending=False)
    rows = shop.report().rows["worst"][1:]
    assert [row[0] for row in rows] == expected["product"].tolist()
    shares = expected["loss"] / expected["loss"].sum()
    assert [row[2].replace(NBSP, " ") for row in rows] == [f"{100 * share:.1f} %" for share in shares]


def test_every_class_is_drawn_with_history_and_bands(shop: Shop) -> None:
    shop.write().register()
    page = shop.report()
    drawn = page.html.split('id="drawn"')[1].split("</section>")[0]
    figures = drawn.split("<figure>")[1:]
    assert len(figures) == len(CLASSES)
    assert [next(kind for kind in CLASSES.values() if f"· {kind}" in figure) for figure in figures][:4] == [
        "intermittent",  # weights rise from product to product
        "lumpy",
        "erratic",
        "smooth",
    ]
    recent = shop.daily[(shop.daily["day"] >= shop.days[DAYS - 5 * HORIZON]) & (shop.daily["product"] == "E5")]
    stems = re.search(r'class="past"[^>]* d="([^"]*)"', figures[0])
    assert stems is not None
    assert stems[1].count("M") == (recent["quantity"] > 0).sum()
    for name in ("wide", "narrow", "ahead"):
        assert figures[0].count(f'class="{name}"') == 2


def test_the_page_needs_nothing_else_and_is_small(shop: Shop) -> None:
    shop.write().register()
    html = shop.report().html
    assert not re.search(r"https?:|//|@import|url\(|<link|<img|\bsrc=|\bhref=", html)
    assert len(html) < 200_000


def test_names_cannot_break_out(shop: Shop) -> None:
    shop.ws.table(f"{MODEL}_failures").write(
        pa.Table.from_pylist(
            [{"training": "one", "product": HOSTILE, "phase": "fit", "kind": "error", "message": "<b>bad</b>"}]
        )
    )
    shop.write().register(reason="<i>reason</i>")
    page = shop.report()
    for markup in ("<script", "<b>bad", "<i>reason"):
        assert markup not in page.html
    assert page.row("failures", HOSTILE) == ["fit", "error", "<b>bad</b>"]
    assert HOSTILE in page.text("worst")


def test_an_empty_ledger_is_said(shop: Shop) -> None:
    columns = ("training", "product", "phase", "kind", "message")
    shop.ws.table(f"{MODEL}_failures").write(pa.table({name: pa.array([], pa.string()) for name in columns}))
    shop.write().register()
    assert "None: the failure ledger of the training of version 1 is empty." in shop.report().text("failures")


def test_the_ledger_is_that_of_the_training_that_just_ran(shop: Shop) -> None:
    failed = [("one", "old"), ("two", "new"), ("two", "newer")]
    rows = [
        {"training": training, "product": name, "phase": "fit", "kind": "k", "message": ""} for training, name in failed
    ]
    shop.ws.table(f"{MODEL}_failures").write(pa.Table.from_pylist(rows))
    shop.write().register()
    shop.register("two", passed=False)
    page = shop.report()
    assert [row[0] for row in page.rows["failures"]] == ["product", "new", "newer"]
    assert "2 products could not be fitted in the training of version 2" in page.text("failures")


def test_quarantine_and_kept_lines_add_up(open_shop) -> None:
    shop = open_shop(run_id="run-1", task_key="ingest")
    lines = pd.DataFrame({"line": range(40), "product": "B2"})
    shop.table("sales", lines[:33])
    shop.table("quarantine", lines[33:].assign(rule=["no price"] * 2 + ["returned"] * 5))
    shop.write().register()
    page = shop.report(quarantine="main.shop.quarantine")
    assert "40 raw lines: 33 passed into main.shop.sales, 7 were caught" in page.text("quarantine")
    assert page.row("quarantine", "returned") == ["5", "12.50 %"]
    assert page.row("quarantine", "no price") == ["2", "5.00 %"]


def test_stages_of_the_job_run(open_shop) -> None:
    shop = open_shop(run_id="run-1", task_key="report")
    start = datetime(2024, 3, 1, 8, tzinfo=UTC)
    job = {"job": "demand", "target": "dev", "parameters": {}, "work": "w", "definition": "", "status": "running"}
    blank = {"run_id": "run-1", "error": "", "traceback": "", "log": ""}
    rows = [
        ("train", 1, "failed", {"tasks": "ray"}, 90, 3 * 2**29, "lost a worker"),
        ("train", 2, "success", {"tasks": "ray", "frames": "local"}, 30, 2**28, "done"),
        ("report", 1, "running", {}, None, 0, ""),
    ]
    with shop.ws.database.writing() as connection:
        connection.execute(job_runs.insert().values(run_id="run-1", user="tester", created_at=start, **job))
        for n, (key, attempt, status, engines, seconds, peak, message) in enumerate(rows):
            began = start + timedelta(minutes=n)
            ended = None if seconds is None else began + timedelta(seconds=seconds)
            row = {"task_key": key, "attempt": attempt, "status": status, "engines": engines, "message": message}
            row |= {"started_at": began, "ended_at": ended, "peak_bytes": peak}
            connection.execute(task_runs.insert().values(**row, **blank))
    shop.write().register()
    page = shop.report()
    assert page.row("stages", "train") == ["1 min 30 s", "", "1.5 GiB", "tasks: ray", "failed: lost a worker"]
    assert page.row("stages", "train (attempt 2)") == ["30.0 s", "", "256 MiB", "tasks: rayframes: local", "done"]
    assert page.row("stages", "report")[-1] == "running"
    assert "2 min 00 s in the stages that are done" in page.text("stages")


def test_what_is_missing_is_left_out(shop: Shop) -> None:
    shop.write("daily", "calendar").register()
    page = shop.report(quarantine="main.shop.quarantine")
    assert set(page.ids) == {"origin"}
    assert "No forecast yet" in page.text("")


def test_the_data_versions_are_those_that_were_read(shop: Shop) -> None:
    shop.write().register()
    shop.write("daily")
    assert "main.shop.daily version 1, main.shop.forecast version 1" in shop.report().text("origin").replace(
        f"version {shop.ws.table('main.shop.forecast').ref.version}", "version 1"
    )


def test_a_newer_version_that_was_not_promoted_is_named(shop: Shop) -> None:
    shop.write().register()
    shop.register("two", passed=False, reason="no better")
    text = shop.report().text("")
    assert "version 1, the champion." in text
    assert "Version 2, trained since, was not promoted: no better." in text


def test_the_newest_version_is_described_while_there_is_no_champion(shop: Shop) -> None:
    shop.write().register(passed=False, reason="worse than seasonal naive")
    text = shop.report().text("")
    assert "version 1, which is not promoted. The gate held it back: worse than seasonal naive." in text


def test_the_latest_report_is_a_copy(shop: Shop) -> None:
    shop.write("daily", "calendar").register()
    path = forecasting_report(shop.ws, DEFINITION, forecast="main.shop.forecast")
    latest = path.with_name(f"{MODEL}-latest.html")
    assert re.fullmatch(rf"{re.escape(MODEL)}-\d{{8}}T\d{{6}}Z\.html", path.name)
    assert latest.read_bytes() == path.read_bytes()
    assert not latest.is_symlink()


def test_without_a_model_there_is_nothing_to_report(shop: Shop) -> None:
    with pytest.raises(NotFoundError, match=MODEL):
        shop.report()


def test_only_forecasts_are_reported(shop: Shop) -> None:
    other = ManyTraining(training_set="main.shop.daily", by="product", time="day", fit=len, registered_model=MODEL)
    with pytest.raises(ConfigError, match="Forecasting"):
        forecasting_report(shop.ws, other, forecast="main.shop.forecast")


def test_the_report_is_loaded_when_it_is_asked_for() -> None:
    code = (
        "import sys, lakemill, lakemill.training.forecasting; "
        "assert not {'jinja2', 'lakemill.training.forecasting.report'} & set(sys.modules); "
        "assert callable(lakemill.forecasting_report)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


SPAN = charts.Span(start=0, holdout=40, end=50, last=59)


def test_rare_peaks_are_cut_and_the_highest_is_labelled() -> None:
    history = dict.fromkeys(range(50), 1.0) | {7: 900.0}
    drawing = charts.draw(charts.PRODUCT, SPAN, history=history, lines=[], days={})
    assert [tick.label for tick in drawing.cut] == ["900"]
    assert drawing.stems.count(f"V{charts.PRODUCT.top}") == 1


def test_coordinates_are_where_the_values_are() -> None:
    frame = charts.Frame(width=100, height=50, left=0, right=0, top=0, bottom=0)
    span = charts.Span(start=0, holdout=1, end=2, last=3)
    band = Band(position=2, forecast=1, lower_80=0, upper_80=2, lower_95=0, upper_95=4)
    line = [(2, 1.0)]
    drawing = charts.draw(
        frame, span, history={0: 4.0, 1: 0.0}, lines=[line], bands=[[band]], days={2: date(2024, 5, 9)}
    )
    unit = 50 / (4 * charts.HEADROOM)
    assert drawing.stems == f"M12.5 50V{50 - 4 * unit:.1f}"
    assert drawing.lines == (f"M62.5 {50 - unit:.1f}",)
    assert drawing.bands_95 == (f"M62.5 {50 - 4 * unit:.1f}L62.5 50Z",)
    assert [(tick.at, tick.label) for tick in drawing.columns] == [(0.0, ""), (25.0, ""), (50.0, "9 May")]
