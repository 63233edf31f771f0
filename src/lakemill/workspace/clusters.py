"""Where a plan may run work: on this machine, and on clusters that the project declares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from lakemill.core.errors import ConfigError, nearest
from lakemill.core.planning import Cluster, LaneCost, NodeType
from lakemill.engines.assumed import assumed_lanes
from lakemill.workspace.hardware import Hardware

HERE: Final = "here"
MEASURED_HERE: Final = (
    "memory_bytes_per_second",
    "ring_bytes_per_second",
    "ring_latency_seconds",
    "disk_bytes_per_second",
)
"""Figures of a node that nobody declares: between processes of one node."""


def at_hand(declared: Iterable[Cluster], hardware: Hardware, *, names: Sequence[str] = ()) -> tuple[Cluster, ...]:
    """Return clusters by name, ``here`` for this machine; without names all of them.

    Raises
    ------
    ConfigError
        If there is none of a name.
    """
    here = Cluster(node=hardware.node, lanes=tuple(lane.kind for lane in hardware.lanes))
    known = {HERE: here, **{cluster.name: _filled_in(cluster, hardware.node) for cluster in declared}}
    for name in names:
        if name not in known:
            raise ConfigError(f"no cluster {name!r}; {nearest(name, known)}", hint="resources.clusters declares them")
    return tuple(known[name] for name in dict.fromkeys(names or known))


def _filled_in(cluster: Cluster, here: NodeType) -> Cluster:
    return replace(cluster, node=replace(cluster.node, **{name: getattr(here, name) for name in MEASURED_HERE}))


def lanes_on(clusters: Iterable[Cluster], hardware: Hardware) -> tuple[LaneCost, ...]:
    """Return what each lane costs: as measured here, and as assumed where a cluster offers what is not here.

    Raises
    ------
    ConfigError
        If nobody knows what a lane costs.
    """
    measured = {lane.kind for lane in hardware.lanes}
    lacking = dict.fromkeys(kind for cluster in clusters for kind in cluster.lanes if kind not in measured)
    return (*hardware.lanes, *(lane for kind in lacking for lane in assumed_lanes(kind)))
