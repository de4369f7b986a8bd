"""Strategies as a user's own module would hold them; some misbehave on purpose."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from alphafoundry.backtest import Bars, Parameter, Strategy
from alphafoundry.backtest.strategy import Values

LOG = "OWN_STRATEGY_LOG"
"""Variable with the file that gets a line per call."""

KINDS = ("fine", "raises", "memory", "hangs", "dies")


def _log(text: str) -> None:
    path = os.environ.get(LOG)
    if path:
        with Path(path).open("a") as file:
            file.write(text + "\n")


def _momentum(bars: Bars, lookback: int, out: np.ndarray) -> None:
    out[:] = 0.0
    close = bars.close.T
    out[:, lookback:] = np.sign(np.nan_to_num(close[:, lookback:] / close[:, :-lookback] - 1.0))


def _slow(bars: Bars, values: Values, out: np.ndarray) -> None:
    _log(f"slow {values['lookback']}")
    time.sleep(float(values["seconds"]))
    _momentum(bars, int(values["lookback"]), out)


SLOW = Strategy(
    name="slow",
    parameters={
        "lookback": Parameter("int", 20, 1, 500),
        "seconds": Parameter("float", 0.02, 0.0, 10.0),
    },
    description="momentum that takes its time",
    fill=_slow,
)


def _misbehave(bars: Bars, values: Values, out: np.ndarray) -> None:
    kind = values["kind"]
    _log(f"{kind} {values['lookback']}")
    if kind == "raises":
        raise ValueError("this trial always raises")
    if kind == "memory":
        held = [np.ones(16 * 1024**2) for _ in range(64)]
        _log(str(len(held)))
    if kind == "hangs":
        time.sleep(600)
    if kind == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    _momentum(bars, int(values["lookback"]), out)


MISBEHAVING = Strategy(
    name="misbehaving",
    parameters={
        "kind": Parameter("choice", "fine", choices=KINDS),
        "lookback": Parameter("int", 20, 1, 500),
    },
    description="does what its parameter says",
    fill=_misbehave,
)


def _sized(bars: Bars, values: Values, out: np.ndarray) -> None:
    _momentum(bars, int(values["lookback"]), out)
    out *= float(values["size"])


SIZED = Strategy(
    name="sized",
    parameters={
        "lookback": Parameter("int", 20, 1, 500),
        "size": Parameter("float", 1.0, 0.01, 1.0),
    },
    description="momentum with positions of a size",
    fill=_sized,
)


def _seeded(bars: Bars, values: Values, out: np.ndarray) -> None:
    draws = np.random.default_rng(int(values["seed"]))
    out[:] = draws.integers(-1, 2, out.shape)


SEEDED = Strategy(
    name="seeded",
    parameters={
        "seed": Parameter("int", 0, 0, 2**32),
        "lookback": Parameter("int", 20, 1, 500),
    },
    description="random signals from the trial's seed",
    fill=_seeded,
)


REQUIRED = Strategy(
    name="required",
    parameters={"lookback": Parameter("int", None, 1, 500)},
    description="momentum whose parameter has no default",
    fill=lambda bars, values, out: _momentum(bars, int(values["lookback"]), out),
)


def _cheat(bars: Bars, values: Values, out: np.ndarray) -> None:
    """Know tomorrow's close."""
    close = bars.close.T
    out[:] = 0.0
    out[:, :-1] = np.sign(np.nan_to_num(close[:, 1:] / close[:, :-1] - 1.0))


CHEAT = Strategy(
    name="cheat",
    parameters={"lookback": Parameter("int", 20, 1, 500)},
    description="buys what will rise",
    fill=_cheat,
)


def _wants_all_days(bars: Bars, values: Values, out: np.ndarray) -> None:
    if bars.shape[0] < int(values["days"]):
        raise ValueError("too few days")
    _momentum(bars, 20, out)


WANTS_ALL_DAYS = Strategy(
    name="wants all days",
    parameters={"days": Parameter("int", 200, 1, 500)},
    description="momentum that fails on short histories",
    fill=_wants_all_days,
)
