"""Strategies with stops, a size and symbols of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from alphafoundry.backtest.columns import columns_of, opens_of
from alphafoundry.backtest.execution import Fill
from alphafoundry.backtest.portfolio import cut_losers_and_winners
from alphafoundry.backtest.price_fills import cut_at_prices
from alphafoundry.backtest.strategy import Parameter, Strategy, Values
from alphafoundry.compilation import FloatMatrix
from alphafoundry.errors import BacktestError
from alphafoundry.finance.bars import FIELDS, Bars

OWN_RULES: Mapping[str, Parameter] = MappingProxyType(
    {
        "position_size_pct": Parameter("float", None, 0.001, 1.0),
        "stop_loss_pct": Parameter("float", 0.0, 0.0, 0.5),
        "take_profit_pct": Parameter("float", 0.0, 0.0, 2.0),
        "trailing_stop_pct": Parameter("float", 0.0, 0.0, 0.5),
    }
)
"""Rules that a strategy may have as parameters of its own; a stop of 0 is none."""


def with_own_rules(
    strategy: Strategy, rules: Sequence[str], *, position_size_pct: float, fill: Fill = "close"
) -> Strategy:
    """Return the strategy with some of `OWN_RULES` among its parameters.

    Its signals are those after the stops, times its size over `position_size_pct`, so that a
    backtest with that size, and any sum with other strategies, trades what the rules leave.

    Parameters
    ----------
    rules : names; one that the strategy has already stays what it is
    position_size_pct : what the backtest gives a signal of 1, and the size where none is given
    fill : as that of the backtest: the entry that a stop counts from. Stops look at closes
    """
    added = {
        name: replace(OWN_RULES[name], default=position_size_pct)
        if name == "position_size_pct"
        else OWN_RULES[name]
        for name in rules
        if name not in strategy.parameters
    }
    if not added:
        return strategy
    inner = tuple(strategy.parameters)
    check = strategy.check
    return replace(
        strategy,
        parameters={**strategy.parameters, **added},
        fill=_Ruled(strategy, inner, tuple(added), position_size_pct, fill),
        check=None if check is None else lambda values: check(_only(values, inner)),
        identity=f"{strategy.identity} with {','.join(added)} over {position_size_pct!r} at {fill}",
    )


def on_symbols(strategy: Strategy, symbols: Sequence[str]) -> Strategy:
    """Return the strategy on some instruments only, as if the market held no others.

    On the others its signal is 0. Raises BacktestError at its first use where the bars lack one.
    """
    return replace(
        strategy,
        fill=_Narrowed(strategy, tuple(symbols)),
        identity=f"{strategy.identity} on {','.join(symbols)}",
    )


def narrowed(bars: Bars, symbols: Sequence[str]) -> Bars:
    """Return the bars of these symbols, in their order; raises BacktestError for an unknown one."""
    places = {name: place for place, name in enumerate(bars.symbols)}
    missing = next((name for name in symbols if name not in places), None)
    if missing is not None:
        raise BacktestError(
            f"unknown symbol {missing!r}; the bars hold {', '.join(bars.symbols[:8])}"
            f"{', ...' * (len(bars.symbols) > 8)}"
        )
    chosen = [places[name] for name in symbols]
    fields: dict[str, Any] = {
        name: np.ascontiguousarray(getattr(bars, name)[:, chosen]) for name in FIELDS
    }
    groups = {name: codes[:, chosen] for name, codes in bars.groups.items()}
    return replace(bars, symbols=tuple(symbols), groups=groups, **fields)


def _only(values: Values, names: Sequence[str]) -> Values:
    return {name: values[name] for name in names}


@dataclass(frozen=True)
class _Ruled:
    strategy: Strategy
    inner: tuple[str, ...]
    rules: tuple[str, ...]
    size: float
    at: Fill

    def __call__(self, bars: Bars, values: Values, out: FloatMatrix) -> None:
        self.strategy.fill(bars, _only(values, self.inner), out)
        limits = [
            float(values[name]) if name in self.rules else 0.0
            for name in ("stop_loss_pct", "take_profit_pct", "trailing_stop_pct")
        ]
        stop, take, trail = (limit or math.inf for limit in limits)
        columns = columns_of(bars)
        if any(limits) and self.at == "close":
            cut_losers_and_winners(out, columns.close, stop, take, trail)
        elif any(limits):
            cut_at_prices(
                out, opens_of(bars), columns.high, columns.low, columns.close, True, False,
                stop, take, trail, np.empty(out.shape),
            )  # fmt: skip
        if "position_size_pct" in self.rules:
            out *= float(values["position_size_pct"]) / self.size


@dataclass(frozen=True)
class _Narrowed:
    strategy: Strategy
    symbols: tuple[str, ...]

    def __call__(self, bars: Bars, values: Values, out: FloatMatrix) -> None:
        few: Bars = columns_of(bars).kept(
            ("narrowed", self.symbols), lambda: narrowed(bars, self.symbols)
        )
        self.strategy.require(few)
        found = np.empty((len(self.symbols), bars.shape[0]))
        self.strategy.fill(few, values, found)
        out[:] = 0.0
        out[[bars.symbols.index(name) for name in self.symbols]] = found
