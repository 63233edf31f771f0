"""Train many models and register them as one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lakemill import features
from lakemill.catalog.schemas import check_columns
from lakemill.core.errors import ConfigError, TaskError, nearest
from lakemill.core.events import Event
from lakemill.core.records import TableRef, record, to_json
from lakemill.registry import EVALUATION, TRAINING, Decision, Evaluation, Gate, ModelVersion, Run, decide
from lakemill.training.many import facts
from lakemill.training.many.again import Only, choose, count, failed_groups
from lakemill.training.many.artifact import write_models
from lakemill.training.many.content import modules_of
from lakemill.training.many.definition import ManyTraining
from lakemill.training.many.functions import ROWS, fit_phase
from lakemill.training.many.groups import read_groups
from lakemill.training.many.outputs import FAILURES, Key
from lakemill.training.many.packs import Part
from lakemill.training.many.rows import read_batches
from lakemill.training.many.session import REGISTER, START, Session
from lakemill.workspace import Workspace, execute
from lakemill.workspace.history import surprise

if TYPE_CHECKING:
    import pandas as pd

MODELS, FAILED, BASELINE = "lakemill.models", "lakemill.failed", "lakemill.baseline"
PYFUNC = Path(__file__).with_name("pyfunc.py")


@record
class Fitted:
    """What fitting came to, before it is registered.

    Parameters
    ----------
    evaluations
        The figures by metric.
    baselines
        What stands in for a champion while there is none, by metric.
    texts
        Files to keep with the run, by name.
    example
        From the key of a group to rows that its model can predict.
    """

    evaluations: Mapping[str, Evaluation]
    example: Callable[[Key], pd.DataFrame]
    baselines: Mapping[str, Evaluation] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


@record
class Trained:
    """What a training came to.

    Parameters
    ----------
    surprise
        What it took beside what had been predicted, where the two are far apart.
    """

    training: str
    version: ModelVersion
    groups: int
    failed: int
    decision: Decision | None = None
    surprise: str = ""


def train(
    workspace: Workspace, definition: ManyTraining, *, only: Only | None = None, base: int | None = None
) -> Trained:
    """Train a model for every group, or for some again, and register them all as one version.

    Groups that fail stand in the table ``<registered_model>_failures`` and stop nobody else. A
    training that was killed goes on where it was; one that is done is not done again.

    Parameters
    ----------
    workspace
        Where the tables, engines and models are.
    definition
        What to train.
    only
        Keys of the groups to train again, or ``"failed"`` for all that failed; every other group is
        carried over from version `base` into the new one. If none failed, `base` is returned.
    base
        That version; by default the newest.

    Raises
    ------
    TaskError
        If no group could be fitted.
    ConfigError
        If the gate asks for a metric that was not measured.
    NotFoundError, SchemaError
        If the training set does not fit the definition, or there is no such group or version.
    """
    subset = None if only is None else choose(workspace, definition, only=only, version=base)
    if subset is not None and not count(workspace, subset.groups):
        return _trained(subset.base, workspace.models.decision(subset.base))
    session = Session(workspace, definition, subset=subset)
    known, surprise = workspace.models.find(definition.registered_model, training=session.id), ""
    if known is None:
        known, surprise = _carry_out(session)
    decision = _promote(workspace, definition, known)
    session.staging.remove()
    return replace(_trained(known, decision), surprise=surprise)


@execute.register
def _(target: ManyTraining, workspace: Workspace) -> str:
    trained = train(workspace, target)
    name, number = trained.version.name, trained.version.version
    text = f"{name} version {number}: {trained.groups - trained.failed:,} models, {trained.failed:,} failed"
    if trained.decision is not None:
        text += f"; {'promoted' if trained.decision.passed else 'not promoted'}: {trained.decision.reason}"
    return text + (f"; {trained.surprise}" if trained.surprise else "")


def _carry_out(session: Session) -> tuple[ModelVersion, str]:
    """Fit and register under one MLflow run, which has the seconds of both; remember what they took."""
    name, tags = session.definition.registered_model, {TRAINING: session.id}
    started, made = time.perf_counter(), facts.placed(session)
    with session.stage(START):
        session.workspace.tasks.slots(session.definition.resources)  # where it is not up, that starts the engine
    expected = facts.expected(session)
    with session.workspace.models.start_run(name, inputs=session.refs, tags=tags) as run:
        if made is not None:
            run.log_text(to_json(made.plan), "plan.json")
        fitted = fit_groups(session)
        with session.stage(REGISTER):
            registered = _register(session, fitted, run)
    past = facts.remember(session, seconds=time.perf_counter() - started, expected=expected)
    return registered, surprise(past) if past else ""


def fit_groups(session: Session) -> Fitted:
    """Fit every group: call a fit function on each, or let a declaration's own module do it."""
    fit = session.definition.fit
    if not callable(fit):
        fitted: Fitted = import_module(fit.trained_by).fit_groups(session)
        return fitted
    rows = features.load(session.workspace, session.definition.training_set)
    check_columns([*session.definition.keys, session.definition.time], session.workspace.frames.schema(rows).names)
    session.prepare({ROWS: Part(frame=rows, order=(session.definition.time,))}, cost="count(*)")
    session.run(fit_phase(session.definition))
    return Fitted(evaluations=_mean_metrics(session), example=partial(_rows_of, session))


def _rows_of(session: Session, key: Key) -> pd.DataFrame:
    """Return the first rows of a group."""
    phase = fit_phase(session.definition)
    for pack in session.packs.numbers:
        for group in read_groups(phase, session.staging, pack):
            if group.key == key:
                return group.frame(ROWS).head()
    raise LookupError(key)


