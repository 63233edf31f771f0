"""Many independent functions: one verb, `map_tasks`, on every kind of engine."""

from lakemill.core.plugins import Slot
from lakemill.engines.tasks.base import Attempt, Failure, Loss, Outcome, Task, TaskEngine

TASK_ENGINES: Slot[TaskEngine] = Slot("lakemill.engines.tasks", TaskEngine)  # type: ignore[type-abstract]

__all__ = ["TASK_ENGINES", "Attempt", "Failure", "Loss", "Outcome", "Task", "TaskEngine"]
