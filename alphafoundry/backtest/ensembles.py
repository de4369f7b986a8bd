"""Weights of several strategies from their daily returns, by convex optimisation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from alphafoundry.backtest.objectives import score
from alphafoundry.errors import BacktestError, InfeasibleEnsemble
from alphafoundry.finance.statistics import TAIL, metrics_of

EnsembleObjective = Literal["sharpe", "sortino", "calmar", "cvar"]
_DUST = 1e-6
"""A weight below this is the solver's rounding, not a position."""


@dataclass(frozen=True)
class EnsembleConstraints:
    """What weights must satisfy, besides being at least 0 and summing to 1.

    Attributes
    ----------
    max_weight : largest weight of one strategy
    min_strategies : strategies with a weight of at least min_weight
    min_weight : see min_strategies
    max_correlation : strategies are taken from the best one down, and left out where the
        correlation of their daily returns with one already taken is above this; None for no limit.
        The best is the one of highest objective
    """

    max_weight: float = 1.0
    min_strategies: int = 1
    min_weight: float = 0.01
    max_correlation: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.max_weight <= 1.0:
            raise BacktestError(f"max_weight: {self.max_weight} is out of range; give 0 to 1")
        if self.min_strategies < 1:
            raise BacktestError(f"min_strategies: {self.min_strategies} must be at least 1")
        if not 0.0 <= self.min_weight <= self.max_weight:
            raise BacktestError(
                f"min_weight: {self.min_weight} is out of range; give 0 to max_weight"
            )
        if self.max_correlation is not None and not -1.0 <= self.max_correlation <= 1.0:
            raise BacktestError(
                f"max_correlation: {self.max_correlation} is out of range; give -1 to 1"
            )


def optimise_weights(
    daily_returns: NDArray[np.float64],
    *,
    objective: EnsembleObjective = "sharpe",
    constraints: EnsembleConstraints | None = None,
) -> NDArray[np.float64]:
    """Return the weights of the best combination, shape (n_strategies,), sum 1.

    Parameters
    ----------
    daily_returns : of each strategy alone, net, shape (n_days, n_strategies), without NaN
    objective : "sharpe", "sortino" or "calmar" (mean return over the deviation, the downside
        deviation or the largest drawdown of summed returns, each made convex by Charnes and
        Cooper's substitution), or "cvar" (least conditional value at risk of the worst 5 %).
        Where no allowed combination has a positive mean, a ratio has no convex form and the
        weights of least risk are returned

    A weighted sum of returns does not net the trades of its parts: confirm the result by
    `replay`. Raises InfeasibleEnsemble where no weights meet the constraints.
    """
    rules = constraints or EnsembleConstraints()
    returns = np.asarray(daily_returns, dtype=np.float64)
    if objective not in get_args(EnsembleObjective):
        raise BacktestError(
            f"unknown objective {objective!r}; choose one of "
            f"{', '.join(get_args(EnsembleObjective))}"
        )
    if returns.ndim != 2 or len(returns) < 2 or not np.isfinite(returns).all():
        raise BacktestError(
            f"daily returns have shape {returns.shape}; give days x strategies, at least 2 days, "
            "without NaN"
        )
    chosen = allowed_together(returns, objective=objective, max_correlation=rules.max_correlation)
    needed = max(rules.min_strategies, math.ceil(1.0 / rules.max_weight - 1e-9))
    if len(chosen) < needed:
        limit = rules.max_correlation
        kind = "that trade" if limit is None else f"with correlations up to {limit:g}"
        raise InfeasibleEnsemble(
            f"{len(chosen)} of {returns.shape[1]} strategies are left ({kind}), but max_weight "
            f"{rules.max_weight:g} and min_strategies {rules.min_strategies} need {needed}; relax "
            "a constraint or add strategies"
        )
    if rules.min_strategies * rules.min_weight > 1.0 + 1e-12:
        raise InfeasibleEnsemble(
            f"min_strategies {rules.min_strategies} with min_weight {rules.min_weight:g} each add "
            "up to more than 1; lower one of them"
        )
    part = np.ascontiguousarray(returns[:, chosen])
    least = np.zeros(len(chosen))
    found = _solved(part, objective, rules.max_weight, least)
    # The solver's answer to a floor of exactly min_weight may be a rounding below it.
    if np.count_nonzero(found >= rules.min_weight * (1.0 - 1e-6)) < rules.min_strategies:
        # `chosen` goes from the best strategy down, so a stable sort breaks ties by quality.
        largest = np.argsort(-np.round(found, 6), kind="stable")[: rules.min_strategies]
        least[largest] = rules.min_weight
        found = _solved(part, objective, rules.max_weight, least)
    weights = np.zeros(returns.shape[1])
    weights[chosen] = _cleaned(found, rules.max_weight, least)
    return weights


