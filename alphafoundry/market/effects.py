"""The effects that the calibration market is known to hold.

Each effect adds strength * 2**(-t / half_life) * x to the expected return of day t, where x is a
signal made from bars up to day t - 1 only. So an alpha of delay 1 can trade it. A signal is
measured within groups: the mean of its group is subtracted, the rest is divided by the standard
deviation over all names and clipped to -3..3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_CLIP = 3.0
_REVERSAL_DAYS = 5
_MOMENTUM_DAYS = 60
_VOLUME_DAYS, _VOLUME_BASE_DAYS = 5, 20
_CALM_DAYS = 20
_STILL = 1e-5
HISTORY_DAYS = _REVERSAL_DAYS + _MOMENTUM_DAYS + 1
"""Rows of history that every signal can be made from."""


@dataclass(frozen=True)
class PlantedEffect:
    """One effect with known truth.

    Attributes
    ----------
    name : key in `Panel.truth`
    description : what it says about the market, for people
    formula : the signal x of day t before grouping, from bars up to day t - 1
    group : the grouping within which x is measured
    strength : expected return of day 0 for x = 1, as a fraction (0.001 is 0.1 % a day)
    half_life : trading days after which the effect is half as strong
    expression : a straightforward FASTEXPR alpha of the same idea
    decay : linear decay, in days, with which the expression keeps its turnover in bounds
    """

    name: str
    description: str
    formula: str
    group: str
    strength: float
    half_life: int
    expression: str
    decay: int = 0

    def strength_on(self, day: int) -> float:
        """Return the expected return for x = 1 on day `day`, counted from 0."""
        return self.strength * float(0.5 ** (day / self.half_life))


PLANTED: tuple[PlantedEffect, ...] = (
    PlantedEffect(
        name="short_reversal",
        description="Names that fell more than their industry over 5 days rise afterwards",
        formula="-(close[t-1] / close[t-6] - 1)",
        group="industry",
        strength=0.00045,
        half_life=1260,
        expression="-rank(ts_sum(returns, 5))",
        decay=6,
    ),
    PlantedEffect(
        name="momentum",
        description="Names that led their industry over 60 days, the last 5 left out, go on so",
        formula="close[t-6] / close[t-66] - 1",
        group="industry",
        strength=0.00022,
        half_life=900,
        expression="ts_delay(close, 5) / ts_delay(close, 65) - 1",
    ),
    PlantedEffect(
        name="volume",
        description="Names whose volume of 5 days is above that of 20 days rise afterwards",
        formula="log(mean(volume[t-5..t-1]) / mean(volume[t-20..t-1]))",
        group="industry",
        strength=0.00018,
        half_life=1000,
        expression="rank(ts_mean(volume, 5) / adv20)",
        decay=5,
    ),
    PlantedEffect(
        name="sector",
        description="Names whose returns vary less than is usual in their sector earn more",
        formula="-log(std(returns[t-20..t-1]))",
        group="sector",
        strength=0.00024,
        half_life=800,
        expression="-group_rank(ts_std_dev(returns, 20), sector)",
    ),
)


def at_strength(effects: Sequence[PlantedEffect], share: float) -> tuple[PlantedEffect, ...]:
    """Return the effects at a share of their strength, 1 as they are."""
    return tuple(replace(effect, strength=share * effect.strength) for effect in effects)


def planted_signals(
    close: Array,
    volume: Array,
    groups: Mapping[str, NDArray[np.int32]],
    known_days: NDArray[np.intp],
) -> dict[str, Array]:
    """Return effect to signal x for the day after the last row, shape (n_instruments,).

    Parameters
    ----------
    close, volume : past days, shape (n_past_days, n_instruments), without NaN
    groups : industry and sector codes, shape (n_instruments,)
    known_days : for how many of the last days the name has been listed, shape (n_instruments,)

    A signal is 0 for a name whose history is shorter than its formula needs. Only the last
    HISTORY_DAYS rows matter.
    """
    days, names = close.shape
    signals: dict[str, Array] = {effect.name: np.zeros(names) for effect in PLANTED}

    def put(name: str, needed: int, raw: Array, group: str) -> None:
        signals[name] = _measured_within(raw, groups[group], known_days >= needed)

    if days > _REVERSAL_DAYS:
        past = close[-1] / close[-1 - _REVERSAL_DAYS] - 1.0
        put("short_reversal", _REVERSAL_DAYS + 1, -past, "industry")
    if days >= HISTORY_DAYS:
        past = close[-1 - _REVERSAL_DAYS] / close[-HISTORY_DAYS] - 1.0
        put("momentum", HISTORY_DAYS, past, "industry")
    if days >= _VOLUME_BASE_DAYS:
        base = volume[-_VOLUME_BASE_DAYS:].mean(axis=0)
        ratio = volume[-_VOLUME_DAYS:].mean(axis=0) / base
        put("volume", _VOLUME_BASE_DAYS, np.log(ratio), "industry")
    if days > _CALM_DAYS:
        window = close[-1 - _CALM_DAYS :]
        spread = (window[1:] / window[:-1]).std(axis=0)
        # A name that never moved is as calm as can be told.
        put("sector", _CALM_DAYS + 1, -np.log(np.maximum(spread, _STILL)), "sector")
    return signals


def _measured_within(raw: Array, codes: NDArray[np.int32], active: NDArray[np.bool_]) -> Array:
    weights = active.astype(np.float64)
    count = np.bincount(codes, weights=weights)
    total = np.bincount(codes, weights=np.where(active, raw, 0.0))
    mean = total / np.maximum(count, 1.0)
    centred = np.where(active, raw - mean[codes], 0.0)
    scale = np.sqrt(np.square(centred).sum() / max(weights.sum(), 1.0))
    if scale == 0.0:
        return np.zeros_like(raw)
    measured: Array = np.clip(centred / scale, -_CLIP, _CLIP)
    return measured
