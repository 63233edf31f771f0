"""Many independent functions: one verb, `map_tasks`, on every kind of engine."""

from lakemill.core.plugins import Slot
from lakemill.engines.process import Attempt, Failure
from lakemill.engines.tasks.base import Outcome, Task, TaskEngine

TASK_ENGINES: Slot[TaskEngine] = Slot("lakemill.engines.tasks", TaskEngine)  # type: ignore[type-abstract]

__all__ = ["TASK_ENGINES", "Attempt", "Failure", "Outcome", "Task", "TaskEngine"]
