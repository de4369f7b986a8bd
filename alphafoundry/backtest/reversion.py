"""Strategies that bet on a return to the mean: z-score, Bollinger bands, RSI, pairs."""

from __future__ import annotations

import numpy as np

from alphafoundry.backtest import rolling
from alphafoundry.backtest.bands import follow, revert, revert_pairs, strength
from alphafoundry.backtest.columns import columns_of
from alphafoundry.backtest.strategy import DIRECTION, WINDOW_MOST, Parameter, Strategy, Values
from alphafoundry.backtest.strategy import down_of as down
from alphafoundry.compilation import FloatMatrix
from alphafoundry.errors import WrongParameter
from alphafoundry.finance.bars import Bars


def _z_scores(bars: Bars, window: int) -> FloatMatrix:
    """Return (close - mean) / deviation of the window; NaN where the window never moves."""

    def make() -> FloatMatrix:
        return _scored(columns_of(bars).close, *columns_of(bars).moments("close", window))

    return columns_of(bars).kept(("z", window), make)  # type: ignore[no-any-return]


def _scored(values: FloatMatrix, means: FloatMatrix, deviations: FloatMatrix) -> FloatMatrix:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(deviations > 0.0, (values - means) / deviations, np.nan)


def _fill_mean_reversion(bars: Bars, values: Values, out: FloatMatrix) -> None:
    scores = _z_scores(bars, int(values["window"]))
    np.clip(scores / -float(values["full"]), down(values), 1.0, out=out)
    out[np.isnan(out)] = 0.0


def _fill_bollinger(bars: Bars, values: Values, out: FloatMatrix) -> None:
    scores = _z_scores(bars, int(values["window"]))
    width = float(values["width"])
    rule = revert if values["mode"] == "reversion" else follow
    rule(scores, -width, width, 0.0, down(values), out)


def _fill_rsi(bars: Bars, values: Values, out: FloatMatrix) -> None:
    window = int(values["window"])

    def make() -> FloatMatrix:
        index = np.empty(columns_of(bars).shape)
        strength(columns_of(bars).bridged, window, index)
        index[np.isnan(columns_of(bars).close)] = np.nan
        return index

    index = columns_of(bars).kept(("rsi", window), make)
    revert(index, float(values["low"]), float(values["high"]), 50.0, down(values), out)


def _fill_pairs(bars: Bars, values: Values, out: FloatMatrix) -> None:
    window = int(values["window"])

    def make() -> FloatMatrix:
        columns = columns_of(bars)
        paired = len(columns.close) // 2 * 2
        today, ratio = (
            np.ascontiguousarray(logs[0:paired:2] - logs[1:paired:2])
            for logs in (columns.series("log_close"), np.log(columns.bridged))
        )
        return _scored(today, *rolling.moments(ratio, window))

    scores = columns_of(bars).kept(("pairs", window), make)
    revert_pairs(scores, float(values["entry"]), float(values["exit"]), out)


def _check_pairs(values: Values) -> None:
    if float(values["exit"]) >= float(values["entry"]):
        raise WrongParameter(f"pairs: exit {values['exit']} must be below entry {values['entry']}")


MEAN_REVERSION = Strategy(
    name="mean_reversion",
    parameters={
        "window": Parameter("int", 20, 2, WINDOW_MOST),
        "full": Parameter("float", 2.0, 0.1, 20.0),
        "direction": DIRECTION,
    },
    description="against the z-score of the close over `window` days, in proportion: a full "
    "position at a z-score of `full`",
    fill=_fill_mean_reversion,
)

BOLLINGER = Strategy(
    name="bollinger",
    parameters={
        "window": Parameter("int", 20, 2, WINDOW_MOST),
        "width": Parameter("float", 2.0, 0.1, 20.0),
        "mode": Parameter("choice", "reversion", choices=("reversion", "breakout")),
        "direction": DIRECTION,
    },
    description="enters where the close is `width` standard deviations from its mean of `window` "
    "days, against the move (reversion) or with it (breakout), and leaves at the mean",
    fill=_fill_bollinger,
)

RSI = Strategy(
    name="rsi",
    parameters={
        "window": Parameter("int", 14, 2, WINDOW_MOST),
        "low": Parameter("float", 30.0, 1.0, 49.0),
        "high": Parameter("float", 70.0, 51.0, 99.0),
        "direction": DIRECTION,
    },
    description="long from a relative strength index of at most `low` until 50, short from at "
    "least `high` until 50 (Wilder)",
    fill=_fill_rsi,
)

PAIRS = Strategy(
    name="pairs",
    parameters={
        "window": Parameter("int", 60, 2, WINDOW_MOST),
        "entry": Parameter("float", 2.0, 0.1, 20.0),
        "exit": Parameter("float", 0.5, 0.0, 10.0),
    },
    description="first and second symbol, third and fourth, and so on: equal values long and "
    "short while the z-score of their log price ratio goes from `entry` back to `exit`",
    fill=_fill_pairs,
    check=_check_pairs,
)