def _mean_metrics(session: Session) -> dict[str, Evaluation]:
    """Return the mean of each metric over groups."""
    query = "select metric, avg(value) as value, count(value) as n from m where training = '{}' group by metric"
    workspace = session.workspace
    frame = workspace.sql(query.format(session.id), m=session.table("metrics"))
    return {
        row["metric"]: Evaluation(
            metric=row["metric"], value=row["value"], of="the mean over groups", n=row["n"], data=data_of(session)
        )
        for row in workspace.frames.to_arrow(frame).read_all().to_pylist()
    }


def data_of(session: Session) -> str:
    """Say what a training was measured on."""
    return f"{session.refs[0].name} version {session.refs[0].version}"


def _register(session: Session, fitted: Fitted, run: Run) -> ModelVersion:
    """Write the artifact and what the run says, and register the version."""
    from lakemill.training.many.many_model import signature_of  # MLflow takes a second to import

    workspace, definition = session.workspace, session.definition
    workspace.emit(Event(kind="note", text="registering the models"))
    with TemporaryDirectory(prefix="lakemill-models-") as folder:
        artifacts = {"models": f"{folder}/models.sqlite", "layout": f"{folder}/layout.json"}
        number = write_models(Path(artifacts["models"]), _models(session))
        if not number:
            raise TaskError("no group has a model", hint=f"see table {session.table(FAILURES)}")
        Path(artifacts["layout"]).write_text(json.dumps({"by": definition.keys}))
        _log(run, session, fitted, number)
        example = fitted.example(next(_models(session))[0])
        signature = signature_of(artifacts, example)  # before the code is looked for: it imports a model's module
        return workspace.models.register(
            run,
            name=definition.registered_model,
            code=PYFUNC,
            artifacts=artifacts,
            signature=signature,
            input_example=example,
            pip_requirements=[f"lakemill=={version('lakemill')}"],
            code_paths=modules_of(Path(workspace.settings.project_dir)),
            tags=_tags(session, fitted, number),
        )


def _models(session: Session) -> Iterator[tuple[tuple[Any, ...], bytes]]:
    for pack in session.packs.numbers:
        for batch in read_batches(session.staging.result_file("fit", pack, "models")):
            wanted = batch.select([*session.definition.keys, "model"])
            yield from _keyed(wanted.to_pydict(), session.definition.keys)
    if session.subset is not None:
        for batch in session.workspace.frames.to_arrow(session.subset.others(session.table("models"))):
            yield from _keyed(batch.to_pydict(), session.definition.keys)


def _keyed(columns: dict[str, list[Any]], by: tuple[str, ...]) -> Iterator[tuple[tuple[Any, ...], bytes]]:
    for number, model in enumerate(columns["model"]):
        yield tuple(columns[name][number] for name in by), model


def _log(run: Run, session: Session, fitted: Fitted, models: int) -> None:
    run.log_params({"by": ", ".join(session.definition.keys), "training": session.id, "models": models})
    run.log_metrics(session.metrics | {name: evaluation.value for name, evaluation in fitted.evaluations.items()})
    run.log_outputs(_results(session))
    for name, text in {"definition.json": to_json(session.definition), **fitted.texts}.items():
        run.log_text(text, name)


def _results(session: Session) -> Iterator[TableRef]:
    """Yield the tables that hold what the training found, each group in rows of its own."""
    catalog = session.workspace.catalog
    for info in catalog.tables(session.table("")):
        if "training" in (ref := catalog.ref(info.name)).column_names:
            yield ref


def _tags(session: Session, fitted: Fitted, models: int) -> dict[str, str]:
    failed = count(session.workspace, failed_groups(session.workspace, session.definition, session.id))
    tags = {TRAINING: session.id, MODELS: str(models), FAILED: str(failed), **session.tags}
    gate = session.definition.gate
    if gate is not None:
        tags[EVALUATION] = to_json(_measured(fitted, gate.metric))
        if gate.metric in fitted.baselines:
            tags[BASELINE] = to_json(fitted.baselines[gate.metric])
    return tags


def _measured(fitted: Fitted, metric: str) -> Evaluation:
    if metric not in fitted.evaluations:
        raise ConfigError(
            f"the gate asks for metric {metric!r}, which was not measured", hint=nearest(metric, fitted.evaluations)
        )
    return fitted.evaluations[metric]


def _promote(workspace: Workspace, definition: ManyTraining, version: ModelVersion) -> Decision | None:
    """Let the gate compare the version with its opponent, and move the aliases."""
    gate, models = definition.gate, workspace.models
    if gate is None:
        return None
    decision = models.decision(version) or _decide(workspace, version, gate)
    models.promote(version, decision)  # also after a kill between the decision and the move
    return decision


def _decide(workspace: Workspace, version: ModelVersion, gate: Gate) -> Decision:
    challenger = workspace.models.evaluation(version)
    assert challenger is not None  # a training with a gate registers one
    return decide(gate, challenger, _opponent(workspace, version, alias=gate.opponent))


def _opponent(workspace: Workspace, version: ModelVersion, *, alias: str) -> Evaluation | None:
    """Return the evaluation of the alias' version; while no version has it, the baseline's."""
    models = workspace.models
    for other in models.versions(version.name):
        if alias in other.aliases and (known := models.evaluation(other)) is not None:
            return replace(known, of=f"{alias} version {other.version}")
    baseline = version.tags.get(BASELINE)
    return Evaluation(**json.loads(baseline)) if baseline else None


def _trained(version: ModelVersion, decision: Decision | None) -> Trained:
    models = int(version.tags[MODELS])
    failed = int(version.tags[FAILED])
    return Trained(
        training=version.tags[TRAINING], version=version, groups=models + failed, failed=failed, decision=decision
    )
