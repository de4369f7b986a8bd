"""How far the geometric mean of panels lies below their arithmetic mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def means_gap(panels: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return geometric minus arithmetic mean, cell by cell; NaN where one panel is."""
    product, total = panels[0], panels[0]
    for values in panels[1:]:
        product, total = product * values, total + values
    result: NDArray[np.float64] = product ** (1.0 / len(panels)) - total / len(panels)
    return result
