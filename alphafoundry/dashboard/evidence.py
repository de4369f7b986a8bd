"""What stands beside every Sharpe ratio: its band, luck over all trials, the verdict."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, select, tuple_

from alphafoundry.dashboard.tables import Row
from alphafoundry.errors import StoreError
from alphafoundry.evidence import deflated_sharpe_ratio, moments, null_deviation
from alphafoundry.evidence.sharpe import Moments, sharpe_denominator
from alphafoundry.market.frequency import bars_a_year
from alphafoundry.store import (
    AlphaRow,
    DailyPnl,
    DataVersionRow,
    MarketRow,
    OpeningRow,
    Store,
    SubmissionRow,
    VerdictRow,
    count_trials,
)
from alphafoundry.store.daily_pnl import kept_pnl
from alphafoundry.store.mark_tables import AlphaMarkRow
from alphafoundry.store.tables import PnlRow

QUANTILE = 1.6449
"""Of the normal distribution at 95 %: bands are from 5 to 95 %."""

MOST_KEPT = 20_000
COUNT_SECONDS = 30.0
MOST_SECONDS = 300.0
"""A count is at most this old: too few trials would make luck look small."""

NOT_JUDGED = "not judged"

Key = tuple[str, str]
"""Service and id of an alpha."""


@dataclass(frozen=True)
class Sureness:
    """What one alpha's daily PnL says, whatever the number of trials.

    Attributes
    ----------
    sigma : deviation of its daily Sharpe ratio where there is nothing
    year : square root of the bars of a year
    """

    found: Moments
    sigma: float
    year: float

    @property
    def band(self) -> tuple[float, float]:
        """The 90 % band of the annual Sharpe ratio, in closed form.

        The deviation is that of serially dependent PnL times sqrt(1 - g3 S + (g4 - 1)/4 S^2)
        (Mertens, "Comments on variance of the IID estimator in Lo", 2002).
        """
        half = QUANTILE * self.sigma * float(sharpe_denominator(self.found))
        return (self.found.sharpe - half) * self.year, (self.found.sharpe + half) * self.year

    def deflated(self, trials: int) -> float:
        """Return the deflated Sharpe ratio after so many trials."""
        return float(deflated_sharpe_ratio(self.found, trials=max(trials, 1), sigma=self.sigma))


class EvidenceBook:
    """Evidence of alphas, kept in memory where it does not change."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[Key, Sureness] = OrderedDict()
        self._trials: dict[tuple[str, str | None], tuple[float, int]] = {}
        self._counting: set[tuple[str, str | None]] = set()
        self._lock = threading.Lock()

    def trials(self, service: str, market_id: str | None) -> int:
        """Return how many different alphas were ever tried on these prices, a moment ago.

        Nobody waits for a count but the first after a while: one of the last minutes is given while
        it is counted anew.
        """
        key, now = (service, market_id), time.monotonic()
        with self._lock:
            kept = self._trials.get(key)
            if kept is not None and now - kept[0] < MOST_SECONDS:
                if now - kept[0] > COUNT_SECONDS and key not in self._counting:
                    self._counting.add(key)
                    threading.Thread(target=self._count_again, args=key, daemon=True).start()
                return kept[1]
        return self._count(service, market_id)

    def _count_again(self, service: str, market_id: str | None) -> None:
        try:
            with contextlib.suppress(StoreError):
                self._count(service, market_id)
        finally:
            with self._lock:
                self._counting.discard((service, market_id))

    def _count(self, service: str, market_id: str | None) -> int:
        count = count_trials(self._store, service, market_id)
        with self._lock:
            self._trials[service, market_id] = time.monotonic(), count
        return count

    def add_to(
        self, connection: Any, rows: Sequence[Row], noted: Mapping[Key, Row] | None = None
    ) -> None:
        """Give each row of alphas what stands beside its Sharpe ratio.

        noted : what `select_noted` gives, where it was read with the rows

        Adds low, high, dsr, trials, shrunk, verdict, reason, sealed, sealed_low, sealed_high, net,
        and favourite, submission and synthetic. Rows have service, alpha_id, market_id.
        """
        if not rows:
            return
        wanted = {(row["service"], row["alpha_id"]) for row in rows}
        judged = noted if noted is not None else read_noted(connection, wanted)
        self._read_new(connection, wanted)
        counts = {
            one: self.trials(*one) for one in {(row["service"], row["market_id"]) for row in rows}
        }
        for row in rows:
            one = (row["service"], row["alpha_id"])
            count = counts[row["service"], row["market_id"]]
            row.update(beside(judged.get(one), self._known.get(one), count))

    def _read_new(self, connection: Any, wanted: Iterable[Key]) -> None:
        """Read the PnL of alphas that are not known yet."""
        with self._lock:
            new = [one for one in wanted if one not in self._known]
        if not new:
            return
        query = select(PnlRow.service, PnlRow.alpha_id, PnlRow.days, PnlRow.amounts).where(
            tuple_(PnlRow.service, PnlRow.alpha_id).in_(new)
        )
        self.learn(
            {
                (row.service, row.alpha_id): kept_pnl(self._store, row)
                for row in connection.execute(query)
            }
        )

    def learn(self, read: Mapping[Key, DailyPnl]) -> None:
        """Keep what the daily PnL of alphas says, where it was read for something else."""
        found = {one: sureness_of(pnl) for one, pnl in read.items()}
        with self._lock:
            # One without PnL may still get it.
            self._known |= {one: sure for one, sure in found.items() if sure is not None}
            while len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)


