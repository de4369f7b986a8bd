"""The judges: what the ten finalists of a search are truly worth.

On synthetic markets the judge is the truth itself: the Sharpe ratio that the planted effects lead
one to expect. On real prices it is a year that the search did not see.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.evidence import common_block_length, draw_days, drawn_sharpe_ratios
from alphafoundry.market import Panel, load_market
from alphafoundry.market.calibration import generate_market
from alphafoundry.market.effects import PLANTED, at_strength
from alphafoundry.seeds import generator_for
from alphafoundry.simulation.placebo_markets import mirrored_market, planted_market
from alphafoundry.simulation.simulator import Simulator
from benchmarks.race.bench import Market, finalists, mutual
from benchmarks.race.rivals import RIVALS, spend
from benchmarks.results_file import RESULTS

CACHE = RESULTS.parent.parent / ".foundry" / "cache"
SEARCH_DAYS, SEALED_DAYS = 756, 252
"""Three years to search, one that is sealed; the next split begins a year later."""

EMBARGO_DAYS = 5
NAMES = 500

Array = NDArray[np.float64]
Cell = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One market to race on.

    Attributes
    ----------
    judge : "calibration", "planted" or "sealed"
    seed : of the market and of the search
    strength : of the planted effects, 1 as they are
    file, split : of real prices; the split is counted from 0
    """

    judge: str
    seed: int
    strength: float = 1.0
    file: str = ""
    split: int = 0

    @property
    def market(self) -> str:
        """The market in a few words."""
        source = Path(self.file).stem
        if self.judge == "calibration":
            return "calibration"
        return f"planted into {source}" if self.judge == "planted" else f"{source}, {self.split}"


def panel_of(case: Case) -> tuple[Panel, Panel | None]:
    """Return what is searched, and the panel with the sealed days where there are any."""
    effects = at_strength(PLANTED, case.strength)
    if case.judge == "calibration":
        return generate_market(case.seed, progress=lambda _: None, effects=effects), None
    whole = load_market(case.file, cache_dir=CACHE)
    if case.judge == "planted":
        mirrored = mirrored_market(most_traded(whole, NAMES, until=SEARCH_DAYS), case.seed)
        return planted_market(mirrored, effects), None
    begin = case.split * SEALED_DAYS
    dates = whole.dates[begin:]
    known = days_from(whole, dates[0])
    traded = most_traded(known, NAMES, until=SEARCH_DAYS)
    last = dates[SEARCH_DAYS + EMBARGO_DAYS + SEALED_DAYS - 1]
    return traded.until(dates[SEARCH_DAYS - 1]), traded.until(last)


