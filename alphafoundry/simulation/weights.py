"""Alpha values to weights: decay, neutralization, truncation, scaling, in this order.

The public texts do not fix the order of decay and neutralization (the FAQ decays alpha values,
the seven-step page decays weights) nor whether truncation scales again. Here: decay the values,
subtract group means, cut, scale; the cut is taken as a share of the book before the last scaling,
so a weight can exceed it a little where many are cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import ConfigurationError
from alphafoundry.market.panel import Panel

Matrix = NDArray[np.float64]

GROUP_OF = {
    "MARKET": "market",
    "SECTOR": "sector",
    "INDUSTRY": "industry",
    "SUBINDUSTRY": "subindustry",
}


def neutralizations(panel: Panel) -> tuple[str, ...]:
    """Return the neutralizations that the panel's groups support, NONE first."""
    return ("NONE", *(name for name, group in GROUP_OF.items() if group in panel.groups))


def neutralization_groups(panel: Panel, neutralization: str) -> NDArray[np.int32] | None:
    """Return labels of shape (n_days, n_instruments), None for NONE.

    Raises
    ------
    ConfigurationError : the neutralization is unknown, or the panel lacks its groups
    """
    if neutralization == "NONE":
        return None
    group = GROUP_OF.get(neutralization)
    if group is None or group not in panel.groups:
        raise ConfigurationError(
            f"neutralization {neutralization!r}: not possible on this market; "
            f"choose one of {', '.join(neutralizations(panel))}"
        )
    return panel.groups[group]


def to_weights(
    values: Matrix,
    mask: NDArray[np.bool_],
    groups: NDArray[np.int32] | None,
    *,
    decay: int = 0,
    truncation: float = 0.0,
) -> Matrix:
    """Return weights of shape (n_days, n_instruments) with sum of absolute weights 1 per day.

    Parameters
    ----------
    values : alpha, shape (n_days, n_instruments); NaN and infinities get no position
    mask : True where the instrument is in the universe
    groups : labels to neutralize within, negative is unknown and a group of its own; None: none
    decay : days of linear decay, 0 and 1 change nothing. A past NaN counts as 0, today's stays
    truncation : largest share of the book for one instrument, 0 is off

    A day on which nothing is left to hold has weights 0. Source: BRAIN's published steps, and
    the golden example close (6, 5, 2, 8, 4): NONE gives (.24, .20, .08, .32, .16), MARKET gives
    (.125, 0, -.375, .375, -.125).
    """
    from alphafoundry.simulation import kernels

    values = np.ascontiguousarray(values, dtype=np.float64)
    if decay > 1:
        values = kernels.decayed(values, decay)
    neutralize = groups is not None
    labels = np.zeros(values.shape, np.int32) if groups is None else groups
    n_groups = int(labels.max(initial=-1)) + 1
    return np.asarray(
        kernels.weighed(
            values, np.ascontiguousarray(mask), labels, n_groups, neutralize, float(truncation)
        )
    )
