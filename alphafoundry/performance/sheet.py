"""The tear sheet: everything about a track record in one place, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from alphafoundry.errors import PerformanceError
from alphafoundry.performance.attribution import COSTS, DRIFT, GAPS, STRATEGY, Attribution, summed
from alphafoundry.performance.returns import Array, ReturnSeries
from alphafoundry.performance.statistics import (
    Drawdown,
    SharpeEvidence,
    Statistics,
    by_period,
    drawdowns,
    monthly_table,
    sharpe_evidence,
    statistics_of,
)
from alphafoundry.store import Store
from alphafoundry.store.agents import read_agent_desk
from alphafoundry.store.performance import count_desks_like, read_performance
from alphafoundry.store.performance_tables import PerformanceRow
from alphafoundry.trading.money import MONEY

SHOWN_DRAWDOWNS = 5


@dataclass(frozen=True, eq=False)
class Trading:
    """How a desk traded, by session; arrays of shape (n_days,).

    Attributes
    ----------
    gross, net : exposures at the evening over net asset value
    turnover : bought and sold over the net asset value of the evening before
    """

    gross: Array
    net: Array
    turnover: Array


@dataclass(frozen=True, eq=False)
class TearSheet:
    """A track record.

    Attributes
    ----------
    title, label : what it is of, and what its market is; the label starts with SYNTHETIC where
        prices were generated
    synthetic : whether they were
    began_with, ended_with : net asset value in dollars; None for a series of returns alone
    trading, attribution : of a desk; None otherwise
    sectors : sector to (allocation, selection) in dollars, beside an equal-weighted market
    factors : factor to dollars
    notes : what a reader should know
    """

    title: str
    label: str
    synthetic: bool
    series: ReturnSeries
    statistics: Statistics
    sharpe: SharpeEvidence
    drawdowns: Sequence[Drawdown]
    began_with: float | None = None
    ended_with: float | None = None
    trading: Trading | None = None
    attribution: Attribution | None = None
    sectors: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def months(self) -> list[tuple[str, list[float | None]]]:
        """Returns by year and month."""
        return monthly_table(by_period(self.series, "M"))

    @property
    def years(self) -> list[tuple[str, float]]:
        """Returns by year."""
        return by_period(self.series, "Y")

    def sources(self) -> list[tuple[str, float]]:
        """Return (where from, dollars) of the PnL, which they add up to."""
        if self.attribution is None:
            return []
        parts = self.attribution.parts
        strategies = sum(n for name, n in parts.items() if name.startswith(STRATEGY))
        rest = {name: n for name, n in parts.items() if not name.startswith(STRATEGY)}
        gap = sum(rest.pop(name, 0) for name in GAPS)
        optimiser = rest.pop("optimiser", 0)
        found = [
            ("strategies", strategies),
            ("optimiser", optimiser),
            ("execution gap", gap),
            *((name, rest.pop(name, 0)) for name in COSTS),
            *sorted(rest.items()),
        ]
        return [(name, amount / MONEY) for name, amount in found]

    def to_json(self) -> dict[str, Any]:
        """Return plain values; NaN is None."""
        plain: dict[str, Any] = {
            "kind": "tear sheet",
            "version": 1,
            "title": self.title,
            "market": self.label,
            "synthetic": self.synthetic,
            "began_with": self.began_with,
            "ended_with": self.ended_with,
            # The Sharpe ratio is below, where it does not stand alone.
            "statistics": {
                name: value for name, value in self.statistics.to_dict().items() if name != "sharpe"
            },
            "sharpe": asdict(self.sharpe),
            "drawdowns": [
                {
                    "depth": one.depth,
                    "began": one.began.isoformat(),
                    "deepest": one.deepest.isoformat(),
                    "recovered": None if one.recovered is None else one.recovered.isoformat(),
                    "days": one.days,
                }
                for one in self.drawdowns
            ],
            "months": dict(by_period(self.series, "M")),
            "years": dict(self.years),
            "days": [str(day) for day in self.series.dates],
            "returns": self.series.returns.tolist(),
            "benchmark": None if self.series.benchmark is None else self.series.benchmark.tolist(),
            "sources": dict(self.sources()),
            "sectors": {name: list(effects) for name, effects in self.sectors.items()},
            "factors": dict(self.factors),
            "notes": list(self.notes),
        }
        if self.attribution is not None:
            plain["parts"] = {name: n / MONEY for name, n in self.attribution.parts.items()}
            plain["drift"] = {
                strategy: {column: columns.get(column, 0) / MONEY for column in DRIFT}
                for strategy, columns in self.attribution.drift.items()
            }
        if self.trading is not None:
            plain["exposure"] = {
                name: float(values.mean()) for name, values in vars(self.trading).items()
            }
        found: dict[str, Any] = _without_nan(plain)
        return found


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _without_nan(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return value


def tear_sheet(
    series: ReturnSeries,
    *,
    title: str,
    label: str,
    synthetic: bool = False,
    trials: int = 1,
    seed: int = 0,
) -> TearSheet:
    """Return the tear sheet of any daily returns.

    Parameters
    ----------
    trials : track records of which this one was kept, itself included
    seed : of the bootstrap

    Raises PerformanceError without a day.
    """
    if not len(series):
        raise PerformanceError(f"{title}: there is no day with a return yet")
    return TearSheet(
        title=title,
        label=label if label.startswith("SYNTHETIC") or not synthetic else f"SYNTHETIC {label}",
        synthetic=synthetic,
        series=series,
        statistics=statistics_of(series),
        sharpe=sharpe_evidence(series, trials=trials, seed=seed),
        drawdowns=drawdowns(series),
    )


def desk_sheet(
    store: Store, desk: str | None = None, rows: Sequence[PerformanceRow] = ()
) -> TearSheet:
    """Return the tear sheet of a desk from its rows, None is the newest desk.

    Its trials are the desks that the store holds on the same market and some of the same days:
    alphas were frozen before they traded, so what was chosen among on these days is desks.

    rows : all of its sessions, where they were read already

    Raises StoreError where there is no such desk, PerformanceError where no session of it has been
    looked at.
    """
    found = read_agent_desk(store, desk)
    rows = rows or read_performance(store, found.name)
    if not rows:
        raise PerformanceError(
            f"desk {found.name}: performance_analysis has not looked at a closed session yet; "
            "enable it in the schedule, and let the desk trade one"
        )
    series = desk_series(rows)
    trials = count_desks_like(store, found.name)
    plain = tear_sheet(
        series,
        title=f"Desk {found.name}",
        label=found.market_label,
        synthetic=rows[-1].synthetic,
        trials=trials,
        seed=int(found.settings.get("seed") or 0),
    )
    values = np.array([row.net_asset_value for row in rows], dtype=np.float64)
    before = np.array([row.before for row in rows], dtype=np.float64)
    notes = [
        "The benchmark is the mean return of all names of the market.",
        f"Trials: {trials} desk{'s' if trials > 1 else ''} of this store traded this market on "
        "some of these days.",
    ]
    if len(rows) < 60:
        notes.append(f"{len(rows)} sessions say nothing about skill.")
    return replace(
        plain,
        began_with=float(before[0]) / MONEY,
        ended_with=float(values[-1]) / MONEY,
        trading=Trading(
            gross=np.array([row.gross for row in rows]) / values,
            net=np.array([row.net for row in rows]) / values,
            turnover=np.array([row.traded for row in rows]) / before,
        ),
        attribution=summed([attribution_of(row) for row in rows]),
        sectors=_sectors(rows),
        factors=_added([row.factors for row in rows]),
        notes=notes,
    )


def attribution_of(row: PerformanceRow) -> Attribution:
    """Return the attribution that a row holds; without what each name earned."""
    return Attribution(row.session, row.pnl, row.parts, row.drift, {})


def desk_series(rows: Sequence[PerformanceRow]) -> ReturnSeries:
    """Return the daily returns that a desk's rows tell, beside those of its market."""
    benchmark = [math.nan if row.benchmark is None else row.benchmark for row in rows]
    return ReturnSeries(
        np.array([row.session for row in rows], dtype="datetime64[D]"),
        np.array([row.pnl / row.before for row in rows]),
        np.array(benchmark),
    )


def _sectors(rows: Sequence[PerformanceRow]) -> dict[str, tuple[float, float]]:
    names = sorted({name for row in rows for name in row.sectors})
    return {
        name: (
            sum(row.sectors.get(name, (0.0, 0.0))[0] for row in rows),
            sum(row.sectors.get(name, (0.0, 0.0))[1] for row in rows),
        )
        for name in names
    }


def _added(given: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = list(dict.fromkeys(name for one in given for name in one))
    return {name: sum(one.get(name, 0.0) for one in given) for name in names}
