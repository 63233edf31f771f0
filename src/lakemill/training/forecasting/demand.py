"""Classes of demand.

References
----------
Syntetos, Boylan, Croston (2005), On the categorization of demand patterns, Journal of the Operational
Research Society 56(5): mean interval between demands 1.32, squared coefficient of variation 0.49.
"""

from __future__ import annotations

from typing import Final

from lakemill.training.forecasting.forecasters.base import ERRATIC, INTERMITTENT, LUMPY, SMOOTH, Vector

INTERVAL_BORDER: Final = 1.32
VARIATION_BORDER: Final = 0.49
NONE: Final = "none"


def demand_class(y: Vector) -> str:
    """Return the class of a series that begins with its first demand.

    Examples
    --------
    >>> import numpy as np
    >>> demand_class(np.array([5.0, 6.0, 5.0])), demand_class(np.array([5.0, 0.0, 0.0, 60.0]))
    ('smooth', 'lumpy')
    """
    sold = y[y > 0]
    if not sold.size:
        return NONE
    frequent = y.size / sold.size < INTERVAL_BORDER
    steady = (sold.std() / sold.mean()) ** 2 < VARIATION_BORDER
    if frequent:
        return SMOOTH if steady else ERRATIC
    return INTERMITTENT if steady else LUMPY
