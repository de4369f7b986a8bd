"""The calibration market: generated bars in which the truth is known.

500 names over 1260 days, from a factor model: return = beta * market + sector + industry + own
noise + planted effects. Noise has fat tails (Student's t with 5 degrees of freedom) and clusters
(GARCH(1,1)). Some names list late, some are delisted (half of those with a fall on their last
day), some bars are missing. Everything follows from the seed.

Four effects are planted, each a part of the expected return that is made from past bars alone:

short_reversal  -(close[t-1] / close[t-6] - 1) within industries, 0.00045 a day, half-life 1260
momentum        close[t-6] / close[t-66] - 1 within industries, 0.00022 a day, half-life 900
volume          log(mean(volume[t-5..t-1]) / mean(volume[t-20..t-1])) within industries,
                0.00018 a day, half-life 1000
sector          -log(std(returns[t-20..t-1])) within sectors, 0.00024 a day, half-life 800

The daily strength is the expected return on the first day of a name whose signal lies one
standard deviation above its group; half-lives are in trading days. `PLANTED` holds the same for
programs, `Panel.truth` what each effect added to every name and day. Beyond that a return cannot
be foreseen, apart from the market's small drift; the size of moves and volume can.

Traded with delay 1 and industry-neutral, the straightforward expression of the reversal has a
Sharpe ratio of about 2 over the five years, each of the others 1 to 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import date

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.assembly import assemble, describe
from alphafoundry.market.calendar import trading_days
from alphafoundry.market.effects import (
    HISTORY_DAYS,
    PLANTED,
    PlantedEffect,
    at_strength,
    planted_signals,
)
from alphafoundry.market.fields import derive_fields
from alphafoundry.market.groups import Grouping, market_group
from alphafoundry.market.panel import Panel
from alphafoundry.seeds import generator_for

__all__ = ["PLANTED", "PlantedEffect", "at_strength", "generate_market"]

Array = NDArray[np.float64]

FIRST_DAY = date(2019, 1, 2)
DAYS = 1260
NAMES = 500
SECTORS, INDUSTRIES, SUBINDUSTRIES = 11, 25, 60

_TAIL_DEGREES = 5.0
_MARKET_DRIFT, _MARKET_VOLATILITY = 0.0003, 0.009
_SECTOR_VOLATILITY, _INDUSTRY_VOLATILITY = 0.004, 0.003
_GARCH_SHOCK, _GARCH_MEMORY = 0.07, 0.91
_LATE_LISTINGS, _DELISTINGS = 40, 30
_LAST_FALL, _WORST_RETURN = -0.55, -0.8
_MISSING_BARS, _HALTS = 0.0004, 12


def generate_market(
    seed: int,
    *,
    progress: Callable[[str], None],
    effects: Sequence[PlantedEffect] = PLANTED,
    drift: float | None = None,
    continuation: tuple[int, int] | None = None,
) -> Panel:
    """Return the calibration market of a seed; the same seed gives the same panel.

    Fields are open, high, low, close, volume, vwap, cap, returns and adv20; groups are market,
    sector, industry and subindustry. `truth` is 0 where a name is not listed.

    Parameters
    ----------
    effects : what is planted, `PLANTED` or `at_strength(PLANTED, 0.5)`; without any, nothing can be
        foreseen, and whatever a search finds is luck
    drift : expected daily return of a name with a beta of 1, as a fraction; None is 0.0003, and 0
        where nothing is planted, since a book that leans to high betas would earn the drift
    continuation : (row, number) gives the days from that row on another future, the same effects in
        it; the days before are those of the seed, whatever the number
    """
    progress(f"calibration: generating {NAMES} names over {DAYS} days")
    structure = _draw_structure(generator_for(seed, 0))
    noise = _draw_noise(seed)
    if continuation is not None:
        noise = _continued(noise, seed, *continuation)
    if drift is None:
        drift = _MARKET_DRIFT if effects else 0.0
    paths = _simulate(structure, noise, effects, drift)
    values = _bars_of(structure, paths, generator_for(seed, 5))
    _leave_out(values, structure, generator_for(seed, 6))
    derived, descriptions = derive_fields(values)
    symbols = np.array([f"SYN{number:03d}" for number in range(1, NAMES + 1)])
    dates = trading_days(FIRST_DAY, DAYS)
    return assemble(
        dates=dates,
        symbols=symbols,
        fields=derived,
        groupings={"market": market_group(NAMES), **structure.groupings},
        descriptions={
            name: f"{text} (synthetic)".replace(", from the source", "")
            for name, text in descriptions.items()
        },
        source="calibration",
        label=describe(_name(seed, effects, continuation), dates, NAMES),
        synthetic=True,
        truth=paths.truth,
    )


def _name(seed: int, effects: Sequence[PlantedEffect], continuation: tuple[int, int] | None) -> str:
    told = f"seed {seed}" + (f", future {continuation[1]}" if continuation else "")
    if not effects:
        return f"SYNTHETIC market without effects ({told})"
    whole = {effect.name: effect.strength for effect in PLANTED}
    strengths = {effect.strength / whole.get(effect.name, effect.strength) for effect in effects}
    weaker = "" if strengths == {1.0} else f", effects at {'/'.join(f'{x:g}' for x in strengths)}"
    return f"SYNTHETIC calibration market ({told}{weaker})"


@dataclass(frozen=True, eq=False)
class Structure:
    """What stays the same over time: per name, arrays of shape (n_instruments,).

    listed : (n_days, n_instruments), True from a name's first day to its last
    falls_on : day of the fall that ends a name, n_days where it does not fall
    """

    groupings: dict[str, Grouping]
    beta: Array
    volatility: Array
    price: Array
    shares: Array
    daily_turnover: Array
    listed: NDArray[np.bool_]
    falls_on: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Noise:
    """Standardised draws: market (n_days,), the others (n_days, n_groups or n_instruments)."""

    market: Array
    sector: Array
    industry: Array
    own: Array
    slow_volume: Array
    fast_volume: Array


@dataclass(frozen=True, eq=False)
class Paths:
    """Complete simulated paths, also for days on which a name is not listed.

    close, returns, volume, volatility : (n_days, n_instruments)
    truth : effect to (n_days, n_instruments)
    """

    close: Array
    returns: Array
    volume: Array
    volatility: Array
    truth: dict[str, Array]


def _draw_structure(draw: np.random.Generator) -> Structure:
    listed = np.ones((DAYS, NAMES), dtype=bool)
    falls_on = np.full(NAMES, DAYS)
    changing = draw.permutation(NAMES)[: _LATE_LISTINGS + _DELISTINGS]
    for name in changing[:_LATE_LISTINGS]:
        listed[: draw.integers(20, 800), name] = False
    for rank, name in enumerate(changing[_LATE_LISTINGS:]):
        end = int(draw.integers(200, DAYS - 20))
        listed[end:, name] = False
        if rank % 2:
            falls_on[name] = end - 1
    price = np.exp(draw.normal(np.log(45.0), 0.7, NAMES))
    cap = np.exp(draw.normal(np.log(8e9), 1.2, NAMES))
    return Structure(
        groupings=_draw_groupings(draw),
        beta=np.clip(draw.normal(1.0, 0.25, NAMES), 0.3, 1.8),
        volatility=np.clip(np.exp(draw.normal(np.log(0.019), 0.25, NAMES)), 0.01, 0.04),
        price=price,
        shares=cap / price,
        daily_turnover=np.exp(draw.normal(np.log(0.007), 0.4, NAMES)),
        listed=listed,
        falls_on=falls_on,
    )


def _draw_groupings(draw: np.random.Generator) -> dict[str, Grouping]:
    """Nest subindustries in industries and industries in sectors, each of them inhabited."""
    sector_of_industry = np.sort(np.arange(INDUSTRIES) % SECTORS)
    industry_of_subindustry = np.sort(np.arange(SUBINDUSTRIES) % INDUSTRIES)
    subindustry = draw.permutation(np.arange(NAMES) % SUBINDUSTRIES)
    industry = industry_of_subindustry[subindustry]
    sector = sector_of_industry[industry]
    levels = {"sector": sector, "industry": industry, "subindustry": subindustry}
    return {
        level: Grouping(
            codes.astype(np.int32),
            tuple(f"{level.capitalize()} {code + 1:02d}" for code in range(codes.max() + 1)),
            f"{level.capitalize()} (synthetic)",
        )
        for level, codes in levels.items()
    }


def _draw_noise(seed: int, *future: int) -> Noise:
    def fat_tailed(part: int, *shape: int) -> Array:
        scale = np.sqrt((_TAIL_DEGREES - 2.0) / _TAIL_DEGREES)
        drawn = generator_for(seed, *future, part).standard_t(_TAIL_DEGREES, size=shape)
        within: Array = np.clip(drawn * scale, -8.0, 8.0)
        return within

    volume = generator_for(seed, *future, 4)
    factors = fat_tailed(1, DAYS, 1 + SECTORS + INDUSTRIES)
    return Noise(
        market=factors[:, 0],
        sector=factors[:, 1 : 1 + SECTORS],
        industry=factors[:, 1 + SECTORS :],
        own=fat_tailed(2, DAYS, NAMES),
        slow_volume=volume.standard_normal((DAYS, NAMES)),
        fast_volume=volume.standard_normal((DAYS, NAMES)),
    )


def _continued(noise: Noise, seed: int, row: int, number: int) -> Noise:
    other = _draw_noise(seed, 7, number)
    return Noise(
        **{
            one.name: np.concatenate(
                [getattr(noise, one.name)[:row], getattr(other, one.name)[row:]]
            )
            for one in fields(Noise)
        }
    )


def _simulate(
    structure: Structure, noise: Noise, effects: Sequence[PlantedEffect], drift: float
) -> Paths:
    """Run the market day by day; a day's expected return sees only the days before it."""
    shape = (DAYS, NAMES)
    close, returns, volume, volatility = (np.empty(shape) for _ in range(4))
    truth = {effect.name: np.zeros(shape) for effect in effects}
    codes = {name: grouping.codes for name, grouping in structure.groupings.items()}
    sector, industry = codes["sector"], codes["industry"]
    days_listed = np.zeros(NAMES, dtype=np.intp)
    own_variance = np.ones(NAMES)
    market_variance = 1.0
    slow, fast = np.zeros(NAMES), np.zeros(NAMES)
    price = structure.price
    typical_volume = structure.daily_turnover * structure.shares
    for day in range(DAYS):
        listed = structure.listed[day]
        expected = np.zeros(NAMES)
        if day and effects:
            past = slice(max(0, day - HISTORY_DAYS), day)
            signals = planted_signals(close[past], volume[past], codes, days_listed)
            for effect in effects:
                planted = effect.strength_on(day) * signals[effect.name] * listed
                truth[effect.name][day] = planted
                expected += planted
        volatility[day] = structure.volatility * np.sqrt(own_variance)
        market = _MARKET_VOLATILITY * np.sqrt(market_variance) * noise.market[day]
        change = (
            expected
            + structure.beta * (drift + market)
            + _SECTOR_VOLATILITY * noise.sector[day, sector]
            + _INDUSTRY_VOLATILITY * noise.industry[day, industry]
            + volatility[day] * noise.own[day]
        )
        change[structure.falls_on == day] += _LAST_FALL
        returns[day] = np.maximum(change, _WORST_RETURN)
        price = price * (1.0 + returns[day])
        close[day] = price
        slow = 0.97 * slow + 0.09 * noise.slow_volume[day]
        fast = 0.6 * fast + 0.20 * noise.fast_volume[day]
        surprise = 0.12 * (np.abs(noise.own[day]) - 0.75) + 0.1 * (np.abs(noise.market[day]) - 0.75)
        volume[day] = np.rint(typical_volume * np.exp(slow + fast + surprise)) + 1.0
        own_variance = _next_variance(own_variance, noise.own[day])
        market_variance = float(_next_variance(market_variance, noise.market[day]))
        days_listed = np.where(listed, days_listed + 1, 0)
    return Paths(close, returns, volume, volatility, truth)


