"""The one number that mining tries to raise."""

from __future__ import annotations

import math
from collections.abc import Sequence

from alphafoundry.research.selection import INFORMATIVE, CheckLike

SMALLEST_PENALTY = 0.1
LARGEST_PENALTY = 0.5

_INSIDE_FITNESS = frozenset({"LOW_FITNESS", "LOW_SHARPE"})


def mining_score(fitness: float | None, checks: Sequence[CheckLike]) -> float | None:
    """Return fitness less a penalty for each failed check; None where fitness is None or NaN.

    A FAIL costs 0.1 plus 0.4 times how far the value is beyond its limit, |value - limit| /
    |limit|, at most 1; without numbers it costs 0.5. So a turnover of 0.9 against a limit of 0.7
    costs 0.21. LOW_FITNESS and LOW_SHARPE cost nothing, since the fitness says the same already;
    the MATCHES_... checks never count.
    """
    if fitness is None or math.isnan(fitness):
        return None
    return fitness - sum(
        _penalty(check.value, check.limit)
        for check in checks
        if check.result == "FAIL" and check.name not in _INSIDE_FITNESS | INFORMATIVE
    )


def _penalty(value: float | None, limit: float | None) -> float:
    if value is None or limit is None or not limit or math.isnan(value):
        return LARGEST_PENALTY
    beyond = min(abs(value - limit) / abs(limit), 1.0)
    return SMALLEST_PENALTY + (LARGEST_PENALTY - SMALLEST_PENALTY) * beyond
