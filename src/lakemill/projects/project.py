"""What a person writes in ``lakemill.yml``, and the project that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, ConfigDict, Field, TypeAdapter, WithJsonSchema

from lakemill.core.config import ConfigModel
from lakemill.core.records import AUTO, ClusterSpec, record
from lakemill.projects.clusters import DeclaredCluster, DeclaredNodeType, NodeTypeName
from lakemill.workspace.settings import WorkspaceSettings

RunIf = Literal["ALL_SUCCESS", "AT_LEAST_ONE_SUCCESS", "NONE_FAILED", "ALL_DONE", "AT_LEAST_ONE_FAILED", "ALL_FAILED"]
VariableType = Literal["string", "integer", "number", "boolean"]


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | bool | int | float):
        raise ValueError("expected text, a number, true or false")  # noqa: TRY004  pydantic places it
    return value


_REFERENCE = {"type": "string", "pattern": r"\$\{[^}]+\}"}

Scalar = Annotated[Any, AfterValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean"]})]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=100)]
Count = Annotated[int, Field(ge=0)]


class Bundle(ConfigModel):
    """Who the project is."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=100)]
    """Name of the project, and of its MLflow experiment."""


class Variable(ConfigModel):
    """A value that targets and the command line may set; used as ``${var.name}``."""

    default: Scalar | None = None
    """Value where nobody sets another; without one, somebody must."""
    description: str = ""
    """What it is for."""
    type: VariableType | None = None
    """Type of the value; taken from the default where not given."""


class Storage(ConfigModel):
    """Where the parts of the workspace live; each default is a file below ``.lakemill/``."""

    root: str | None = None
    """Folder or URI of tables, staging and reports."""
    metadata: str | None = None
    """SQLAlchemy URL of the metadata database: SQLite or PostgreSQL."""
    tracking: str | None = None
    """MLflow tracking URI."""
    artifacts: str | None = None
    """Folder or URI of MLflow artifacts."""


def _name_master(schema: dict[str, Any]) -> None:
    schema["properties"]["master"] = {"type": "string", "description": "The address, as Spark calls it."}


class Cluster(ConfigModel):
    """An engine: started here, or connected to."""

    model_config = ConfigDict(json_schema_extra=_name_master)

    kind: str = "local"
    """Engine kind: local, spark, ray; for tasks also auto, which leaves it to the planner."""
    address: str = Field(default="", validation_alias=AliasChoices("address", "master"))
    """An existing cluster, as ``spark://head:7077`` or ``ray://head:10001``; empty starts one here."""
    num_workers: Count = 0
    """Worker processes or nodes to start."""
    cpus_per_worker: Annotated[int, Field(ge=1)] | None = None
    """Cores of each worker; by default the machine's cores are shared out evenly."""
    memory_bytes_per_worker: Annotated[int, Field(ge=1)] | None = None
    """Memory of each worker; by default the engine's own choice."""
    autotermination_minutes: Annotated[float, Field(ge=0)] = 30.0
    """Idle minutes after which a cluster that was started here stops; 0 never stops it."""

    def spec(self) -> ClusterSpec:
        """Return the record that engines take."""
        return ClusterSpec(**self.model_dump())


class Compute(ConfigModel):
    """Which engine does what."""

    frames: Cluster = Cluster()
    """Engine of tables."""
    tasks: Cluster = Cluster(kind=AUTO)
    """Engine of independent tasks."""


class Target(ConfigModel):
    """One place to run: its workspace, its engines, its values of variables."""

    default: bool = False
    """Whether this target is used where none is named."""
    mode: Literal["development", "production"] = "development"
    """What the target is for."""
    workspace: Storage = Storage()
    """Where tables, metadata and models live."""
    compute: Compute = Compute()
    """Engines."""
    variables: dict[str, Scalar] = Field(default={})
    """Values of variables in this target."""


