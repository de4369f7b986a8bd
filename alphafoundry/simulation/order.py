"""In which order values are decayed and neutralized.

The public texts do not fix it: the FAQ decays alpha values, the seven-step page decays weights.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import ConfigurationError
from alphafoundry.expressions.compiled import across
from alphafoundry.simulation.weights import to_weights

Matrix = NDArray[np.float64]

Order = Literal["decay first", "neutralization first"]
"""The first is the usual one."""

_centred = across("groups", "group_centred")


def weights_in_order(
    values: Matrix,
    mask: NDArray[np.bool_] | None = None,
    groups: NDArray[np.int32] | None = None,
    *,
    order: Order = "decay first",
    decay: int = 0,
    truncation: float = 0.0,
) -> Matrix:
    """Return what `to_weights` does, with its first two steps in either order.

    "neutralization first" subtracts the mean of each day's group from the values and decays what
    is left. A group of today is then no longer exactly neutral, since past days had other members
    and means. Without decay or groups both orders are one. Raises ConfigurationError where the
    order is unknown.
    """
    if order not in get_args(Order):
        raise ConfigurationError(
            f"unknown order {order!r}; choose one of {', '.join(get_args(Order))}"
        )
    if order == "decay first" or decay <= 1 or groups is None:
        return to_weights(values, mask, groups, decay=decay, truncation=truncation)
    inside = values if mask is None else np.where(mask, values, np.nan)
    # The names of unknown group are neutralized as one, as `to_weights` does.
    labels = np.maximum(groups, -1) + 1
    neutral = _centred(inside, labels, int(labels.max(initial=0)) + 1, False)
    return to_weights(neutral, mask, None, decay=decay, truncation=truncation)
