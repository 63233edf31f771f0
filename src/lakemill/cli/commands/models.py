"""``lakemill models``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lakemill.cli.options import JsonOption, TargetOption
from lakemill.cli.output import console, fields, plain, print_json, show, table
from lakemill.cli.wording import ago, value
from lakemill.core.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakemill.registry import Decision, Evaluation, ModelVersion, Registry

NEWEST: Final = 10


@record
class _Found:
    version: ModelVersion
    evaluation: Evaluation | None
    decision: Decision | None
    metrics: Mapping[str, float]


def models(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One model, with its versions.")] = None,
    target: TargetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the registered models, or show one with its versions and gates.

    Example:  lakemill models main.retail.demand
    """
    from lakemill.projects import open_workspace

    with open_workspace(target=target) as workspace, console(stderr=True).status("opening the registry"):
        names = [name] if name else workspace.models.models()
        found = {each: _versions(workspace.models, each) for each in names}
    if as_json:
        listed = [{"name": each, "versions": [_described(one) for one in found[each]]} for each in names]
        print_json({"model": listed[0]} if name else {"models": listed})
    elif name:
        _show(name, found[name])
    else:
        _list(found)


def _versions(registry: Registry, name: str) -> tuple[_Found, ...]:
    return tuple(_look(registry, version) for version in registry.versions(name))


def _look(registry: Registry, version: ModelVersion) -> _Found:
    run = registry.client.get_run(version.run_id) if version.run_id else None
    return _Found(
        version=version,
        evaluation=registry.evaluation(version),
        decision=registry.decision(version),
        metrics=run.data.metrics if run else {},
    )


def _described(found: _Found) -> dict[str, Any]:
    return {
        **plain(found.version),
        "evaluation": found.evaluation,
        "decision": found.decision,
        "metrics": found.metrics,
    }


def _list(found: Mapping[str, Sequence[_Found]]) -> None:
    made = table("model", "versions", "champion", "newest", "made", right=("versions", "champion", "newest"))
    for name, versions in found.items():
        champion = next((str(each.version.version) for each in versions if "champion" in each.version.aliases), "-")
        newest = versions[0].version
        made.add_row(name, str(len(versions)), champion, str(newest.version), ago(newest.created_at))
    show(made if found else "no models yet: a job registers them (`lakemill run JOB`)")


def _show(name: str, versions: Sequence[_Found]) -> None:
    made = table("version", "aliases", "evaluation", "made", right=("version",), wrap=("evaluation",))
    for each in versions[:NEWEST]:
        aliases = " ".join(f"@{alias}" for alias in each.version.aliases)
        made.add_row(str(each.version.version), aliases, _evaluated(each.evaluation), ago(each.version.created_at))
    gates = fields((f"gate of {each.version.version}", _judged(each.decision)) for each in versions[:NEWEST])
    metrics = table(
        "metric", f"version {versions[0].version.version}", right=(f"version {versions[0].version.version}",)
    )
    for metric, figure in sorted(versions[0].metrics.items()):
        metrics.add_row(metric, value(figure))
    show(fields([("model", name)]), made, gates, metrics)


def _evaluated(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return ""
    return f"{evaluation.metric} {evaluation.value:.4g} on {evaluation.data}, n = {evaluation.n:,}"


def _judged(decision: Decision | None) -> str:
    return f"{'passed' if decision.passed else 'held back'}: {decision.reason}" if decision else ""