class Dependency(ConfigModel):
    """A task that must have ended before."""

    task_key: str
    """The other task."""
    outcome: str | None = None
    """The text that the other task must have returned; after any other it counts as excluded."""


class Task(ConfigModel):
    """One step of a job, run in a process of its own."""

    task_key: Key
    """Name of the task, unique in its job."""
    description: str = ""
    """What it does."""
    python: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")]
    """``module:attribute``: a function of the workspace, or a declaration, in the project's folder."""
    depends_on: tuple[Dependency, ...] = ()
    """Tasks that must have ended before this one starts."""
    run_if: RunIf = "ALL_SUCCESS"
    """How those tasks must have ended for this one to run."""
    parameters: dict[Key, Scalar] = Field(default={})
    """Keyword arguments of the function, over the parameters of the job."""
    max_retries: Annotated[int, Field(ge=-1)] = 0
    """Further attempts after a failure; -1 tries without end."""
    min_retry_interval_millis: Count = 0
    """Milliseconds from the start of a failed attempt to the start of the next, at least."""
    retry_on_timeout: bool = False
    """Whether an attempt that ran out of time is tried again as well."""
    timeout_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Seconds after which an attempt is killed; 0 sets no limit."""


class Parameter(ConfigModel):
    """A value that a caller of the job may set; functions that name it receive it."""

    name: Key
    """Name of the keyword argument."""
    default: Scalar
    """Value where the caller sets none; its type is the type of the parameter."""


class Job(ConfigModel):
    """Tasks that depend on one another."""

    name: str = ""
    """Name for people; the job's key where empty."""
    description: str = ""
    """What it does."""
    parameters: tuple[Parameter, ...] = ()
    """Values that a caller may set."""
    tasks: Annotated[tuple[Task, ...], Field(min_length=1, max_length=1000)]
    """The steps."""


class ResourceSection(ConfigModel):
    """What the project makes, and what it may use."""

    jobs: dict[Key, Job] = Field(default={})
    """Jobs by key: the name that ``lakemill run`` takes."""
    clusters: dict[Key, DeclaredCluster] = Field(default={})
    """Clusters by name, which ``lakemill plan`` weighs beside this machine."""


class ProjectFile(ConfigModel):
    """A Lakemill project: lakemill.yml."""

    bundle: Bundle
    """Name of the project."""
    include: tuple[str, ...] = ()
    """Patterns of further files whose keys belong to this one."""
    variables: dict[Key, Variable] = Field(default={})
    """Values to be set per target or on the command line."""
    targets: dict[Key, Target] = Field(default={})
    """Places to run; without any there is one, ``dev``, with everything below ``.lakemill/``."""
    node_types: dict[NodeTypeName, DeclaredNodeType] = Field(default={})
    """Kinds of machine that do not ship, or that cost you something else."""
    resources: ResourceSection = ResourceSection()
    """Jobs and clusters."""


@record
class Project:
    """A project file, resolved for one target.

    Parameters
    ----------
    name
        ``bundle.name``.
    target
        The target's key.
    mode
        What the target is for: ``development`` or ``production``.
    path
        The project file; user modules are imported from its folder, ``settings.project_dir``.
    settings
        The workspace.
    jobs
        Jobs by key.
    """

    name: str
    target: str
    mode: str
    path: str
    settings: WorkspaceSettings
    jobs: Mapping[str, Job]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``lakemill.yml``, for editors.

    Examples
    --------
    >>> json_schema()["required"]
    ['bundle']
    """
    schema = TypeAdapter(ProjectFile).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_or_reference(schema)}


def _or_reference(node: Any) -> Any:
    """Let a reference stand where a number, a flag or a word of a list is asked for."""
    if isinstance(node, list):
        return [_or_reference(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") in ("integer", "number", "boolean") or "enum" in node:
        told = {key: node[key] for key in ("title", "description", "default") if key in node}
        return {**told, "anyOf": [{key: value for key, value in node.items() if key not in told}, _REFERENCE]}
    return {key: _or_reference(value) for key, value in node.items()}
