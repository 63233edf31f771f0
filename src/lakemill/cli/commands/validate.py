"""``lakemill validate``."""

from __future__ import annotations

from lakemill.cli.options import JsonOption, SetOption, TargetOption, settings
from lakemill.cli.output import fields, print_json, show


def validate(target: TargetOption = None, variables: SetOption = None, as_json: JsonOption = False) -> None:
    """Check the project file and what it names; run nothing.

    Example:  lakemill validate --target prod --set region=north
    """
    from lakemill.projects import check_references, load_project

    project = load_project(target=target, variables=settings(variables or ()))
    check_references(project)
    if as_json:
        print_json({"valid": True, "project": project})
        return
    jobs = [f"{key}: {' '.join(task.task_key for task in job.tasks)}" for key, job in project.jobs.items()]
    clusters = [f"{one.name}: up to {one.max_nodes} x {one.node.name}" for one in project.settings.clusters]
    engines = f"frames on {project.settings.frames.kind}, tasks on {project.settings.tasks.kind}"
    show(
        fields(
            [
                ("project", f"{project.name} is valid"),
                ("file", project.path),
                ("target", f"{project.target} ({project.mode})"),
                ("engines", engines),
                ("workspace", project.settings.root),
                *[("job", job) for job in jobs],
                *[("cluster", cluster) for cluster in clusters],
            ]
        )
    )
