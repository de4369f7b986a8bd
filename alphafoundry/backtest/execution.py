"""What trading costs, how large positions are, and when they are cut."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from alphafoundry.errors import BacktestError


@dataclass(frozen=True)
class Costs:
    """What a trade costs.

    Attributes
    ----------
    commission_per_share : in the price's currency
    commission_bps : share of the traded value, in basis points
    slippage_bps : difference between the close and the price obtained, in basis points
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
            _check(name, getattr(self, name), 0.0, math.inf)
        _check("max_commission_pct", self.max_commission_pct, 0.0, 1.0)


@dataclass(frozen=True)
class Sizing:
    """How large positions are and when they are cut; fractions, not percentages.

    Attributes
    ----------
    position_size_pct : share of equity in a position whose signal is 1
    max_positions : positions held at once, the strongest signals first, equal ones in the order
        of the symbols; None is without limit
    max_exposure_pct : most gross exposure, long and short together, over equity; all positions
        shrink alike above it
    stop_loss_pct : a position is closed at the first close that has moved this far against it
        since it was opened, and stays closed until its signal changes sign or goes to 0
    take_profit_pct : the same for a move in its favour
    max_drawdown_pct : everything is closed for good at the first close where equity is this far
        below its peak
    leverage : multiplies position_size_pct
    """

    position_size_pct: float = 0.05
    max_positions: int | None = None
    max_exposure_pct: float = 1.0
    stop_loss_pct: float | None = None
    take_profit_pct: float | None = None
    max_drawdown_pct: float | None = None
    leverage: float = 1.0

    def __post_init__(self) -> None:
        _check("position_size_pct", self.position_size_pct, 0.0, math.inf, open_low=True)
        _check("max_exposure_pct", self.max_exposure_pct, 0.0, math.inf, open_low=True)
        _check("leverage", self.leverage, 0.0, math.inf, open_low=True)
        if self.max_positions is not None:
            _check("max_positions", self.max_positions, 1, math.inf)
        if self.stop_loss_pct is not None:
            _check("stop_loss_pct", self.stop_loss_pct, 0.0, 1.0, open_low=True)
        if self.take_profit_pct is not None:
            _check("take_profit_pct", self.take_profit_pct, 0.0, math.inf, open_low=True)
        if self.max_drawdown_pct is not None:
            _check("max_drawdown_pct", self.max_drawdown_pct, 0.0, 1.0, open_low=True)


@dataclass(frozen=True)
class Execution:
    """Costs, sizing, and the equity that a backtest starts with (in the prices' currency)."""

    costs: Costs = field(default_factory=Costs)
    sizing: Sizing = field(default_factory=Sizing)
    initial_capital: float = 100_000.0

    def __post_init__(self) -> None:
        _check("initial_capital", self.initial_capital, 0.0, math.inf, open_low=True)


def _check(name: str, value: float, low: float, high: float, *, open_low: bool = False) -> None:
    if not math.isfinite(value) or value > high or value < low or (open_low and value == low):
        least = f"more than {low:g}" if open_low else f"at least {low:g}"
        most = f" and at most {high:g}" if math.isfinite(high) else ""
        raise BacktestError(f"{name}: {value} is out of range; give {least}{most}")
