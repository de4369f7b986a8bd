"""Alpha values to weights: decay, neutralization, truncation, scaling, in this order.

The public texts do not fix the order of decay and neutralization (the FAQ decays alpha values,
the seven-step page decays weights) nor whether truncation scales again. Here the values are
decayed before anything else, and truncation and scaling go together: weights above the limit are
cut to it and the others grow in proportion until the book is full and no weight is above.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import ConfigurationError
from alphafoundry.expressions import buffers
from alphafoundry.expressions.threads import ROWS_AT_ONCE, share
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

    Raises ConfigurationError where the neutralization is unknown, one of BRAIN's that needs
    other data (COUNTRY, STATISTICAL, CROWDING, ...), or the panel lacks its groups.
    """
    if neutralization == "NONE":
        return None
    group = GROUP_OF.get(neutralization)
    if group is None or group not in panel.groups:
        reason = f"this market has no {group} groups" if group else "not offered on a local market"
        raise ConfigurationError(
            f"neutralization {neutralization!r}: {reason}; "
            f"choose one of {', '.join(neutralizations(panel))}"
        )
    return panel.groups[group]


def to_weights(
    values: Matrix,
    mask: NDArray[np.bool_] | None = None,
    groups: NDArray[np.int32] | None = None,
    *,
    decay: int = 0,
    truncation: float = 0.0,
) -> Matrix:
    """Return weights of shape (n_days, n_instruments) with sum of absolute weights 1 per day.

    Parameters
    ----------
    values : alpha, shape (n_days, n_instruments); NaN and infinities get no position
    mask : True where the instrument is in the universe; None: everywhere
    groups : labels to neutralize within, negative is unknown and a group of its own; None: none
    decay : days of linear decay, weights n (today) to 1 over the last n values; 0 and 1 change
        nothing. An earlier NaN counts as 0, today's stays NaN; days before the first row are
        left out
    truncation : largest share of the book for one instrument, 0 is off. With fewer than
        1 / truncation instruments to hold, all get the same size

    A day on which nothing is left to hold has weights 0; so has one whose values are alike
    within each group. Row t depends on rows up to t only. Source: BRAIN's published steps, and
    the golden example close (6, 5, 2, 8, 4): NONE gives (.24, .20, .08, .32, .16), MARKET gives
    (.125, 0, -.375, .375, -.125).
    """
    from alphafoundry.simulation import kernels

    values, inside, labels = arrays_of(values, mask, groups)
    weights = buffers.empty(values.shape)

    def fill(first: int, last: int) -> None:
        rows = values[first:last]
        if decay > 1:
            rows = buffers.empty(rows.shape)
            kernels.decayed(values, decay, first, rows)
        here = labels[first:last]
        kernels.weighed(
            rows, inside[first:last], here, group_count(here), truncation, weights[first:last]
        )

    truncation = float(truncation)
    share(fill, len(values), ROWS_AT_ONCE)
    return weights


def arrays_of(
    values: Matrix, mask: NDArray[np.bool_] | None, groups: NDArray[np.int32] | None
) -> tuple[Matrix, NDArray[np.bool_], NDArray[np.int32]]:
    """Return the arguments of `to_weights` as its kernels take them."""
    values = np.ascontiguousarray(values, dtype=np.float64)
    inside = np.ones(values.shape, dtype=bool) if mask is None else np.ascontiguousarray(mask)
    if groups is None:
        return values, inside, np.empty((len(values), 0), np.int32)
    return values, inside, np.ascontiguousarray(groups)


def group_count(labels: NDArray[np.int32]) -> int:
    """Return the number of groups of these days, at least 1; 0 for labels of no instruments.

    labels : shape (n_days, n_instruments), as `arrays_of` returns them
    """
    return max(int(labels.max()) + 1, 1) if labels.size else 0
