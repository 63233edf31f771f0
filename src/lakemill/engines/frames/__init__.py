"""Tables in, tables out, on every kind of engine."""

from lakemill.core.plugins import Slot
from lakemill.engines.frames.base import Aggregate, AsOf, Frame, FrameEngine

FRAME_ENGINES: Slot[FrameEngine] = Slot("lakemill.engines.frames", FrameEngine)  # type: ignore[type-abstract]

__all__ = ["FRAME_ENGINES", "Aggregate", "AsOf", "Frame", "FrameEngine"]
