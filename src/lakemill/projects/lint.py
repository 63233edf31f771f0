"""Look at the whole project before anything runs: one small function per rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter

from lakemill.core.config import Document, Place, dotted
from lakemill.core.errors import ConfigError, nearest
from lakemill.core.records import AUTO
from lakemill.engines.frames import FRAME_ENGINES
from lakemill.engines.tasks import TASK_ENGINES
from lakemill.projects.clusters import Autoscale, DeclaredCluster, node_types, shipped
from lakemill.projects.project import Job, ProjectFile
from lakemill.workspace.clusters import HERE

Fault = tuple[Place, str]


def lint(file: ProjectFile, document: Document) -> None:
    """Check what no single key can show.

    Raises
    ------
    ConfigError
        With every fault and its place.
    """
    faults = [fault for rule in PROJECT_RULES for fault in rule(file)]
    for key, job in file.resources.jobs.items():
        where: Place = ("resources", "jobs", key)
        faults += [((*where, *place), message) for rule in JOB_RULES for place, message in rule(job)]
    if faults:
        raise ConfigError("\n".join(f"{document.place(where)}: {dotted(where)}: {text}" for where, text in faults))


def one_default_target(file: ProjectFile) -> Iterator[Fault]:
    """At most one target is the default."""
    defaults = [key for key, target in file.targets.items() if target.default]
    for key in defaults[1:]:
        yield ("targets", key, "default"), f"only one target can be the default, {defaults[0]!r} is it already"


def known_variables(file: ProjectFile) -> Iterator[Fault]:
    """Targets set variables that the project has."""
    for key, target in file.targets.items():
        for name in target.variables:
            if name not in file.variables:
                yield ("targets", key, "variables", name), f"no such variable; {nearest(name, file.variables)}"


def known_engines(file: ProjectFile) -> Iterator[Fault]:
    """Engines are of kinds that are installed."""
    for key, target in file.targets.items():
        for role, cluster, kinds in (
            ("frames", target.compute.frames, FRAME_ENGINES.kinds()),
            ("tasks", target.compute.tasks, (*TASK_ENGINES.kinds(), AUTO)),
        ):
            if cluster.kind not in kinds:
                where = ("targets", key, "compute", role, "kind")
                yield where, f"no such engine: {cluster.kind!r}; {nearest(cluster.kind, kinds)}"


def started_or_connected(file: ProjectFile) -> Iterator[Fault]:
    """Clusters are started here, or connected to."""
    for key, target in file.targets.items():
        for role, cluster in (("frames", target.compute.frames), ("tasks", target.compute.tasks)):
            if cluster.address and cluster.num_workers:
                where = ("targets", key, "compute", role, "num_workers")
                yield where, "a cluster is started here or connected to; drop num_workers to use the one at address"


def whole_node_types(file: ProjectFile) -> Iterator[Fault]:
    """Node types have cores and memory, their own or those of a shipped type."""
    if not file.node_types:
        return
    for name, node_type in node_types(file.node_types).items():
        for key in node_type.lacking:
            yield ("node_types", name, key), f"a node type that does not ship needs it; {nearest(name, shipped())}"


def known_node_types(file: ProjectFile) -> Iterator[Fault]:
    """Clusters are of node types that ship or are declared."""
    for name, cluster in file.resources.clusters.items():
        if cluster.node_type_id not in (known := node_types(file.node_types)):
            where = ("resources", "clusters", name, "node_type_id")
            yield where, f"no node type {cluster.node_type_id!r}; {nearest(cluster.node_type_id, known)}"


def possible_clusters(file: ProjectFile) -> Iterator[Fault]:
    """Clusters have a name of their own, one size, and an engine that there is."""
    for name, cluster in file.resources.clusters.items():
        for key, message in _cluster_faults(name, cluster):
            yield ("resources", "clusters", name, *key), message


def _cluster_faults(name: str, cluster: DeclaredCluster) -> Iterator[Fault]:
    kinds = {*TASK_ENGINES.kinds(), *FRAME_ENGINES.kinds()}
    if name == HERE:
        yield (), "that is what this machine is called; choose another name"
    if cluster.kind and cluster.kind not in kinds:
        yield ("kind",), f"no such engine: {cluster.kind!r}; {nearest(cluster.kind, kinds)}"
    if cluster.kind == "local" and cluster.scales:
        yield ("kind",), "local is one machine; leave out num_workers and autoscale, or choose another kind"
    if cluster.autoscale is not None:
        yield from _scale_faults(cluster, cluster.autoscale)


def _scale_faults(cluster: DeclaredCluster, scale: Autoscale) -> Iterator[Fault]:
    if cluster.num_workers is not None:
        yield ("num_workers",), "a cluster has a fixed number of workers or grows; drop num_workers or autoscale"
    if scale.max_workers < scale.min_workers:
        told = f"got {scale.max_workers}, below min_workers={scale.min_workers}"
        yield ("autoscale", "max_workers"), f"must be min_workers or more, {told}"


def unique_task_keys(job: Job) -> Iterator[Fault]:
    """No two tasks have the same key."""
    seen: dict[str, int] = {}
    for index, task in enumerate(job.tasks):
        first = seen.setdefault(task.task_key, index)
        if first != index:
            yield ("tasks", index, "task_key"), f"{task.task_key!r} is the key of tasks[{first}] already"


def unique_parameters(job: Job) -> Iterator[Fault]:
    """No two parameters have the same name."""
    seen: dict[str, int] = {}
    for index, parameter in enumerate(job.parameters):
        first = seen.setdefault(parameter.name, index)
        if first != index:
            yield ("parameters", index, "name"), f"{parameter.name!r} is the name of parameters[{first}] already"


def known_dependencies(job: Job) -> Iterator[Fault]:
    """Tasks depend on tasks of their job."""
    keys = [task.task_key for task in job.tasks]
    for index, task in enumerate(job.tasks):
        for number, other in enumerate(task.depends_on):
            if other.task_key not in keys:
                where = ("tasks", index, "depends_on", number, "task_key")
                yield where, f"no task {other.task_key!r}; {nearest(other.task_key, keys)}"


def no_circle(job: Job) -> Iterator[Fault]:
    """No task waits for itself."""
    graph = {task.task_key: [other.task_key for other in task.depends_on] for task in job.tasks}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield ("tasks",), f"tasks wait for one another in a circle: {' -> '.join(error.args[1])}"


PROJECT_RULES: tuple[Callable[[ProjectFile], Iterator[Fault]], ...] = (
    one_default_target,
    known_variables,
    known_engines,
    started_or_connected,
    whole_node_types,
    known_node_types,
    possible_clusters,
)
JOB_RULES: tuple[Callable[[Job], Iterator[Fault]], ...] = (
    unique_task_keys,
    unique_parameters,
    known_dependencies,
    no_circle,
)
