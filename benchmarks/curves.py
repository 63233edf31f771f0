"""The cost model against published scaling curves: ``python -m benchmarks.curves``.

Each curve in ``benchmarks/data/scaling`` names its source. What a plan would get from a probe comes from the smallest
sizes: for a deep model the utilisation from one, for a table model work and serial share from two. The rest is
predicted with the hardware's nominal figures; nothing is fitted to a curve. Errors are predicted over measured seconds.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks._run import figure, machine, report
from lakemill.core.planning import Cluster, LaneCost, NodeType, exact
from lakemill.parallel import CUTS, MIXED_ADAM, SGD, DeepModel, Part, Step, fold, transformer
from lakemill.planner import DeepTraining, TableModel
from lakemill.planner.cost import candidates
from lakemill.planner.deep import Site

FOLDER: Final = Path(__file__).parent / "data" / "scaling"
LANE: Final = LaneCost(kind="published", abilities=("gangs",), spans_nodes=True)
# LightGBM adds up a histogram of 255 bins of two doubles for each of 67 features, at each of 254 splits.
SPLITS, HISTOGRAM_BYTES = 254, 67 * 255 * 16

Row = dict[str, str]


def node(name: str, tflops: float, *, gpus: int = 8, inside: float, network: float) -> NodeType:
    """Return a node with accelerators: peak TFLOP/s of each, GB/s between them in a node, GB/s of the node."""
    return NodeType(
        name=name,
        cores=64,
        memory_bytes=2**40,
        accelerators=gpus,
        accelerator_memory_bytes=2**36,
        accelerator_flop_per_second=tflops * 1e12,
        accelerator_bytes_per_second=inside * 1e9,
        network_bytes_per_second=network * 1e9,
    )


# Nominal figures of the vendors and of the sources: PCIe 3 x16 16 GB/s; NVLink of P100 80, of V100 150, of A100 300
# GB/s in each direction; networks of 10, 25, 100 and 8 x 200 Gbit/s.
MACHINES: Final = {
    found.name: found
    for found in (
        node("p2.8xlarge", 4.4, inside=16, network=1.25),
        node("DGX-1 P100", 10.6, inside=80, network=50),
        node("25 Gbit/s P100", 10.6, gpus=4, inside=16, network=3.125),
        node("DLPerf fp32", 15.7, inside=150, network=12.5),
        node("DLPerf fp16", 125, inside=150, network=12.5),
        node("Selene", 312, inside=300, network=200),
    )
}
# Millions of parameters, of the models' authors. FLOPs fall out, for the utilisation is taken from the smallest size.
NETWORKS: Final = {
    "Inception v3": 23.9,
    "ResNet-50": 25.6,
    "ResNet-152": 60.4,
    "AlexNet": 60,
    "VGG-16": 138,
    "BERT base": 110,
}


@dataclass(frozen=True)
class Point:
    """One size of a curve: the seconds that were measured and those that are predicted."""

    series: str
    workers: int
    measured: float
    predicted: float
    probed: bool

    @property
    def error(self) -> float:
        """Return predicted over measured seconds, less one."""
        return self.predicted / self.measured - 1


def rows_of(path: Path) -> list[Row]:
    """Return the rows of a file without its lines on the source."""
    return list(csv.DictReader(line for line in path.read_text().splitlines() if not line.startswith("#")))


def series_of(path: Path) -> Iterator[list[Row]]:
    """Return the curves of a file, the smallest size first."""
    return (list(rows) for _, rows in groupby(rows_of(path), key=lambda row: row["series"]))


def model_of(row: Row) -> DeepModel:
    """Return the model of a row: a GPT by its width and depth, or a network by its parameters."""
    if row["model"] in NETWORKS:
        whole = Part(parameters=NETWORKS[row["model"]] * 1e6, flops_per_sample=1e9)
        nothing = Part(parameters=0, flops_per_sample=0)
        return DeepModel(layers=1, heads=1, layer=whole, outer=nothing, boundary_bytes_per_sample=1, precision=SGD)
    hidden, layers = map(int, row["model"].removeprefix("GPT ").split("x"))
    return transformer(layers, hidden, heads=8, sequence=2048, vocabulary=51200, precision=MIXED_ADAM)


def site_of(row: Row, *, utilisation: float = 1.0) -> Site:
    """Return the cut of a row on its nodes."""
    model, ranks, batch = model_of(row), int(row["ranks"]), int(row["batch"])
    tensor, pipeline, micro_batch = (int(row[name]) for name in ("tensor", "pipeline", "micro_batch"))
    kind, _, stage = row["data"].partition(" ")
    data, options = ranks // (tensor * pipeline), {"stage": int(stage)} if stage else {}
    degrees = ({"kind": "tensor"}, tensor), ({"kind": "pipeline"}, pipeline), ({"kind": kind, **options}, data)
    ways = tuple((str(spec["kind"]), CUTS.build(spec), degree) for spec, degree in degrees if degree > 1)
    recompute = row["model"].startswith("GPT")  # Megatron's tables count its FLOPs
    step = Step(micro_batch_samples=micro_batch, micro_batches=batch // micro_batch // data, recompute=recompute)
    facts = DeepTraining(
        rows=0,
        bytes=0,
        model=model,
        samples=batch,
        batch_samples=batch,
        micro_batch_samples=micro_batch,
        utilisation=exact(utilisation),
    )
    cluster = Cluster(node=MACHINES[row["machine"]], max_nodes=int(row["nodes"]))
    cut = fold(model, step, ways=[(way, degree) for _, way, degree in ways])
    return Site(facts=facts, lane=LANE, home=None, cluster=cluster, nodes=int(row["nodes"]), cut=cut, ways=ways)


def step_seconds(row: Row) -> float:
    """Return the measured seconds of a step: from samples a second, or from TFLOP/s of each accelerator."""
    batch, throughput = int(row["batch"]), float(row["throughput"])
    if row["machine"] != "Selene":
        return batch / throughput
    model = model_of(row)
    flop = model.layers * model.layer.flops_per_sample * 4 / 3 + model.outer.flops_per_sample
    return batch * flop / (throughput * 1e12 * int(row["ranks"]))


def deep_curve(rows: Sequence[Row]) -> Iterator[Point]:
    """Take the utilisation from the first size, and predict all."""
    first, measured = site_of(rows[0]).price(), step_seconds(rows[0])
    utilisation = (first.seconds.value - first.parts.communication) / (measured - first.parts.communication)
    for row in rows:
        predicted = site_of(row, utilisation=utilisation).price().seconds.value
        yield Point(row["series"], int(row["ranks"]), step_seconds(row), predicted, row is rows[0])


def table_curve(rows: Sequence[Row], *, rounds: int = 0, exchanged_bytes: int = 0) -> Iterator[Point]:
    """Take work and serial share from the first two sizes, and predict all."""
    (one, fewer), (two, more) = ((workers(row), float(row["seconds"])) for row in rows[:2])
    work = (fewer - more) / (1 / one - 1 / two)
    serial = max(0.0, fewer - work / one)
    core_seconds = serial + (work if serial else fewer * one)
    facts = TableModel(
        rows=0,
        bytes=0,
        core_seconds=exact(core_seconds),
        peak_bytes=exact(0),
        serial_share=serial / core_seconds,
        distributed="gangs",
        rounds=rounds,
        exchanged_bytes=exchanged_bytes,
    )
    for row in rows:
        yield Point(row["series"], workers(row), float(row["seconds"]), table_seconds(facts, row), row in rows[:2])


def table_seconds(facts: TableModel, row: Row) -> float:
    """Return the predicted seconds on the nodes of a row, all their cores at work."""
    cluster = Cluster(
        node=NodeType(name="node", cores=int(row["cores"]), memory_bytes=2**40, network_bytes_per_second=54e9 / 8),
        max_nodes=int(row["nodes"]),
    )
    found = {one.workers: one.seconds.value for one in candidates(facts, [LANE], [cluster])}
    return found[workers(row)]


def workers(row: Row) -> int:
    """Return the cores of all nodes of a row."""
    return int(row["nodes"]) * int(row["cores"])


CURVES: Final[dict[str, Callable[[Sequence[Row]], Iterator[Point]]]] = {
    "lightgbm.csv": lambda rows: table_curve(rows, rounds=SPLITS, exchanged_bytes=HISTOGRAM_BYTES),
    "spark.csv": table_curve,
}


def points() -> list[Point]:
    """Return all sizes of all curves."""
    return [
        point
        for path in sorted(FOLDER.glob("*.csv"))
        for rows in series_of(path)
        for point in CURVES.get(path.name, deep_curve)(rows)
    ]


def figures(found: Sequence[Point]) -> list[dict[str, Any]]:
    """Return how far off the predicted sizes are, those apart from which something was learnt."""
    errors = [abs(point.error) for point in found if not point.probed]
    near = float(np.mean([error <= 0.15 for error in errors]))
    return [
        figure("median error of predicted seconds", float(np.median(errors)), "share", goal=0.15, n=len(errors)),
        figure("predicted within 15 %", near, "share", better="higher", n=len(errors)),
        figure("largest error", max(errors), "share", n=len(errors)),
    ]


def main() -> None:
    """Print every point, each curve's median, and the figures."""
    found = points()
    for series, group in groupby(found, key=lambda point: point.series):
        told = list(group)
        median = float(np.median([abs(point.error) for point in told if not point.probed]))
        print(f"\n{series}: median error {median:.1%}")
        for point in told:
            what = "probed" if point.probed else f"{point.error:+.1%}"
            print(
                f"  {point.workers:>5} workers  {point.measured:10.4g} s  predicted {point.predicted:10.4g} s  {what}"
            )
    report("curves", machine(), figures(found))


if __name__ == "__main__":
    main()
