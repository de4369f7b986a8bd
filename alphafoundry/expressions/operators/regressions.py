"""Residuals of regressions on several inputs, across a day or inside its groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions import buffers
from alphafoundry.expressions.compiled import across

_regression = across("fits", "group_regression")


def regression_errors(
    panels: Sequence[NDArray[np.float64]], groups: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return the residuals of the first panel on the others with intercept, inside each group.

    panels : shape (n_days, n_instruments); groups : labels of that shape, negative is unknown.
    NaN where an input is missing or infinite.
    """
    stacked = np.stack([*panels[1:], panels[0]])
    out = buffers.empty(groups.shape)
    _regression.fill(out, stacked, groups, int(groups.max(initial=0)) + 1)
    return out