def allowed_together(
    returns: NDArray[np.float64], *, objective: EnsembleObjective, max_correlation: float | None
) -> list[int]:
    """Return the strategies that may have a weight, the best by the objective first.

    Parameters
    ----------
    returns : daily, of each strategy alone, shape (n_days, n_strategies), without NaN
    max_correlation : as in EnsembleConstraints
    """
    moving = [k for k in range(returns.shape[1]) if returns[:, k].min() < returns[:, k].max()]
    scores = {k: score(metrics_of(returns[:, k]), objective) for k in moving}
    ranked = sorted(moving, key=lambda k: (-scores[k], k))
    if max_correlation is None or len(ranked) < 2:
        return ranked
    correlations = np.atleast_2d(np.corrcoef(returns[:, ranked], rowvar=False))
    kept: list[int] = []
    for place in range(len(ranked)):
        if all(correlations[place, other] <= max_correlation for other in kept):
            kept.append(place)
    return [ranked[place] for place in kept]


def _solved(
    returns: NDArray[np.float64],
    objective: EnsembleObjective,
    max_weight: float,
    least: NDArray[np.float64],
) -> NDArray[np.float64]:
    # Dividing by the typical size keeps the solver's tolerances meaningful for small returns.
    scaled = returns / returns.std(axis=0).mean()
    if objective != "cvar":
        found = _minimised(scaled, objective, max_weight, least, ratio=True)
        if found is not None:
            return found
    found = _minimised(scaled, objective, max_weight, least, ratio=False)
    if found is None:
        raise InfeasibleEnsemble(
            f"the solver finds no weights for {objective} with max_weight {max_weight:g}; "
            "relax a constraint"
        )
    return found


def _minimised(
    returns: NDArray[np.float64],
    objective: EnsembleObjective,
    max_weight: float,
    least: NDArray[np.float64],
    *,
    ratio: bool,
) -> NDArray[np.float64] | None:
    """Return the weights of least risk, per unit of mean return where `ratio`; None if none."""
    cp = _cvxpy()
    weights = cp.Variable(returns.shape[1], nonneg=True)
    total: Any = cp.Variable(nonneg=True) if ratio else 1.0
    limits = [
        cp.sum(weights) == total,
        weights <= max_weight * total,
        weights >= least * total,
    ]
    mean = returns.mean(axis=0)
    if ratio:
        if mean.max() <= 0.0:
            return None
        limits.append(mean @ weights == 1.0)
    risk, more = _risk(returns, weights, objective)
    problem = cp.Problem(cp.Minimize(risk), limits + more)
    try:
        problem.solve(solver=cp.CLARABEL)
    except cp.error.SolverError:
        return None
    if problem.status not in ("optimal", "optimal_inaccurate") or weights.value is None:
        return None
    found = np.asarray(weights.value, dtype=np.float64)
    size = float(found.sum())
    return found / size if size > _DUST else None


def _cvxpy() -> Any:
    # Its import takes a second, which only an ensemble should cost; its functions are untyped.
    import cvxpy

    return cvxpy


def _risk(
    returns: NDArray[np.float64], weights: Any, objective: EnsembleObjective
) -> tuple[Any, list[Any]]:
    """Return the risk to minimise and the constraints that define it."""
    cp = _cvxpy()
    days = len(returns)
    if objective == "sharpe":
        centered = returns - returns.mean(axis=0)
        # The triangular factor has the covariance's norm with as many rows as strategies.
        factor = np.asarray(np.linalg.qr(centered).R) / math.sqrt(days)
        return cp.norm(factor @ weights), []
    daily = cp.Variable(days)
    tied = [daily == returns @ weights]
    if objective == "sortino":
        return cp.norm(cp.neg(daily)) / math.sqrt(days), tied
    if objective == "cvar":
        level = cp.Variable()
        return level + cp.sum(cp.pos(-daily - level)) / (TAIL * days), tied
    wealth = cp.Variable(days + 1)
    peak = cp.Variable(days + 1)
    fall = cp.Variable()
    tied += [
        wealth[0] == 0.0,
        wealth[1:] == wealth[:-1] + daily,
        peak >= wealth,
        peak[1:] >= peak[:-1],
        peak - wealth <= fall,
    ]
    return fall, tied


def _cleaned(
    found: NDArray[np.float64], max_weight: float, least: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the solver's weights without dust, within their limits, summing to 1."""
    weights = np.where(found < _DUST, 0.0, found)
    weights = np.clip(weights / weights.sum(), least, max_weight)
    for _ in range(4):
        missing = 1.0 - weights.sum()
        room = (max_weight - weights) if missing > 0.0 else (weights - least)
        # What was 0 stays 0 while the others have room for what is missing.
        held = np.where(weights > 0.0, room, 0.0)
        room = held if held.sum() >= abs(missing) else room
        if room.sum() <= 0.0 or missing == 0.0:
            break
        weights = np.clip(weights + missing * room / room.sum(), least, max_weight)
    return np.asarray(weights, dtype=np.float64)
