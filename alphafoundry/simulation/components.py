"""The components of a SUPER alpha: their positions, daily statistics and sum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import ConfigurationError
from alphafoundry.simulation.evaluators import EvaluatorCache
from alphafoundry.simulation.pnl import BASE, BOOK, lag
from alphafoundry.simulation.result import SimulationResult
from alphafoundry.simulation.stored_alphas import StoredAlpha
from alphafoundry.simulation.super_settings import SuperSettings
from alphafoundry.simulation.weights import neutralization_groups, to_weights

Matrix = NDArray[np.float64]

KEPT_BYTES = 2**29
"""Most memory for positions that are needed twice; what does not fit is computed twice."""


class Components:
    """The selected alphas on one market, in the universe of the SUPER alpha.

    Parameters
    ----------
    kept_bytes : most memory for positions; the rest is computed each time it is needed

    Raises ConfigurationError where kept positions are of another market.
    """

    def __init__(
        self,
        alphas: Sequence[StoredAlpha],
        shared: EvaluatorCache,
        settings: SuperSettings,
        *,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self.alphas = tuple(alphas)
        self._shared = shared
        self._settings = settings
        self._kept_bytes = kept_bytes
        self._kept: dict[int, Matrix] = {}
        self._statistics: dict[str, Matrix] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(n_days, n_alphas)."""
        return len(self._shared.panel.dates), len(self.alphas)

    def weights(self, place: int) -> Matrix:
        """Return the weights of one alpha, shape (n_days, n_instruments).

        They are made with the alpha's own settings, except the universe. Row t depends on data
        up to day t only; the rows that no kept position tells are 0.
        """
        if place in self._kept:
            return self._kept[place]
        alpha = self.alphas[place]
        kept = alpha.result is not None and alpha.result.positions is not None
        weights = self._of_result(alpha) if kept else self._again(alpha)
        if (len(self._kept) + 1) * weights.nbytes <= self._kept_bytes:
            self._kept[place] = weights
        return weights

    def statistic(self, name: str) -> Matrix:
        """Return a daily statistic of every alpha, shape (n_days, n_alphas); see generate_stats.

        Row t depends on data up to day t only. NaN before an alpha's first position.
        """
        if self._statistics is None:
            columns = [
                _daily(self.weights(place), self._shared, lag(self._settings.delay))
                for place in range(len(self.alphas))
            ]
            self._statistics = {
                key: np.column_stack([column[key] for column in columns]) for key in columns[0]
            }
        return self._statistics[name]

    def combined(self, shares: Matrix) -> Matrix:
        """Return the sum of the alphas' weights, shape (n_days, n_instruments).

        shares : how much each alpha counts, shape (n_days, n_alphas); NaN and infinities count
            as 0

        Long and short positions of different alphas in one instrument cancel. NaN where no alpha
        has a position.
        """
        from alphafoundry.simulation import component_kernels as kernels

        total = np.zeros(self._shared.panel.shape)
        size = np.zeros(self._shared.panel.shape)
        for place in range(len(self.alphas)):
            share = np.ascontiguousarray(shares[:, place])
            kernels.add_component(total, size, self.weights(place), share)
        kernels.settle_sum(total, size)
        return total

    def _again(self, alpha: StoredAlpha) -> Matrix:
        own = alpha.settings
        mask, _ = self._shared.universe(self._settings.universe)
        engine = self._shared.evaluator(
            self._settings.universe,
            pasteurize=own.pasteurization == "ON",
            nan_handling=own.nan_handling == "ON",
        )
        return to_weights(
            engine.evaluate(alpha.expression),
            mask,
            neutralization_groups(self._shared.panel, own.neutralization),
            decay=own.decay,
            truncation=own.truncation,
        )

    def _of_result(self, alpha: StoredAlpha) -> Matrix:
        assert alpha.result is not None
        weights = _by_signal_day(alpha.id, alpha.result, self._shared)
        if alpha.settings.universe == self._settings.universe:
            return weights
        mask, _ = self._shared.universe(self._settings.universe)
        return to_weights(weights, mask)


def _by_signal_day(name: str, result: SimulationResult, shared: EvaluatorCache) -> Matrix:
    """Return kept positions in the rows of the days whose data they are from."""
    panel = shared.panel
    assert result.positions is not None
    first = int(np.searchsorted(panel.dates, result.dates[0]))
    last = first + len(result.dates)
    same = np.array_equal(panel.dates[first:last], result.dates)
    if not same or result.positions.shape[1] != panel.shape[1]:
        raise ConfigurationError(
            f"alpha {name}: its positions are of another market ({result.panel_label}); "
            "simulate it on this one"
        )
    behind = lag(result.settings.delay)
    weights = np.zeros(panel.shape)
    weights[first - behind : last - behind] = result.positions
    return weights


def _daily(weights: Matrix, shared: EvaluatorCache, behind: int) -> dict[str, Matrix]:
    """Return every statistic of generate_stats, each of shape (n_days,)."""
    from alphafoundry.simulation import component_kernels as kernels

    fields = shared.panel.fields
    found = np.zeros((11, len(weights)))
    returns = np.ascontiguousarray(fields["returns"], np.float64)
    close = np.ascontiguousarray(fields["close"], np.float64)
    kernels.component_days(np.ascontiguousarray(weights), returns, close, behind, found)
    held = found[10] > 0
    first = int(np.argmax(held)) if held.any() else len(held)
    found[:, :first] = np.nan
    profit, kept_profit, kept, kept_shares, traded, traded_shares, long, short = found[:8] * BOOK
    total = np.cumsum(np.where(np.isnan(profit), 0.0, profit))
    peak = np.maximum(np.maximum.accumulate(total), 0.0)
    return {
        "pnl": profit,
        "returns": profit / BOOK,
        "drawdown": np.where(np.isnan(profit), np.nan, (peak - total) / BASE),
        "hold_pnl": kept_profit,
        "trade_pnl": profit - kept_profit,
        "hold_value": kept,
        "trade_value": traded,
        "hold_shares": kept_shares,
        "trade_shares": traded_shares,
        "turnover": traded / BOOK,
        "long_value": long,
        "short_value": short,
        "long_count": found[8],
        "short_count": found[9],
    }
