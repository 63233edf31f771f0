"""Clusters that aren't here: declared in the project file, on node types that ship or that a person adds."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Any, Final

from pydantic import Field

from lakemill.core.config import ConfigModel
from lakemill.core.planning import Cluster, Interval, NodeType, exact, within

GIB: Final = 2**30
BITS: Final = 8
ASSUMED_SPEED: Final = within(1.0, 0.5)
ASSUMED_START: Final = Interval(value=180.0, low=60.0, high=600.0)
MEMORY_FOR_WORK: Final = 0.9  # assumed: what the system and the cloud's own agents leave

Amount = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
NodeTypeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=100)]


class DeclaredNodeType(ConfigModel):
    """A kind of machine; keys that are left out are those of the type of that name that ships."""

    cores: Annotated[int, Field(ge=1)] | None = None
    """Virtual CPUs, so threads of a core where the cloud sells those."""
    memory_gib: Amount | None = None
    """Memory; a tenth of it is left to the system."""
    core_speed: Amount | None = None
    """Work of one core over that of a core here, all of them busy; taken as 0.5 to 1.5 where left out."""
    tflop_per_second: Amount | None = None
    """Peak of all cores together; only a deep model on cores needs it."""
    network_gbit_per_second: Amount | None = None
    """Of one node, in each direction; taken as 10 where left out."""
    accelerators: Count | None = None
    """GPUs."""
    accelerator_memory_gib: Amount | None = None
    """Of one of them."""
    accelerator_tflop_per_second: Amount | None = None
    """Dense BF16 peak of one of them."""
    accelerator_gb_per_second: Amount | None = None
    """Between those of one node, in each direction; taken as 10 where left out."""
    price_per_hour: Annotated[float, Field(ge=0)] | None = None
    """In the currency of the budget; 0 for a machine that is paid anyway."""

    @property
    def lacking(self) -> tuple[str, ...]:
        """Keys without which there is no machine."""
        wanted = ["cores", "memory_gib"]
        if self.accelerators:
            wanted += ["accelerator_memory_gib", "accelerator_tflop_per_second"]
        return tuple(name for name in wanted if getattr(self, name) is None)


class ShippedNodeType(DeclaredNodeType):
    """A row of the table that ships: prices are on demand, for Linux, in US dollars."""

    name: str
    cloud: str
    region: str = ""
    accelerator: str = ""
    read: str = ""
    """Day on which the row was taken from its source."""
    source: str = ""
    """Of the price."""


class Autoscale(ConfigModel):
    """Bounds between which a cluster grows."""

    min_workers: Annotated[int, Field(ge=1)] = 1
    """Nodes that are there, and paid, in any case."""
    max_workers: Annotated[int, Field(ge=1)]
    """Nodes that it may have; the plan says how many pay."""


class DeclaredCluster(ConfigModel):
    """A cluster that plans may use; nothing is started or reached."""

    node_type_id: str
    """Its nodes: a type that ships, or one of `node_types`."""
    num_workers: Count | None = None
    """Nodes that work, beside the driver's; 0, the default, is one node that does both."""
    autoscale: Autoscale | None = None
    """In place of a fixed number of nodes."""
    kind: str = ""
    """Engine kind that it offers: local, spark, ray; all that were measured here where left out."""
    start_seconds: Annotated[float, Field(ge=0)] | None = None
    """Until its nodes are there, 0 for one that runs already; taken as 60 to 600 where left out."""

    @property
    def scales(self) -> bool:
        """Whether it has nodes beside the driver's."""
        return bool(self.num_workers) or self.autoscale is not None


@lru_cache(maxsize=1)
def shipped() -> Mapping[str, ShippedNodeType]:
    """Return the node types that ship, by name."""
    with files(__package__).joinpath("node_types.csv").open(encoding="utf-8") as lines:
        rows = [{key: text for key, text in row.items() if text} for row in csv.DictReader(lines)]
    return {row["name"]: ShippedNodeType.model_validate_strings(row) for row in rows}


def node_types(declared: Mapping[str, DeclaredNodeType]) -> dict[str, DeclaredNodeType]:
    """Return all node types: a declared one is laid over the shipped one of its name."""
    laid_over = {name: _laid_over(shipped()[name], one) for name, one in declared.items() if name in shipped()}
    return {**shipped(), **declared, **laid_over}


def clusters_of(declared: Mapping[str, DeclaredCluster], types: Mapping[str, DeclaredNodeType]) -> tuple[Cluster, ...]:
    """Return declared clusters as plans take them, with the names of what is assumed of each."""
    known = node_types(types) if declared else {}
    return tuple(_cluster(name, one, known[one.node_type_id]) for name, one in declared.items())


def _laid_over(under: DeclaredNodeType, over: DeclaredNodeType) -> DeclaredNodeType:
    return under.model_copy(update=over.model_dump(exclude_none=True))


def _cluster(name: str, declared: DeclaredCluster, node_type: DeclaredNodeType) -> Cluster:
    least, most = _workers(declared)
    start = ASSUMED_START if declared.start_seconds is None else exact(declared.start_seconds)
    return Cluster(
        name=name,
        node=_node(declared.node_type_id, node_type),
        min_nodes=least,
        max_nodes=most,
        driver_nodes=int(declared.scales),
        start_seconds=start,
        lanes=(declared.kind,) if declared.kind else (),
        assumed=tuple(_assumed(declared, node_type)),
    )


def _workers(declared: DeclaredCluster) -> tuple[int, int]:
    if declared.autoscale is not None:
        return declared.autoscale.min_workers, declared.autoscale.max_workers
    return (max(1, declared.num_workers or 0),) * 2


def _assumed(declared: DeclaredCluster, node_type: DeclaredNodeType) -> Iterator[str]:
    if declared.start_seconds is None:
        yield "start_seconds"
    if node_type.core_speed is None:
        yield "core_speed"
    if node_type.network_gbit_per_second is None and declared.scales:
        yield "network_gbit_per_second"
    if node_type.accelerator_gb_per_second is None and (node_type.accelerators or 0) > 1:
        yield "accelerator_gb_per_second"


def _node(name: str, given: DeclaredNodeType) -> NodeType:
    speed = ASSUMED_SPEED if given.core_speed is None else exact(given.core_speed)
    figures: dict[str, Any] = {
        "flop_per_second": _times(given.tflop_per_second, 1e12),
        "network_bytes_per_second": _times(given.network_gbit_per_second, 1e9 / BITS),
        "accelerators": given.accelerators,
        "accelerator_memory_bytes": _times(given.accelerator_memory_gib, GIB),
        "accelerator_flop_per_second": _times(given.accelerator_tflop_per_second, 1e12),
        "accelerator_bytes_per_second": _times(given.accelerator_gb_per_second, 1e9),
        "price_per_hour": given.price_per_hour,
    }
    return NodeType(
        name=name,
        cores=given.cores or 0,
        memory_bytes=int((given.memory_gib or 0) * GIB * MEMORY_FOR_WORK),
        core_speed=speed,
        **{key: value for key, value in figures.items() if value is not None},
    )


def _times(amount: float | None, factor: float) -> float | None:
    return None if amount is None else amount * factor
