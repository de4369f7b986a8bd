"""Daily PnL of many trials side by side, as the statistics want it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.frequency import bars_a_year
from alphafoundry.store import DailyPnl, Store, read_daily_pnl


@dataclass(frozen=True, eq=False)
class TrialPnl:
    """Daily PnL on the days of the search.

    Attributes
    ----------
    alpha_ids : one for each column
    dates : datetime64[D] of shape (n_days,), every day of any trial
    pnl : dollars, shape (n_days, n_trials); NaN before the first and after the last day of a trial,
        0 on a day without PnL between them
    """

    alpha_ids: tuple[str, ...]
    dates: NDArray[np.datetime64]
    pnl: NDArray[np.float64]

    @property
    def periods(self) -> float:
        """Bars of a year."""
        return bars_a_year(self.dates)

    def filled(self) -> NDArray[np.float64]:
        """Return the PnL with 0 where a trial holds nothing."""
        return np.nan_to_num(self.pnl)

    def own(self, column: int) -> NDArray[np.float64]:
        """Return the PnL of one trial on its own days."""
        values = self.pnl[:, column]
        return values[~np.isnan(values)]

    def common(self) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
        """Return the days that all trials share, and the PnL on them."""
        shared = ~np.isnan(self.pnl).any(axis=1)
        return self.dates[shared], self.pnl[shared]

    def correlation(self) -> NDArray[np.float64]:
        """Return Pearson's correlation of each pair on the days that both have.

        Shape (n_trials, n_trials); 1 on the diagonal, 0 where a PnL never changes or no days are
        shared.
        """
        there = (~np.isnan(self.pnl)).astype(np.float64)
        centred = np.nan_to_num(self.pnl - np.nanmean(self.pnl, axis=0))
        scale = np.sqrt(np.mean(centred**2, axis=0))
        x = centred / np.where(scale > 0, scale, 1.0)
        days = there.T @ there
        sums, squares = x.T @ there, (x * x).T @ there
        spread = np.sqrt(np.maximum(days * squares - sums**2, 0.0))
        with np.errstate(invalid="ignore", divide="ignore"):
            found = (days * (x.T @ x) - sums * sums.T) / (spread * spread.T)
        found[(spread * spread.T) <= 1e-9 * days**2] = 0.0
        np.fill_diagonal(found, 1.0)
        return np.asarray(np.clip(np.nan_to_num(found), -1.0, 1.0))

    def only(self, columns: Iterable[int]) -> TrialPnl:
        """Return some of the trials, in this order."""
        chosen = list(columns)
        return TrialPnl(
            tuple(self.alpha_ids[column] for column in chosen), self.dates, self.pnl[:, chosen]
        )


def read_trial_pnl(store: Store, service: str, alpha_ids: Iterable[str]) -> TrialPnl:
    """Return the PnL of those alphas whose PnL is known, in the order of their ids."""
    return side_by_side(read_daily_pnl(store, service, alpha_ids))


def side_by_side(known: Mapping[str, DailyPnl]) -> TrialPnl:
    """Return the PnL of trials by their ids, in the order of these; those without days left out."""
    ids = tuple(sorted(one for one, daily in known.items() if daily.dates.size))
    if not ids:
        return TrialPnl((), np.array([], "datetime64[D]"), np.empty((0, 0)))
    dates = np.unique(np.concatenate([known[one].dates for one in ids]))
    pnl = np.full((len(dates), len(ids)), np.nan)
    for column, one in enumerate(ids):
        daily = known[one]
        rows = np.searchsorted(dates, daily.dates)
        pnl[rows[0] : rows[-1] + 1, column] = 0.0
        pnl[rows, column] = np.nan_to_num(daily.values)
    return TrialPnl(ids, dates, pnl)


def first_unlike(
    order: Sequence[int], likeness: NDArray[np.float64], *, most: int, limit: float
) -> list[int]:
    """Return the first places in `order`, at most `most`, that are unlike those taken before.

    likeness : shape (n, n); a place is left out where it is above `limit` with one that was taken
    """
    chosen: list[int] = []
    for place in order:
        if len(chosen) == most:
            break
        if not chosen or likeness[place, chosen].max() <= limit:
            chosen.append(place)
    return chosen
