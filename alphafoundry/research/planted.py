"""Whether a discovery on the calibration market is a planted effect or noise."""

from __future__ import annotations

import math
from collections.abc import Mapping

NOISE = "noise"
LEAST_PLANTED_SHARE = 0.5


def classify(planted: Mapping[str, float | None]) -> str:
    """Return "planted: reversal" (or the effect's name), or "noise".

    A discovery is planted when the planted effects together explain at least half of its PnL; it
    is named after the effect with the largest share. Shares add up with their signs, so an effect
    that costs money takes away from what the others earn.

    Parameters
    ----------
    planted : effect to the share of the PnL that its expected returns explain (0.3 is 30 %);
        None and NaN count as 0
    """
    shares = {
        effect: share
        for effect, share in planted.items()
        if share is not None and not math.isnan(share)
    }
    if not shares or sum(shares.values()) < LEAST_PLANTED_SHARE:
        return NOISE
    return f"planted: {max(sorted(shares), key=lambda effect: shares[effect])}"
