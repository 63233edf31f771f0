"""Ranks that start and fail together."""

from lakemill.core.plugins import Slot
from lakemill.engines.gangs.base import GangEngine

GANG_ENGINES: Slot[GangEngine] = Slot("lakemill.engines.gangs", GangEngine)  # type: ignore[type-abstract]

__all__ = ["GANG_ENGINES", "GangEngine"]
