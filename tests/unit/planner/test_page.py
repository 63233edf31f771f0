"""The page of a plan against the plan itself, read back from its HTML."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from math import log

import pytest

from lakemill.core.planning import Limits, within
from lakemill.parallel import transformer
from lakemill.planner import DeepTraining, plan, shortlist
from lakemill.planner.page import Subject, page
from lakemill.planner.page.curves import curves
from tests.unit.planner.hardware import ACCELERATED, HERE, LANES, SMALL, many

CLUSTERS = (HERE, replace(SMALL, name="prod", assumed=("core_speed",)))
FACTS = many(40_000, 0.5, sources=(("seconds_per_fit", "history"), ("fits", "metadata")))
VOID = {"meta", "br", "path", "circle"}


class Reader(HTMLParser):
    """Checks that tags close in order, and keeps the words of each cell."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag, _attributes):
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "h1":
            self.headings.append("")

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
        if "h1" in self.open:
            self.headings[-1] += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert not reader.open
    return reader


def made(facts=FACTS, clusters=CLUSTERS, **limits):
    return plan(facts, lanes=LANES, clusters=clusters, limits=Limits(**limits))


def written(answer, facts=FACTS, clusters=CLUSTERS, task="train") -> str:
    return page("shop", [Subject(task=task, facts=facts, clusters=clusters, plan=answer)])


def test_the_page_says_what_the_plan_says():
    answer = made(deadline_seconds=7200, budget=50)
    text = written(answer)
    reader = read(text)
    assert reader.headings == ["Plan for train: ray on 8 nodes of small (prod), 64 workers"]
    assert all(reason in text for reason in answer.reasons[1:] if not reason.startswith("assumed"))
    assert "core speed of prod" in text
    (chosen,) = [row for row in reader.rows if row[0] == "choice"]
    assert chosen[1:4] == ["ray", "prod: 8 x small", "64"]
    assert float(chosen[6]) == pytest.approx(answer.choice.money.value, abs=0.005)
    shown = [row for row in reader.rows if len(row) == 8 and row[1] != "lane"]
    assert len(shown) == len(shortlist(answer, most=14))
    assert ["seconds per fit", "500 ms (450 ms to 550 ms)", "history"] in reader.rows
    assert ["prod", "small", "1 to 8", "8", "32 GiB", "1", "10", "2 min (84 s to 2.6 min)", "0.40"] in reader.rows


@pytest.mark.parametrize("most", [3, 100])
def test_the_short_list_has_the_choice_and_then_each_design_once(most):
    answer = made()
    few = shortlist(answer, most=most)
    assert few[0] is answer.choice
    assert len(set(few)) == len(few) <= most
    if most == 100:
        assert {one.design for one in few} == {one.design for one in answer.candidates}
        alone = {(one.lane, one.cluster) for one in few if one.workers == 1}
        assert alone == {(one.lane, one.cluster) for one in answer.candidates if one.workers == 1}


def test_it_needs_nothing_else():
    text = written(made())
    assert not re.search(r"<script|<link|<img|src=|href=|@import|url\(|https?:", text)
    assert "prefers-color-scheme: dark" in text


def test_names_of_others_are_shown_and_not_obeyed():
    hostile = (replace(HERE, name="<script>alert(1)</script>"),)
    text = written(made(clusters=hostile), clusters=hostile, task="<b>train</b>")
    assert "<script>" not in text
    assert "<b>train" not in text
    assert "&lt;script&gt;" in text


def test_nothing_meets_the_limits():
    answer = made(deadline_seconds=10)
    reader = read(written(answer))
    assert reader.headings == ["No plan for train meets the limits"]
    assert "relax the deadline from 10 s to" in written(answer)
    assert not [row for row in reader.rows if row[0] == "choice"]


def test_every_lane_and_cluster_has_its_curves():
    answer = made(deadline_seconds=7200, budget=50)
    drawn = {(one.lane, one.cluster): one for one in curves(answer)}
    assert set(drawn) == {(one.lane, one.cluster) for one in answer.candidates}
    assert all((one.money is None) == (one.cluster == "here") for one in drawn.values())
    chosen = [key for key, one in drawn.items() if any(point.chosen for point in one.seconds.points)]
    assert chosen == [("ray", "prod")]


def test_points_lie_on_logarithmic_axes():
    """Heights are a straight line in the logarithm of the seconds, over all drawings together."""
    answer = made()
    best = {}
    for one in answer.candidates:
        best.setdefault((one.lane, one.cluster, one.workers), one)
    places = []
    for curve in curves(answer):
        sizes = sorted(workers for lane, cluster, workers in best if (lane, cluster) == (curve.lane, curve.cluster))
        assert len(sizes) == len(curve.seconds.points)
        for workers, point in zip(sizes, curve.seconds.points, strict=True):
            seconds = best[curve.lane, curve.cluster, workers].seconds
            places += [(seconds.value, point.y), (seconds.high, point.top), (seconds.low, point.bottom)]
    (least, lowest), (most, highest) = min(places), max(places)
    for seconds, height in places:
        expected = lowest + (highest - lowest) * log(seconds / least) / log(most / least)
        assert height == pytest.approx(expected, abs=0.2)


def test_a_deep_model_is_drawn_over_its_ranks():
    model = transformer(8, 1024, heads=8, sequence=512, vocabulary=32_000)
    facts = DeepTraining(
        rows=10**6,
        bytes=10**9,
        model=model,
        samples=10**6,
        batch_samples=512,
        micro_batch_samples=4,
        utilisation=within(0.4, 0.3),
    )
    clusters = (ACCELERATED,)
    answer = plan(facts, lanes=LANES, clusters=clusters)
    assert "8 of 80 GiB" in written(answer, facts, clusters)
    assert max(point.x for curve in curves(answer) for point in curve.seconds.points) == 366