def sureness_of(pnl: DailyPnl) -> Sureness | None:
    """Return what daily PnL says; None where it is too short or never changes."""
    values = pnl.values[~(pnl.values != pnl.values)]
    if len(values) < 20:
        return None
    found = moments(values)
    if not math.isfinite(found.sharpe):
        return None
    return Sureness(found, float(null_deviation(values)), math.sqrt(bars_a_year(pnl.dates)))


def sureness_of_numbers(sharpe: Any, days: Any, bars_a_year: float) -> Sureness | None:
    """Return what a Sharpe ratio and its days say where daily returns were not kept.

    Returns are taken as normal and independent, as in the report of a workflow.

    sharpe : annual; None where it or the days are missing, or there are fewer than two
    """
    if not all(isinstance(one, int | float) and math.isfinite(one) for one in (sharpe, days)):
        return None
    if days < 2:
        return None
    year = math.sqrt(bars_a_year)
    return Sureness(Moments(int(days), sharpe / year, 0.0, 3.0), 1.0 / math.sqrt(days), year)


def read_noted(connection: Any, wanted: Iterable[Key]) -> dict[Key, Row]:
    """Return what is noted of alphas, see `select_noted`."""
    alpha = tuple_(AlphaRow.service, AlphaRow.alpha_id)
    return by_alpha(connection.execute(select_noted().where(alpha.in_(list(wanted)))))


def select_noted(*more: Any) -> Any:
    """Return a query of alphas: newest verdict, submission, mark, market; each None without.

    An alpha has a row for each of its verdicts, the newest last.

    more : further columns of these tables
    """
    return (
        select(
            AlphaRow.service,
            AlphaRow.alpha_id,
            *(getattr(VerdictRow, name) for name in _OF_VERDICT),
            AlphaMarkRow.favourite,
            SubmissionRow.status.label("submission"),
            OpeningRow.trials,
            LABEL,
            *more,
        )
        .outerjoin(AlphaMarkRow, same_alpha(AlphaMarkRow))
        .outerjoin(SubmissionRow, same_alpha(SubmissionRow))
        .outerjoin(VerdictRow, and_(same_alpha(VerdictRow), VerdictRow.verdict.is_not(None)))
        .outerjoin(OpeningRow, OpeningRow.id == VerdictRow.opening_id)
        .outerjoin(MarketRow, MarketRow.id == AlphaRow.market_id)
        .outerjoin(DataVersionRow, of_data(DataVersionRow))
        .order_by(VerdictRow.opening_id)
    )


def by_alpha(rows: Iterable[Any]) -> dict[Key, Row]:
    """Return (service, alpha id) to the last of its rows."""
    return {(row.service, row.alpha_id): dict(row._mapping) for row in rows}


_OF_VERDICT = (
    *("verdict", "reason", "sharpe_low", "sharpe_high", "dsr", "sealed_sharpe", "sealed_low"),
    *("sealed_high", "net_sharpe", "shrunk_sharpe"),
)


LABEL = func.coalesce(DataVersionRow.label, MarketRow.label).label("label")
"""What the data of a row was called when it was first seen; joined by `of_data`."""


def of_data(version: Any) -> Any:
    """Return the condition that a data version is the one that an alpha was computed from."""
    return and_(
        version.market_id == AlphaRow.market_id, version.fingerprint == AlphaRow.data_version
    )


def same_alpha(table: Any) -> Any:
    """Return the condition that a row of another table is of the alpha of `AlphaRow`."""
    return and_(table.service == AlphaRow.service, table.alpha_id == AlphaRow.alpha_id)


def beside(judged: Row | None, sure: Sureness | None, trials: int) -> Row:
    """Return what stands beside one Sharpe ratio."""
    low, high = sure.band if sure else (None, None)
    told: Row = {
        "low": low,
        "high": high,
        "dsr": sure.deflated(trials) if sure else None,
        "trials": trials,
        "shrunk": None,
        "verdict": NOT_JUDGED,
        "reason": "it was never among the finalists of the sealed days",
        "sealed": None,
        "sealed_low": None,
        "sealed_high": None,
        "net": None,
        "favourite": bool(judged and judged["favourite"]),
        "submission": judged["submission"] if judged else None,
        "synthetic": bool(judged and (judged["label"] or "").startswith("SYNTHETIC")),
    }
    if judged is not None and judged["verdict"] is not None:
        told |= {
            "verdict": judged["verdict"],
            "reason": judged["reason"] or "",
            "low": judged["sharpe_low"],
            "high": judged["sharpe_high"],
            "dsr": judged["dsr"],
            "trials": judged["trials"],
            "shrunk": judged["shrunk_sharpe"],
            "sealed": judged["sealed_sharpe"],
            "sealed_low": judged["sealed_low"],
            "sealed_high": judged["sealed_high"],
            "net": judged["net_sharpe"],
        }
    return told
