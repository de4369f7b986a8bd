"""Strategies that follow a move: moving-average cross, momentum, breakout, volatility targeting."""

from __future__ import annotations

import math

import numpy as np

from alphafoundry.backtest.bands import break_out
from alphafoundry.backtest.columns import columns_of
from alphafoundry.backtest.crossing import cross
from alphafoundry.backtest.strategy import DIRECTION, WINDOW_MOST, Parameter, Strategy, Values
from alphafoundry.backtest.strategy import down_of as down
from alphafoundry.compilation import FloatMatrix
from alphafoundry.errors import WrongParameter
from alphafoundry.finance.bars import Bars


def _fill_cross(bars: Bars, values: Values, out: FloatMatrix) -> None:
    columns = columns_of(bars)
    high, low = columns.sums
    fast, slow = int(values["fast"]), int(values["slow"])
    cross(high, low, columns.age, fast, slow, down(values), out)


def _check_cross(values: Values) -> None:
    if int(values["fast"]) >= int(values["slow"]):
        raise WrongParameter(
            f"moving_average_cross: fast {values['fast']} must be below slow {values['slow']}"
        )


def _fill_momentum(bars: Bars, values: Values, out: FloatMatrix) -> None:
    columns = columns_of(bars)
    close = columns.bridged
    skip, lookback = int(values["skip"]), int(values["lookback"])
    threshold = float(values["threshold"])
    out[:] = 0.0
    days = close.shape[1] - skip - lookback
    if days <= 0:
        return
    with np.errstate(invalid="ignore", divide="ignore"):
        gained = close[:, lookback : lookback + days] / close[:, :days] - 1.0
        # A missing close today is no position, however old the prices that decide are.
        known = np.isfinite(gained) & np.isfinite(columns.close[:, skip + lookback :])
    found = out[:, skip + lookback :]
    found[known & (gained > threshold)] = 1.0
    found[known & (gained < -threshold)] = down(values)


def _fill_breakout(bars: Bars, values: Values, out: FloatMatrix) -> None:
    columns = columns_of(bars)
    window, leave = int(values["window"]), int(values["exit_window"])
    break_out(
        columns.close,
        columns.highest(window),
        columns.lowest(window),
        columns.highest(leave),
        columns.lowest(leave),
        down(values),
        out,
    )


def _check_breakout(values: Values) -> None:
    if int(values["exit_window"]) > int(values["window"]):
        raise WrongParameter(
            f"breakout: exit_window {values['exit_window']} must not exceed "
            f"window {values['window']}"
        )


def _fill_volatility(bars: Bars, values: Values, out: FloatMatrix) -> None:
    columns = columns_of(bars)
    _, deviations = columns.moments("returns", int(values["window"]))
    yearly = deviations * math.sqrt(bars.bars_a_year)
    with np.errstate(invalid="ignore", divide="ignore"):
        np.minimum(float(values["target"]) / yearly, 1.0, out=out)
    # A price that never moved has no risk to scale by: no position rather than the largest.
    out[~(yearly > 0.0) | np.isnan(columns.close)] = 0.0


MOVING_AVERAGE_CROSS = Strategy(
    name="moving_average_cross",
    parameters={
        "fast": Parameter("int", 20, 1, WINDOW_MOST),
        "slow": Parameter("int", 100, 2, WINDOW_MOST),
        "direction": DIRECTION,
    },
    description="long while the mean close of `fast` days is above that of `slow` days, else short",
    fill=_fill_cross,
    check=_check_cross,
)

MOMENTUM = Strategy(
    name="momentum",
    parameters={
        "lookback": Parameter("int", 120, 1, WINDOW_MOST),
        "skip": Parameter("int", 0, 0, WINDOW_MOST),
        "threshold": Parameter("float", 0.0, 0.0, 10.0),
        "direction": DIRECTION,
    },
    description="long where the return of `lookback` days, the last `skip` left out, exceeds "
    "`threshold`, short below -`threshold`",
    fill=_fill_momentum,
)

BREAKOUT = Strategy(
    name="breakout",
    parameters={
        "window": Parameter("int", 55, 2, WINDOW_MOST),
        "exit_window": Parameter("int", 20, 1, WINDOW_MOST),
        "direction": DIRECTION,
    },
    description="long from a close above the highest high of the `window` days before, until one "
    "below the lowest low of `exit_window` days; short the other way round (Donchian)",
    fill=_fill_breakout,
    needs=("close", "high", "low"),
    check=_check_breakout,
)

VOLATILITY_TARGETING = Strategy(
    name="volatility_targeting",
    parameters={
        "window": Parameter("int", 60, 2, WINDOW_MOST),
        "target": Parameter("float", 0.15, 0.001, 10.0),
    },
    description="long, scaled by the annual volatility `target` over that of `window` days, "
    "at most 1",
    fill=_fill_volatility,
)