def splits_of(file: str) -> int:
    """Return how many rolling splits the days of a file allow."""
    days = len(load_market(file, cache_dir=CACHE).dates)
    return max(0, (days - SEARCH_DAYS - EMBARGO_DAYS - SEALED_DAYS) // SEALED_DAYS + 1)


def race(
    case: Case,
    rivals: Sequence[str],
    simulations: int,
    *,
    known: Callable[[str], Cell | None],
    keep: Callable[[str, Cell], None],
) -> list[Cell]:
    """Let the rivals search one market; return one cell for each.

    Parameters
    ----------
    known : returns the cell of a rival that was raced before, None otherwise
    keep : stores a cell
    """
    cells = {name: cell for name in rivals if (cell := known(name)) is not None}
    if len(cells) < len(rivals):
        searched, whole = panel_of(case)
        market = Market(searched)
        for name in rivals:
            if name not in cells:
                cells[name] = _cell(case, name, market, whole, simulations)
                keep(name, cells[name])
    return [cells[name] for name in rivals]


def _cell(case: Case, name: str, market: Market, whole: Panel | None, simulations: int) -> Cell:
    from benchmarks.race.bench import Bench

    bench = Bench(market, simulations)
    spend(RIVALS[name], bench, case.seed)
    chosen = finalists(bench.found, market.periods, built=bench.built)
    cell: Cell = {
        "judge": case.judge,
        "market": case.market,
        "strength": case.strength,
        "seed": case.seed,
        "rival": name,
        "simulations": len(bench.tried),
        "finalists": len(chosen),
        "search": _mean([one.sign * one.tried.sharpe for one in chosen]),
        "expected": _mean([one.expected for one in chosen]),
        "mutual": mutual(chosen),
        "best": [[one.sign, one.tried.expression.text] for one in chosen],
    }
    if whole is None:
        cell["true"] = _mean([one.sign * one.tried.true_sharpe for one in chosen])
        return cell
    first = len(market.panel.dates) + EMBARGO_DAYS
    before, after = [], []
    simulator = Simulator(whole)
    for finalist in chosen:
        one = finalist.tried
        found = simulator.simulate(one.expression, one.settings)
        pnl = np.zeros(len(whole.dates))
        pnl[len(pnl) - len(found.daily_pnl) :] = finalist.sign * found.daily_pnl
        risk = one.pnl[-one.days :].std()
        before.append(pnl[: len(market.panel.dates)] / risk)
        after.append(pnl[first:] / risk)
    year = math.sqrt(market.periods)
    cell["sealed_each"] = _mean([_sharpe(pnl) * year for pnl in after])
    cell["pooled_search"] = _sharpe(np.mean(before, axis=0)) * year if before else math.nan
    cell["pooled_days"] = np.mean(after, axis=0).tolist() if after else []
    return cell


def summary(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Return a row for each judge, market, strength and rival, means over the seeds."""
    rows: list[dict[str, Any]] = []
    for judge, strength, market in dict.fromkeys(
        (cell["judge"], cell["strength"], _market_of(cell)) for cell in cells
    ):
        group = [
            cell
            for cell in cells
            if (cell["judge"], cell["strength"], _market_of(cell)) == (judge, strength, market)
        ]
        by_rival: dict[str, list[Cell]] = {}
        for cell in group:
            by_rival.setdefault(cell["rival"], []).append(cell)
        if judge == "sealed":
            rows += _sealed_rows(market, by_rival)
        else:
            rows += _true_rows(market, strength, by_rival)
    return rows


def _true_rows(
    market: str, strength: float, by_rival: Mapping[str, Sequence[Cell]]
) -> list[dict[str, Any]]:
    ours = {cell["seed"]: cell["true"] for cell in by_rival.get("ours", ())}
    rows = []
    for name, several in by_rival.items():
        paired = [ours[cell["seed"]] - cell["true"] for cell in several if cell["seed"] in ours]
        rows.append(
            {
                "market": market,
                "strength": strength,
                "rival": name,
                "seeds": len(several),
                "simulations": round(_mean([cell["simulations"] for cell in several])),
                "finalists": round(_mean([cell["finalists"] for cell in several]), 1),
                "true_sharpe": round(_mean([cell["true"] for cell in several]), 2),
                "least": round(min(cell["true"] for cell in several), 2),
                "ours_more": "" if name == "ours" or not paired else round(_mean(paired), 2),
                "search_sharpe": round(_mean([cell["search"] for cell in several]), 2),
                "expected_sharpe": round(_mean([cell["expected"] for cell in several]), 2),
                "mutual_correlation": round(_mean([cell["mutual"] for cell in several]), 2),
            }
        )
    return rows


def _sealed_rows(market: str, by_rival: Mapping[str, Sequence[Cell]]) -> list[dict[str, Any]]:
    pooled = {name: _pooled(several) for name, several in by_rival.items()}
    table = np.column_stack(list(pooled.values()))
    counts = draw_days(
        len(table),
        generator=generator_for(0, "race"),
        mean_block=common_block_length(table),
    )
    drawn = drawn_sharpe_ratios(table, counts) * math.sqrt(252.0)
    places = {name: column for column, name in enumerate(pooled)}
    rows = []
    for name, several in by_rival.items():
        column = drawn[:, places[name]]
        sealed = _sharpe(pooled[name]) * math.sqrt(252.0)
        before = _mean([cell["pooled_search"] for cell in several])
        beats = (
            ""
            if name == "ours" or "ours" not in places
            else round(float(np.mean(drawn[:, places["ours"]] > column)), 2)
        )
        rows.append(
            {
                "real_market": market,
                "rival": name,
                "searches": len(several),
                "pooled_search": round(before, 2),
                "pooled_sealed": round(sealed, 2),
                "standard_error": round(float(np.std(column)), 2),
                "retention": round(sealed / before, 2) if before > 0 else "",
                "p_ours_better": beats,
                "expected_each": round(_mean([cell["expected"] for cell in several]), 2),
                "sealed_each": round(_mean([cell["sealed_each"] for cell in several]), 2),
                "mutual_correlation": round(_mean([cell["mutual"] for cell in several]), 2),
            }
        )
    return rows


def _pooled(several: Sequence[Cell]) -> Array:
    """Return the days of all splits in a row, each the mean of the seeds."""
    by_split: dict[str, list[Array]] = {}
    for cell in several:
        days = np.asarray(cell["pooled_days"], dtype=np.float64)
        by_split.setdefault(cell["market"], []).append(days)
    return np.concatenate([np.mean(days, axis=0) for _, days in sorted(by_split.items())])


def _market_of(cell: Cell) -> str:
    market: str = cell["market"]
    return market.rpartition(",")[0] if cell["judge"] == "sealed" else market


def most_traded(panel: Panel, count: int, *, until: int) -> Panel:
    """Return the names with the most dollars traded on the first `until` days."""
    dollars = (panel.fields["close"] * panel.fields["volume"])[:until]
    order = np.argsort(-np.nan_to_num(dollars).sum(axis=0), kind="stable")[:count]
    return _part(panel, slice(None), np.sort(order), f"{len(order)} most traded")


def days_from(panel: Panel, first: np.datetime64) -> Panel:
    """Return the panel from a day on."""
    begin = int(np.searchsorted(panel.dates, first))
    return _part(panel, slice(begin, None), np.arange(len(panel.symbols)), f"from {first}")


def _part(panel: Panel, days: slice, names: NDArray[np.intp], note: str) -> Panel:
    def cut(array: Any) -> Any:
        return np.ascontiguousarray(array[days][:, names])

    return replace(
        panel,
        dates=panel.dates[days],
        symbols=panel.symbols[names],
        fields={name: cut(array) for name, array in panel.fields.items()},
        groups={name: cut(array) for name, array in panel.groups.items()},
        label=f"{panel.label}, {note}",
        fingerprint=f"{panel.fingerprint} {note}",
        source=f"{panel.source} {note}",
    )


def _sharpe(pnl: Array) -> float:
    spread = float(pnl.std())
    return float(pnl.mean()) / spread if spread else math.nan


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else math.nan