def _next_variance(variance: Array | float, shock: Array | float) -> Array:
    """GARCH(1,1) with long-run variance 1, kept within 0.2 and 8."""
    base = 1.0 - _GARCH_SHOCK - _GARCH_MEMORY
    following: Array = base + (_GARCH_SHOCK * np.square(shock) + _GARCH_MEMORY) * variance
    return np.clip(following, 0.2, 8.0)


def _bars_of(structure: Structure, paths: Paths, draw: np.random.Generator) -> dict[str, Array]:
    """Return open, high, low, close, volume, vwap and cap with low <= open, close, vwap <= high."""
    shape = paths.close.shape
    close = paths.close
    previous = np.vstack([structure.price, close[:-1]])
    overnight = 0.35 * np.log1p(paths.returns) + 0.4 * paths.volatility * draw.standard_normal(
        shape
    )
    opening = previous * np.exp(overnight)
    reach = 0.5 * paths.volatility
    high = np.maximum(opening, close) * np.exp(reach * np.abs(draw.standard_normal(shape)))
    low = np.minimum(opening, close) * np.exp(-reach * np.abs(draw.standard_normal(shape)))
    weight = draw.uniform(0.2, 0.8, shape)
    return {
        "open": opening,
        "high": high,
        "low": low,
        "close": close,
        "volume": paths.volume,
        "vwap": weight * (high + low) / 2.0 + (1.0 - weight) * (opening + close) / 2.0,
        "cap": close * structure.shares,
    }


def _leave_out(values: dict[str, Array], structure: Structure, draw: np.random.Generator) -> None:
    """Set bars to NaN where a name is not listed, halted, or its bar is missing."""
    absent = ~structure.listed
    absent |= draw.uniform(size=absent.shape) < _MISSING_BARS
    for name in draw.choice(NAMES, _HALTS, replace=False):
        start = draw.integers(30, DAYS - 30)
        absent[start : start + draw.integers(2, 9), name] = True
    for array in values.values():
        array[absent] = np.nan
