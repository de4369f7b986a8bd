"""How a backtest trades: its costs, how large positions are, and when they are cut."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from alphafoundry.finance.costs import Costs, check_range


@dataclass(frozen=True)
class Sizing:
    """How large positions are and when they are cut; fractions, not percentages.

    Attributes
    ----------
    position_size_pct : share of equity in a position whose signal is 1
    max_positions : positions held at once, the strongest signals first, of equal ones those with
        the largest mean dollar volume of 20 days, then in the order of the symbols; None is
        without limit
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
        check_range("position_size_pct", self.position_size_pct, 0.0, math.inf, open_low=True)
        check_range("max_exposure_pct", self.max_exposure_pct, 0.0, math.inf, open_low=True)
        check_range("leverage", self.leverage, 0.0, math.inf, open_low=True)
        if self.max_positions is not None:
            check_range("max_positions", self.max_positions, 1, math.inf)
        if self.stop_loss_pct is not None:
            check_range("stop_loss_pct", self.stop_loss_pct, 0.0, 1.0, open_low=True)
        if self.take_profit_pct is not None:
            check_range("take_profit_pct", self.take_profit_pct, 0.0, math.inf, open_low=True)
        if self.max_drawdown_pct is not None:
            check_range("max_drawdown_pct", self.max_drawdown_pct, 0.0, 1.0, open_low=True)


@dataclass(frozen=True)
class Execution:
    """Costs, sizing, and the equity that a backtest starts with (in the prices' currency)."""

    costs: Costs = field(default_factory=Costs)
    sizing: Sizing = field(default_factory=Sizing)
    initial_capital: float = 100_000.0

    def __post_init__(self) -> None:
        check_range("initial_capital", self.initial_capital, 0.0, math.inf, open_low=True)
