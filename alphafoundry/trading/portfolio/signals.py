"""What the live alphas say of the next days: scores, information coefficients, forecasts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from alphafoundry.errors import PortfolioError
from alphafoundry.expressions import parse
from alphafoundry.market.panel import Panel
from alphafoundry.simulation import pnl
from alphafoundry.simulation.evaluators import EvaluatorCache
from alphafoundry.simulation.order import weights_in_order
from alphafoundry.simulation.weights import neutralization_groups
from alphafoundry.trading.portfolio import kernels
from alphafoundry.trading.portfolio.strategies import LiveStrategy

Array = NDArray[np.float64]

RuleWeights = Callable[[Panel, Mapping[str, Any]], Array]
"""From a market and `LiveStrategy.rule` to weights, shape (n_days, n_instruments)."""

LAGS = 21
"""Days over which the decay of an information coefficient is looked at."""

VOLATILITY_DAYS = 60
_LEAST_VOLATILITY_DAYS = 20
_ALIKE_EVERY = 5
_CACHE_BYTES = 64 * 2**20
"""Of sub-expressions, for all threads together: a few strategies share only some."""
_DECAYS = np.linspace(0.0, 0.98, 99)


@dataclass(frozen=True, eq=False)
class SignalHistory:
    """The alphas' scores on every day of a market, and how well they have foretold.

    Row t of everything follows from bars up to t, but `information[:, lag, t]`, which is known at
    the close of day t + 2 + lag.

    Attributes
    ----------
    strategies : in the order of the first axis of the arrays
    scores : what each alpha alone would hold (`strategy_weights`), with mean 0 and standard
        deviation 1 over the names held each day, others 0; shape (n_strategies, n_days,
        n_instruments)
    information : daily information coefficients, shape (n_strategies, LAGS, n_days): correlation
        of the scores of t with the residual returns of t + 2 + lag, in units of volatility. Day
        t + 2 is the first that a position of delay 1 earns. NaN where it is not known
    earned : what each alpha alone earns over half its book, before costs, as a simulation counts
        it; shape (n_strategies, n_days - 2), where place t is day t + 2. Days without a position
        are 0
    """

    strategies: tuple[LiveStrategy, ...]
    scores: Array
    information: Array
    earned: Array


@dataclass(frozen=True, eq=False)
class Combination:
    """How the signals are combined on one day.

    Attributes
    ----------
    coefficients : shape (n_strategies,), at least 0: standard deviations of next-day residual
        return that one standard deviation of a score foretells
    mean_information : plain mean of the daily coefficients, shape (n_strategies,)
    error : standard error of such a mean
    days : signal days that these come from
    fresh_days : the same, only those after the data of the search, shape (n_strategies,)
    horizon : days over which the forecast lasts, at least 1
    """

    coefficients: Array
    mean_information: Array
    error: float
    days: int
    fresh_days: NDArray[np.int64]
    horizon: float


def signal_history(
    panel: Panel,
    strategies: Sequence[LiveStrategy],
    *,
    evaluators: EvaluatorCache | None = None,
    workers: int = 1,
    rules: RuleWeights | None = None,
    known: SignalHistory | None = None,
) -> SignalHistory:
    """Return scores and information coefficients of alphas on every day of `panel`.

    Bars that were masked or repaired because of later ones are seen as they are in this panel:
    on a market with such revisions, give `panel.until(day)`.

    Parameters
    ----------
    evaluators : to share with others; belongs to one thread
    workers : threads over which the alphas are spread; the values are the same with any number
    rules : makes the weights of strategies that are no alphas
    known : of the same panel; what it holds of these strategies is taken from it

    Raises ExpressionError or ConfigurationError where an alpha cannot run on the market, and
    PortfolioError where there are none or one has delay 0.
    """
    if not strategies:
        raise PortfolioError("no live strategy: search first, or seed the desk from the store")
    for one in strategies:
        if one.settings.delay != 1:
            raise PortfolioError(
                f"{one.alpha_id}: delay {one.settings.delay} cannot be traded, since its data end "
                "with the close at which it trades; simulate it with delay 1"
            )
    earlier = [] if known is None else list(known.strategies)
    new = [n for n, one in enumerate(strategies) if one not in earlier]
    behind = pnl.lag(1)
    returns = panel.fields["returns"]
    scores = np.empty((len(strategies), *returns.shape))
    information = np.empty((len(strategies), LAGS, len(returns)))
    earned = np.empty((len(strategies), max(len(returns) - behind, 0)))
    if known is not None:
        for number, one in enumerate(strategies):
            if one in earlier:
                place = earlier.index(one)
                scores[number] = known.scores[place]
                information[number] = known.information[place]
                earned[number] = known.earned[place]
    if new:
        own = _all_weights(panel, [strategies[n] for n in new], evaluators, workers, rules)
        residuals = _residual_returns(panel)
        volatility = trailing_deviation(residuals, VOLATILITY_DAYS, least=_LEAST_VOLATILITY_DAYS)
        filled = np.nan_to_num(returns[behind:])
        for number in new:
            # Each is let go of as soon as it has been looked at: they are large.
            weights = np.ascontiguousarray(own.pop(0))
            kernels.standardise(weights, scores[number])
            kernels.information(scores[number], residuals, volatility, information[number])
            learned_until = strategies[number].counts_from
            if learned_until is not None:
                # What it says of days that it was learned from is no evidence.
                early = panel.dates <= np.datetime64(learned_until)
                information[number][:, early] = 0.0
            earned[number] = 2.0 * np.einsum("di,di->d", weights[: len(filled)], filled)
    return SignalHistory(tuple(strategies), scores, information, earned)


def strategy_weights(
    panel: Panel, strategy: LiveStrategy, *, rules: RuleWeights | None = None
) -> Array:
    """Return what a strategy alone would hold, shape (n_days, n_instruments).

    The sum of absolute weights is 1 or 0 on each day; errors and `rules` as of `signal_history`.
    """
    return _weights(strategy, EvaluatorCache(panel, cache_bytes=_CACHE_BYTES), rules)


def combine(
    history: SignalHistory,
    dates: NDArray[np.datetime64],
    row: int,
    *,
    days: int = 504,
    prior: float = 0.01,
) -> Combination:
    """Return how much each signal counts, from what is known at the close of day `row`.

    The mean daily information coefficients m of the last days have the expectation C b, where C
    holds the mean correlations of the scores and b the coefficients, and errors of covariance
    C s^2. With a prior of mean 0 and deviation `prior` on each b, the posterior mean is
    (C + I s^2 / prior^2)^-1 m; it is found among b >= 0, so that no alpha is bet against. This
    shrinks what is noise and splits what correlated signals share. Source: the ridge form of the
    normal linear model; for combined signals R. Grinold and R. Kahn, "Active Portfolio
    Management", chapter 10.

    The horizon is 1 / (1 - r) with the r whose powers lie nearest (least squares) to the combined
    coefficients of lags 0 to 20.

    Coefficients of days that the search has seen are flattered by its choice; `fresh_days` says
    how many are not.

    Parameters
    ----------
    row : index of the last day whose bar is known
    days : signal days looked back at most
    prior : deviation of a coefficient before anything is seen; 0.01 is a fair daily signal
    """
    count = len(history.strategies)
    last = row - 2
    first = max(last + 1 - days, 0)
    means = np.zeros((count, LAGS))
    spread: list[float] = []
    used = 0
    for lag in range(LAGS):
        until = last + 1 - lag
        if until <= first:
            break
        seen = history.information[:, lag, first:until]
        known = np.isfinite(seen)
        sizes = known.sum(axis=1)
        means[:, lag] = np.where(known, seen, 0.0).sum(axis=1) / np.maximum(sizes, 1)
        if lag == 0:
            used = int(sizes.max(initial=0))
            spread = [float(seen[k, known[k]].var()) for k in range(count) if sizes[k] > 1]
    fresh = np.array(
        [
            int((dates[first : max(last + 1, first)] > np.datetime64(one.data_until, "D")).sum())
            for one in history.strategies
        ]
    )
    if used < 2:
        # Nothing has been seen: every signal counts alike, as the prior has it.
        even = np.full(count, prior / np.sqrt(count))
        return Combination(even, means[:, 0], float("inf"), used, fresh, 1.0)
    variance = float(np.mean(spread)) / used
    alike = np.empty((count, count))
    kernels.alikeness(
        np.ascontiguousarray(history.scores[:, first : last + 1 : _ALIKE_EVERY]), alike
    )
    posterior = alike + np.eye(count) * (variance / prior**2)
    root = np.linalg.cholesky(posterior)
    coefficients, _ = nnls(root.T, np.linalg.solve(root, means[:, 0]))
    return Combination(
        coefficients=coefficients,
        mean_information=means[:, 0],
        error=float(np.sqrt(variance)),
        days=used,
        fresh_days=fresh,
        horizon=_horizon(coefficients @ means),
    )


def forecast_parts(combination: Combination, scores: Array, residual_volatility: Array) -> Array:
    """Return each strategy's part of the forecast, shape (n_strategies, n_instruments).

    The forecast is the sum over strategies: coefficient x residual volatility x score, expected
    residual return a day as a fraction (R. Grinold, "Alpha is Volatility Times IC Times Score").

    Parameters
    ----------
    scores : of one day, shape (n_strategies, n_instruments)
    residual_volatility : a day, as a fraction, shape (n_instruments,)
    """
    parts: Array = combination.coefficients[:, None] * scores * residual_volatility
    return parts


def trailing_deviation(values: Array, days: int, *, least: int) -> Array:
    """Return the standard deviation about 0 of the last `days` rows, day t included.

    NaN is left out; NaN where fewer than `least` values are known or all are 0.
    """
    known = np.isfinite(values)
    squares = np.cumsum(np.where(known, values, 0.0) ** 2, axis=0)
    counts = np.cumsum(known, axis=0).astype(np.float64)
    squares[days:] -= squares[:-days].copy()
    counts[days:] -= counts[:-days].copy()
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.sqrt(np.maximum(squares, 0.0) / counts)
    return np.where((counts >= least) & (found > 1e-12), found, np.nan)


def _all_weights(
    panel: Panel,
    strategies: Sequence[LiveStrategy],
    evaluators: EvaluatorCache | None,
    workers: int,
    rules: RuleWeights | None,
) -> list[Array]:
    if workers == 1 or evaluators is not None:
        shared = evaluators or EvaluatorCache(panel, cache_bytes=_CACHE_BYTES)
        return [_weights(one, shared, rules) for one in strategies]

    def share(number: int) -> list[Array]:
        own = EvaluatorCache(panel, cache_bytes=_CACHE_BYTES // workers)
        return [_weights(one, own, rules) for one in strategies[number::workers]]

    with ThreadPoolExecutor(workers) as threads:
        shares = list(threads.map(share, range(min(workers, len(strategies)))))
    return [shares[place % workers][place // workers] for place in range(len(strategies))]


def _weights(strategy: LiveStrategy, shared: EvaluatorCache, rules: RuleWeights | None) -> Array:
    if strategy.rule is not None:
        if rules is None:
            raise PortfolioError(f"{strategy.alpha_id}: is no alpha, and nothing makes its weights")
        return rules(shared.panel, strategy.rule)
    settings = strategy.settings
    engine = shared.evaluator(
        settings.universe,
        pasteurize=settings.pasteurization == "ON",
        nan_handling=settings.nan_handling == "ON",
    )
    return weights_in_order(
        engine.evaluate(parse(strategy.expression)),
        shared.universe(settings.universe)[0],
        neutralization_groups(shared.panel, settings.neutralization),
        decay=settings.decay,
        truncation=settings.truncation,
    )


def _residual_returns(panel: Panel) -> Array:
    """Return returns less the mean of their industry, or of the market where it knows none."""
    returns = panel.fields["returns"]
    groups = panel.groups.get("industry", panel.groups["market"])
    known = np.isfinite(returns)
    filled = np.where(known, returns, 0.0)
    residuals = np.full(returns.shape, np.nan)
    for label in range(-1, int(groups.max(initial=-1)) + 1):
        inside = (groups == label) & known
        sizes = inside.sum(axis=1, keepdims=True)
        means = (filled * inside).sum(axis=1, keepdims=True) / np.maximum(sizes, 1)
        np.copyto(residuals, filled - means, where=inside)
    return residuals


def _horizon(decay: Array) -> float:
    """Return 1 / (1 - r) of the exponential a r^lag nearest to `decay`; 1 where it says nothing."""
    if decay[0] <= 0.0:
        return 1.0
    powers = _DECAYS[:, None] ** np.arange(len(decay))
    size = np.maximum(powers @ decay / (powers**2).sum(axis=1), 0.0)
    misfit = ((decay - size[:, None] * powers) ** 2).sum(axis=1)
    return float(1.0 / (1.0 - _DECAYS[int(np.argmin(misfit))]))
