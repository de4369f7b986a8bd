"""Market regimes: a model fitted on past days, and labels that use no later day.

Regime 0 is the calmest; a label of day t is known at the close of day t and so governs the return
of day t + 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from alphafoundry.backtest.market_features import FEATURES, market_features
from alphafoundry.backtest.objectives import score
from alphafoundry.backtest.strategy import Value
from alphafoundry.backtest.trials import Measured, TrialResult
from alphafoundry.errors import BacktestError
from alphafoundry.finance.bars import Bars
from alphafoundry.finance.statistics import metrics_of

Classifier = Literal["hmm", "rules"]
UNKNOWN = -1
"""Label of a day before the features' window is full."""

_LEAST_VARIANCE = 1e-3
_STAY = 0.95


@dataclass(frozen=True, eq=False)
class RegimeModel:
    """A fitted classifier of days.

    Attributes
    ----------
    classifier : "hmm" (Gaussian hidden Markov model with diagonal covariance, filtered forward:
        Hamilton 1989) or "rules" (quantiles of volatility; a falling market whose correlation is
        among the highest tenth counts as the most volatile regime)
    states : number of regimes
    window : days of the features
    fitted_until : last day that the fit has seen, ISO
    numbers : arrays of the fit by name: center and spread of the features; start, transition,
        means, variances of an hmm; bounds and crowded of rules
    """

    classifier: Classifier
    states: int
    window: int
    fitted_until: str
    numbers: Mapping[str, NDArray[np.float64]]

    def classify(self, bars: Bars) -> NDArray[np.int64]:
        """Return the regime of each day, shape (n_days,); UNKNOWN until the window is full.

        Give bars that begin at the same day each time: the hmm's filter starts at the first.
        """
        features = market_features(bars, self.window)
        if self.classifier == "rules":
            return self._by_rules(features)
        return self._filtered(features)

    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` reads, JSON types only; floats come back bit for bit."""
        return {
            "classifier": self.classifier,
            "states": self.states,
            "window": self.window,
            "fitted_until": self.fitted_until,
            "numbers": {name: array.tolist() for name, array in self.numbers.items()},
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> RegimeModel:
        """Return the model that `to_dict` wrote."""
        return cls(
            classifier=document["classifier"],
            states=int(document["states"]),
            window=int(document["window"]),
            fitted_until=str(document["fitted_until"]),
            numbers={
                name: np.array(values, dtype=np.float64)
                for name, values in document["numbers"].items()
            },
        )

    def __repr__(self) -> str:
        return (
            f"RegimeModel({self.classifier}, {self.states} regimes by {', '.join(FEATURES)} of "
            f"{self.window} days, fitted until {self.fitted_until})"
        )

    def _by_rules(self, features: NDArray[np.float64]) -> NDArray[np.int64]:
        volatility, trend, correlation = features.T
        labels = np.searchsorted(self.numbers["bounds"], volatility, side="right")
        fleeing = (trend < 0.0) & (correlation > float(self.numbers["crowded"]))
        labels = np.where(fleeing, self.states - 1, labels)
        return np.where(np.isnan(volatility), UNKNOWN, labels).astype(np.int64)

    def _filtered(self, features: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the likeliest state of each day given that day and those before it."""
        numbers = self.numbers
        scaled = (features - numbers["center"]) / numbers["spread"]
        labels = np.full(len(features), UNKNOWN, dtype=np.int64)
        belief: NDArray[np.float64] | None = None
        for day, row in enumerate(scaled):
            known = bool(np.isfinite(row).all())
            if belief is None and not known:
                continue
            # Written out instead of a matrix product, whose rounding depends on the library.
            before = (
                numbers["start"]
                if belief is None
                else (belief[:, None] * numbers["transition"]).sum(axis=0)
            )
            if known:
                away = (row - numbers["means"]) ** 2 / numbers["variances"]
                logs = -0.5 * (away + np.log(numbers["variances"])).sum(axis=1)
                with np.errstate(divide="ignore"):
                    logs = logs + np.log(before)
                before = np.exp(logs - logs.max())
            belief = before / before.sum()
            labels[day] = int(np.argmax(belief))
        return labels


def fit_regimes(
    bars: Bars,
    *,
    classifier: Classifier = "hmm",
    states: int = 3,
    window: int = 20,
    fitted_on: Measured | None = None,
) -> RegimeModel:
    """Fit a classifier of days.

    Parameters
    ----------
    states : regimes, ordered by their mean volatility
    window : days of the features
    fitted_on : (first row, row after the last) of the bars to learn from; None takes all of them.
        Nothing outside these rows is read

    The fit starts from days sorted by volatility, without random numbers, so the same bars always
    give the same model. Raises BacktestError where fewer than 20 days per regime are known.
    """
    if classifier not in get_args(Classifier):
        raise BacktestError(f"unknown classifier {classifier!r}; choose one of hmm, rules")
    if not 2 <= states <= 10 or not 2 <= window <= 500:
        raise BacktestError(
            f"cannot fit {states} regimes to windows of {window} days; give 2 to 10 regimes and "
            "a window of 2 to 500 days"
        )
    first, last = (0, bars.shape[0]) if fitted_on is None else fitted_on
    past = bars.between(first, last)
    features = market_features(past, window)
    known = features[np.isfinite(features).all(axis=1)]
    if len(known) < 20 * states:
        raise BacktestError(
            f"{len(known)} days with {window}-day features are too few for {states} regimes; "
            f"fit on at least {20 * states}"
        )
    center = known.mean(axis=0)
    spread = known.std(axis=0)
    spread[spread == 0.0] = 1.0
    numbers = {"center": center, "spread": spread}
    if classifier == "rules":
        shares = np.arange(1, states) / states
        numbers["bounds"] = np.quantile(known[:, 0], shares)
        numbers["crowded"] = np.array(np.quantile(known[:, 2], 0.9))
    else:
        numbers |= _fitted_hmm((known - center) / spread, states)
    return RegimeModel(classifier, states, window, str(past.days[-1]), numbers)


def _fitted_hmm(scaled: NDArray[np.float64], states: int) -> dict[str, NDArray[np.float64]]:
    from hmmlearn.hmm import GaussianHMM

    parts = np.array_split(np.argsort(scaled[:, 0], kind="stable"), states)
    model = GaussianHMM(
        n_components=states, covariance_type="diag", n_iter=100, tol=1e-4, init_params=""
    )
    model.startprob_ = np.full(states, 1.0 / states)
    model.transmat_ = np.full((states, states), (1.0 - _STAY) / (states - 1))
    np.fill_diagonal(model.transmat_, _STAY)
    model.means_ = np.array([scaled[part].mean(axis=0) for part in parts])
    model.covars_ = np.array([scaled[part].var(axis=0) + _LEAST_VARIANCE for part in parts])
    model.fit(scaled)
    variances = np.array([np.diag(matrix) for matrix in model.covars_])
    order = np.argsort(model.means_[:, 0], kind="stable")
    return {
        # The filter starts anywhere in time, not at the first day of the fit.
        "start": np.full(states, 1.0 / states),
        "transition": model.transmat_[np.ix_(order, order)],
        "means": model.means_[order],
        "variances": variances[order],
    }


def regime_scores(
    trials: Sequence[TrialResult],
    regimes: NDArray[np.int64],
    *,
    objective: str = "sharpe",
    min_samples: int = 20,
) -> dict[int, NDArray[np.float64]]:
    """Return each trial's objective within each regime that has at least min_samples days.

    Parameters
    ----------
    trials : results with daily returns, all of the same rows
    regimes : labels of these rows, shape (n_days,)

    The return of a day counts for the regime of the day before, which was known when the position
    was taken; the first day's for none. NaN scores are -inf.
    """
    days = len(regimes)
    for trial in trials:
        if trial.daily_returns.shape != (days,):
            raise BacktestError(
                f"a trial of {len(trial.daily_returns)} days does not match {days} days of "
                "regimes; keep daily returns and classify the rows that were measured"
            )
    found = {}
    for regime in sorted(set(regimes.tolist()) - {UNKNOWN}):
        rows = np.flatnonzero(regimes[:-1] == regime) + 1
        if len(rows) >= max(min_samples, 1):
            found[regime] = np.array(
                [score(metrics_of(trial.daily_returns[rows]), objective) for trial in trials]
            )
    return found


def best_per_regime(
    trials: Sequence[TrialResult],
    regimes: NDArray[np.int64],
    *,
    objective: str = "sharpe",
    min_samples: int = 20,
) -> dict[int, dict[str, Value]]:
    """Return the parameters of the best trial in each regime, see `regime_scores`.

    Among equal trials the first wins. A regime with fewer than min_samples days, or in which no
    trial has a score, is left out.
    """
    scores = regime_scores(trials, regimes, objective=objective, min_samples=min_samples)
    best = {}
    for regime, values in scores.items():
        if len(values) and values.max() > -math.inf:
            best[regime] = dict(trials[int(np.argmax(values))].parameters)
    return best


def switched(
    signals: Mapping[int, NDArray[np.float64]],
    regimes: NDArray[np.int64],
    *,
    otherwise: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return signals that follow the regime: row t is that of signals[regimes[t]].

    Parameters
    ----------
    signals : regime to signals of shape (n_days, n_instruments)
    otherwise : signals where the regime is unknown or has none; None is no position
    """
    if not signals and otherwise is None:
        raise BacktestError("switching needs the signals of at least one regime")
    like = otherwise if otherwise is not None else next(iter(signals.values()))
    out = np.zeros_like(like) if otherwise is None else otherwise.copy()
    for regime, values in signals.items():
        if values.shape != out.shape or len(regimes) != len(out):
            raise BacktestError(
                f"regime {regime}: signals of {values.shape} and {len(regimes)} labels do not "
                f"match {out.shape}"
            )
        out[regimes == regime] = values[regimes == regime]
    return out
