"""The book as plain arithmetic: what a desk's values must equal where nothing else interferes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import PortfolioError
from alphafoundry.finance.costs import check_range
from alphafoundry.market.panel import Panel
from alphafoundry.simulation.pnl import BOOK, lag
from alphafoundry.trading.portfolio import kernels

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BookValues:
    """The life of a book that trades to weights.

    Attributes
    ----------
    value : before the trade of each day and after the last, shape (n_days + 1,)
    traded, cost : of each day, shape (n_days,), in the unit of the value
    """

    value: Array
    traded: Array
    cost: Array


@dataclass(frozen=True, eq=False)
class ParityPnl:
    """Dollars of a constant book by day; arrays of shape (n_days,).

    Attributes
    ----------
    pnl : earned
    traded : bought and sold to come to the positions of that day
    """

    pnl: Array
    traded: Array


def trade_to_weights(
    weights: Array, returns: Array, *, cost_bps: float = 0.0, opening: float = 1.0
) -> BookValues:
    """Return the values of a book that is brought to its weights every day.

    On day t the book is worth value[t]. It trades to weights[t] of that; the cost, a share of the
    dollars traded, is taken out of cash; then the positions earn returns[t]. Cash earns nothing.
    Quantities are not rounded. This is the convention of `FixedWeights` with a proportional
    `TransactionCost` in cvxportfolio, and without cost that of `bt` with `integer_positions`
    off.

    Parameters
    ----------
    weights : shape (n_days, n_instruments), fractions of value; what they leave is cash
    returns : earned after the trade of the day, same shape; NaN where a position is held makes
        every later value NaN
    cost_bps : of the traded dollars, basis points
    opening : value before the first trade

    Raises PortfolioError where the shapes differ or a weight is no number.
    """
    check_range("cost_bps", cost_bps, 0.0, 1e4)
    if weights.shape != returns.shape or weights.ndim != 2:
        raise PortfolioError(
            f"weights have shape {weights.shape}, returns {returns.shape}; give days x names "
            "for both"
        )
    if not np.isfinite(weights).all():
        raise PortfolioError("a weight is no number; give 0 for no position")
    days = len(weights)
    found = BookValues(np.empty(days + 1), np.empty(days), np.empty(days))
    kernels.hold_to_weights(
        np.ascontiguousarray(weights, dtype=np.float64),
        np.ascontiguousarray(returns, dtype=np.float64),
        cost_bps / 1e4,
        float(opening),
        found.value,
        found.traded,
        found.cost,
    )
    return found


def parity_pnl(
    weights: Array,
    panel: Panel,
    *,
    book: float = BOOK,
    delay: int = 1,
    dividend: Array | None = None,
) -> ParityPnl:
    """Return the PnL of one alpha held alone in parity mode.

    At the close of day t orders bring notional shares (dollars over the close) to
    weights[t - delay] x book; each share then earns the next close and its dividend less the
    close before. The book stays the same size, there is no cost, no rounding and no limit, so
    that this equals the simulator's PnL of the same alpha to 1e-9 of the book. Everything by
    which a desk's PnL differs from it is drift with a name.

    A name without a close on some day trades at its last known one, as it does in the simulator,
    and earns the whole move when it has a close again.

    Parameters
    ----------
    weights : of the alpha, shape (n_days, n_instruments), from data up to each day
    panel : whose close is used: adjusted for splits, and for dividends where `dividend` is None
    dividend : dollars a share where the close is not adjusted for them, shape of `weights`

    Raises PortfolioError where the shapes differ.
    """
    close = panel.fields["close"]
    paid = np.zeros_like(close) if dividend is None else np.nan_to_num(dividend)
    if weights.shape != close.shape or paid.shape != close.shape:
        raise PortfolioError(
            f"weights of shape {weights.shape} do not fit a market of {close.shape}; give a row "
            "for each of its days"
        )
    found = ParityPnl(np.zeros(len(close)), np.zeros(len(close)))
    kernels.hold_constant_book(
        np.ascontiguousarray(weights), close, paid, book, lag(delay), found.pnl, found.traded
    )
    return found
