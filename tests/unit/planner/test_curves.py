"""The cost model against curves that others measured and published."""

from __future__ import annotations

import statistics

import pytest
from benchmarks.curves import FOLDER, Point, points, rows_of


@pytest.fixture(scope="module")
def found() -> list[Point]:
    return points()


def median_error(found: list[Point], series: str = "") -> float:
    errors = [abs(point.error) for point in found if not point.probed and point.series.startswith(series)]
    return statistics.median(errors)


def test_every_file_names_its_source_and_every_curve_has_more_sizes_than_are_learnt_from(found):
    for path in FOLDER.glob("*.csv"):
        source, link, *_ = path.read_text().splitlines()
        assert source.startswith("# source: ")
        assert link.startswith("# link: https://")
        assert len(rows_of(path)) > 2
    for series in {point.series for point in found}:
        assert any(not point.probed for point in found if point.series == series)


def test_what_is_learnt_from_is_met_exactly(found):
    probed = [point for point in found if point.probed and not point.series.startswith("LightGBM")]
    assert [point.predicted for point in probed] == pytest.approx([point.measured for point in probed])


def test_predicted_sizes_are_near_the_published(found):
    assert median_error(found) < 0.10
    assert median_error(found, "LightGBM") < 0.05
    assert median_error(found, "TensorFlow") < 0.10
    assert median_error(found, "OneFlow BERT") < 0.06
    assert median_error(found, "Megatron-LM 174.6B") < 0.01
    assert median_error(found, "Megatron-LM 529.6B") < 0.01


def test_the_known_breaks_are_still_there(found):
    """When one of them goes, docs/benchmarks.md must say so."""
    assert median_error(found, "ZeRO-3") > 0.35
    assert median_error(found, "Megatron-LM weak") > 0.15
