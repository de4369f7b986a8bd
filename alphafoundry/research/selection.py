"""Which alphas can be submitted, and in which order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from alphafoundry.simulation.correlation import pnl_correlation

PENDING_UNTIL_CHECK = frozenset({"SELF_CORRELATION", "PROD_CORRELATION"})
"""Checks that BRAIN computes on request only, so they are PENDING after a simulation."""

INFORMATIVE = frozenset({"MATCHES_COMPETITION", "MATCHES_PYRAMID", "MATCHES_THEMES"})
"""Checks that tell where an alpha counts, not whether it is accepted."""


class CheckLike(Protocol):
    """One entry of `is.checks`."""

    @property
    def name(self) -> str: ...
    @property
    def result(self) -> str: ...
    @property
    def limit(self) -> float | None: ...
    @property
    def value(self) -> float | None: ...
    @property
    def message(self) -> str | None: ...


class AlphaLike(Protocol):
    """An alpha with its checks, which BRAIN keeps under `is.checks`."""

    @property
    def checks(self) -> Sequence[CheckLike]: ...


AlphaT = TypeVar("AlphaT", bound=AlphaLike)


@dataclass(frozen=True)
class Obstacle:
    """Why an alpha cannot be submitted.

    Attributes
    ----------
    check : name of the check
    result : its result, e.g. FAIL
    value, limit : what was found and what was allowed; None where the check prints none
    message : further text of the check
    """

    check: str
    result: str
    value: float | None = None
    limit: float | None = None
    message: str | None = None

    def __str__(self) -> str:
        text = f"{self.check} {self.result}"
        if self.value is not None:
            text += f" {self.value:g}"
        if self.limit is not None:
            text += f" (limit {self.limit:g})"
        return f"{text}: {self.message}" if self.message else text


@dataclass(frozen=True)
class Selection(Generic[AlphaT]):
    """Alphas that can be submitted, and those that cannot.

    Attributes
    ----------
    submittable : in the order given
    refused : each with what stands against it
    """

    submittable: tuple[AlphaT, ...]
    refused: tuple[tuple[AlphaT, tuple[Obstacle, ...]], ...]


def obstacles(checks: Sequence[CheckLike], *, checked: bool = False) -> tuple[Obstacle, ...]:
    """Return what stands against a submission, empty where nothing does.

    By BRAIN's rule FAIL and ERROR refuse a submission and WARNING (such as UNITS) does not.
    PENDING is not a pass, except before `/check` for the correlations that only `/check`
    computes. The MATCHES_... checks never count. An alpha without any check was not judged and
    is refused.

    Parameters
    ----------
    checked : whether `/check` has answered, so that a pending correlation is an obstacle too
    """
    if not checks:
        return (Obstacle("CHECKS", "MISSING", message="the alpha has no checks; simulate it"),)
    return tuple(
        Obstacle(check.name, check.result, check.value, check.limit, check.message)
        for check in checks
        if not _passes(check, checked=checked)
    )


def submittable(alphas: Iterable[AlphaT], *, checked: bool = False) -> Selection[AlphaT]:
    """Split alphas into those that can be submitted and those that cannot, by `obstacles`."""
    accepted: list[AlphaT] = []
    refused: list[tuple[AlphaT, tuple[Obstacle, ...]]] = []
    for alpha in alphas:
        against = obstacles(alpha.checks, checked=checked)
        if against:
            refused.append((alpha, against))
        else:
            accepted.append(alpha)
    return Selection(tuple(accepted), tuple(refused))


@dataclass(frozen=True, eq=False)
class PnlSeries:
    """The daily PnL of one alpha.

    Attributes
    ----------
    alpha_id : identity of the alpha
    dates : datetime64[D] array of shape (n_days,), ascending
    daily_pnl : float64 array of shape (n_days,), dollars
    fitness : breaks ties; NaN where it is not known
    """

    alpha_id: str
    dates: NDArray[np.datetime64]
    daily_pnl: NDArray[np.float64]
    fitness: float = math.nan


@dataclass(frozen=True)
class Placing:
    """The place of one alpha in the order of submission.

    Attributes
    ----------
    alpha_id : identity of the alpha
    correlation : largest |correlation| with an alpha submitted or placed before it, 0 without any
    nearest : the alpha with that correlation, None without any
    reason : why it was dropped, None where it was placed
    """

    alpha_id: str
    correlation: float
    nearest: str | None
    reason: str | None = None


@dataclass(frozen=True)
class SubmissionOrder:
    """Alphas in the order to submit them, and those too close to others."""

    placed: tuple[Placing, ...]
    dropped: tuple[Placing, ...]


def least_correlated_first(
    candidates: Sequence[PnlSeries],
    submitted: Sequence[PnlSeries],
    *,
    max_correlation: float = 0.7,
) -> SubmissionOrder:
    """Order candidates so that each next one is the least like everything before it.

    Greedy: again and again the candidate whose largest |correlation| with an alpha submitted or
    already placed is smallest; ties go to the higher fitness, then to the smaller id, so the
    order in which candidates are given does not matter. What is left above `max_correlation` is
    dropped. Correlations are `pnl_correlation`'s; NaN (too few common days, or a PnL that never
    moves) counts as 0.
    """
    return _greedy(
        candidates,
        submitted,
        lambda one, likeness: (likeness, _fitness_key(one), one.alpha_id),
        max_correlation=max_correlation,
    )


def worthiest_first(
    candidates: Sequence[PnlSeries],
    submitted: Sequence[PnlSeries],
    rank: Mapping[str, int],
    *,
    max_correlation: float = 0.7,
) -> SubmissionOrder:
    """Order candidates by rank, and within a rank by fitness times what is new in them.

    New is 1 minus the largest |correlation| with an alpha submitted or already placed; what is
    above `max_correlation` is dropped. See `least_correlated_first` for correlations and ties.

    rank : alpha id to its rank, 0 first
    """

    def key(one: PnlSeries, likeness: float) -> tuple[float, ...]:
        return (likeness > max_correlation, rank[one.alpha_id], _fitness_key(one) * (1 - likeness))

    return _greedy(
        candidates,
        submitted,
        lambda one, likeness: (*key(one, likeness), one.alpha_id),
        max_correlation=max_correlation,
    )


def _greedy(
    candidates: Sequence[PnlSeries],
    submitted: Sequence[PnlSeries],
    key: Callable[[PnlSeries, float], tuple[Any, ...]],
    *,
    max_correlation: float,
) -> SubmissionOrder:
    """Place again and again the candidate with the smallest key; drop what is too much alike."""
    nearest: dict[str, tuple[float, str | None]] = {}
    for candidate in candidates:
        nearest[candidate.alpha_id] = max(
            ((_likeness(candidate, other), other.alpha_id) for other in submitted),
            key=lambda pair: pair[0],
            default=(0.0, None),
        )
    waiting = {candidate.alpha_id: candidate for candidate in candidates}
    placed: list[Placing] = []
    while waiting:
        chosen = min(
            waiting.values(),
            key=lambda one: key(one, nearest[one.alpha_id][0]),
        )
        correlation, other_id = nearest[chosen.alpha_id]
        if correlation > max_correlation:
            break
        del waiting[chosen.alpha_id]
        placed.append(Placing(chosen.alpha_id, correlation, other_id))
        for alpha_id, candidate in waiting.items():
            likeness = _likeness(candidate, chosen)
            if nearest[alpha_id][1] is None or likeness > nearest[alpha_id][0]:
                nearest[alpha_id] = (likeness, chosen.alpha_id)
    dropped = [
        Placing(
            alpha_id,
            nearest[alpha_id][0],
            nearest[alpha_id][1],
            f"correlation {nearest[alpha_id][0]:.2f} with {nearest[alpha_id][1]} is above "
            f"{max_correlation:g}",
        )
        for alpha_id in sorted(waiting)
    ]
    return SubmissionOrder(tuple(placed), tuple(dropped))


def _passes(check: CheckLike, *, checked: bool) -> bool:
    if check.name in INFORMATIVE or check.result in ("PASS", "WARNING"):
        return True
    return check.result == "PENDING" and check.name in PENDING_UNTIL_CHECK and not checked


def _likeness(one: PnlSeries, other: PnlSeries) -> float:
    found = pnl_correlation(one.dates, one.daily_pnl, other.dates, other.daily_pnl)
    return 0.0 if math.isnan(found) else abs(found)


def _fitness_key(series: PnlSeries) -> float:
    return math.inf if math.isnan(series.fitness) else -series.fitness
