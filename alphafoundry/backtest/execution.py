"""How a backtest trades: its costs and prices, how large positions are, and when they are cut."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from alphafoundry.errors import BacktestError
from alphafoundry.finance.costs import Costs, check_range

Fill = Literal["close", "next_open"]
Stops = Literal["close", "high_low"]


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
    trailing_stop_pct : the same for a fall from the best close since it was opened
    max_drawdown_pct : everything is closed for good at the first close where equity is this far
        below its peak
    leverage : multiplies position_size_pct
    """

    position_size_pct: float = 0.05
    max_positions: int | None = None
    max_exposure_pct: float = 1.0
    stop_loss_pct: float | None = None
    take_profit_pct: float | None = None
    trailing_stop_pct: float | None = None
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
        if self.trailing_stop_pct is not None:
            check_range("trailing_stop_pct", self.trailing_stop_pct, 0.0, 1.0, open_low=True)
        if self.max_drawdown_pct is not None:
            check_range("max_drawdown_pct", self.max_drawdown_pct, 0.0, 1.0, open_low=True)


@dataclass(frozen=True)
class Execution:
    """Costs, sizing, prices, and the equity that a backtest starts with.

    Attributes
    ----------
    initial_capital : in the prices' currency
    fill : "close" trades at the close of the day whose signal it is, "next_open" at the open of
        the day after
    stops : "close" looks at closes and fills as `fill` says; "high_low" fills at the level of the
        stop on the day whose high or low reaches it, at the open of a day that opens beyond it.
        Where one day reaches both, the stop comes before the target
    borrow_pct : what a year of a short position costs, a fraction of its value
    """

    costs: Costs = field(default_factory=Costs)
    sizing: Sizing = field(default_factory=Sizing)
    initial_capital: float = 100_000.0
    fill: Fill = "close"
    stops: Stops = "close"
    borrow_pct: float = 0.0

    def __post_init__(self) -> None:
        check_range("initial_capital", self.initial_capital, 0.0, math.inf, open_low=True)
        check_range("borrow_pct", self.borrow_pct, 0.0, math.inf)
        for name, value, allowed in (
            ("fill", self.fill, get_args(Fill)),
            ("stops", self.stops, get_args(Stops)),
        ):
            if value not in allowed:
                raise BacktestError(f"{name}: {value!r} is not known; choose one of {allowed}")

    @property
    def at_closes(self) -> bool:
        """Whether everything happens at closes and shorts are borrowed for nothing."""
        return self.fill == "close" and self.stops == "close" and not self.borrow_pct
