"""Ray: started here with one or several nodes, or connected to."""

from __future__ import annotations

import logging
import os
import socket
from typing import Final

import psutil
import ray
from ray.cluster_utils import Cluster

from lakemill.core.errors import EngineError
from lakemill.core.records import ClusterSpec
from lakemill.engines.idle import IdleStop

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
ANSWER_SECONDS: Final = 10


class RayCluster(IdleStop):
    """The Ray cluster of a process.

    Parameters
    ----------
    spec
        `address` connects; else `num_workers` nodes start here (0: the driver's node alone).

    Notes
    -----
    A process has one Ray connection. Where user code has called ``ray.init`` before, that
    connection is used and left as it was.
    """

    def __init__(self, spec: ClusterSpec) -> None:
        super().__init__(spec.autotermination_minutes)
        self.spec = spec
        self._nodes: Cluster | None = None
        self._guest = False

    def _start(self) -> None:
        self._guest = ray.is_initialized()
        if self._guest:
            return
        try:
            _check_answers(self.spec.address)
            ray.init(**self._arguments(), log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError) as error:
            raise EngineError(
                f"no Ray cluster at {self.spec.address or 'this machine'}: {error}",
                hint="check the address, or leave it empty to start Ray here",
            ) from error

    def _arguments(self) -> dict[str, object]:
        if self.spec.address:
            return {"address": self.spec.address}
        if self.spec.num_workers:
            return {"address": self._start_nodes()}
        cores = self.spec.cpus_per_worker or len(psutil.Process().cpu_affinity())
        return {
            "num_cpus": cores,
            "include_dashboard": False,
            "_memory": self.spec.memory_bytes_per_worker,
            "_node_ip_address": "127.0.0.1",
        }

    def _start_nodes(self) -> str:
        cores = self.spec.cpus_per_worker or max(1, len(psutil.Process().cpu_affinity()) // self.spec.num_workers)
        self._nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(self.spec.num_workers):
            self._nodes.add_node(num_cpus=cores, memory=self.spec.memory_bytes_per_worker)
        self._nodes.wait_for_nodes()
        return str(self._nodes.address)

    def _stop(self) -> None:
        if self._guest:
            return
        ray.shutdown()
        if self._nodes is not None:
            self._nodes.shutdown()
            self._nodes = None


def _check_answers(address: str) -> None:
    """Raise where nobody listens at ``host:port``: Ray itself goes on trying for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
