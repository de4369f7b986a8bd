"""What trading costs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from alphafoundry.errors import BacktestError


@dataclass(frozen=True)
class Costs:
    """What a trade costs.

    Attributes
    ----------
    commission_per_share : in the price's currency
    commission_bps : share of the traded value, in basis points
    slippage_bps : difference between the price aimed at and the price obtained, in basis points
    max_commission_pct : most that commission_per_share may take of a trade's value, as a
        fraction; brokers cap it at 1 %, without which a price of a few cents, or of a fraction
        of one, costs more than the trade is worth
    """

    commission_per_share: float = 0.01
    commission_bps: float = 0.0
    slippage_bps: float = 10.0
    max_commission_pct: float = 0.01

    def __post_init__(self) -> None:
        for name in ("commission_per_share", "commission_bps", "slippage_bps"):
            check_range(name, getattr(self, name), 0.0, math.inf)
        check_range("max_commission_pct", self.max_commission_pct, 0.0, 1.0)

    @property
    def rate(self) -> float:
        """Commission and slippage as a fraction of the traded value, per share not included."""
        return (self.slippage_bps + self.commission_bps) / 10_000


def check_range(
    name: str, value: float, low: float, high: float, *, open_low: bool = False
) -> None:
    """Raise BacktestError where a value is not finite or not from `low` to `high`.

    open_low : `low` itself is refused too
    """
    if not math.isfinite(value) or value > high or value < low or (open_low and value == low):
        least = f"more than {low:g}" if open_low else f"at least {low:g}"
        most = f" and at most {high:g}" if math.isfinite(high) else ""
        raise BacktestError(f"{name}: {value} is out of range; give {least}{most}")
