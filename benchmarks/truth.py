"""How often a search of nothing is said to have found something, and how often a true one is.

Null markets hold no effect at all, so whatever is found there is false; planted markets hold known
effects, so the true Sharpe ratio of each alpha is known. Every market is searched once as
`flows.daily` searches, on search days alone; its finalists are then judged on many sealed futures
that differ from each other, each a first opening. A rate is the mean over searches of the share of
futures, with a 95 % interval over searches, since the futures of one search share its finalists.

    python -m benchmarks.truth [--quick] [--parts null-60,planted-1] [--workers 2]

Each search is kept in .foundry/truth, so a run that was stopped goes on where it was; --again
forgets them. Seeds begin at 101: nothing was tuned on them.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from alphafoundry.evidence import (
    deflated_sharpe_ratio,
    expected_maximum,
    judge,
    moments,
    null_deviation,
    opening_level,
    t_statistics,
)
from alphafoundry.market import Panel
from alphafoundry.market.calibration import PLANTED, at_strength, generate_market
from alphafoundry.research.finalists import choose_finalists, varying
from alphafoundry.research.history import settings_of
from alphafoundry.research.run import research_run
from alphafoundry.research.seal import Seal
from alphafoundry.research.trial_pnl import read_trial_pnl
from alphafoundry.research.whole_search import search_all
from alphafoundry.seeds import generator_for
from alphafoundry.settings import FoundrySettings
from alphafoundry.simulation import Simulator
from alphafoundry.simulation.pnl import BOOK
from alphafoundry.simulation.result import SimulationResult
from alphafoundry.store import (
    Finalist,
    count_trials,
    hopeful_alphas,
    read_alphas,
    read_simulations,
)
from benchmarks.results_file import RESULTS, write_result

KEPT = RESULTS.parent.parent / ".foundry" / "truth"
FIRST_SEED = 101
WORTHLESS, GOOD = 0.3, 2.0
"""True Sharpe ratios: below the first a find is false, above the second it should be found."""

EDGES = (-math.inf, 0.3, 1.0, 1.5, 2.0, 2.5, 3.0, math.inf)


@dataclass(frozen=True)
class Part:
    """Searches of one kind of market.

    Attributes
    ----------
    strength : of the planted effects, 0 plants nothing
    simulations : budget of each search
    searches, futures : how many, and sealed futures for each
    """

    strength: float
    simulations: int
    searches: int
    futures: int

    @property
    def name(self) -> str:
        """Such as null-60 or planted-0.5."""
        return f"planted-{self.strength:g}" if self.strength else f"null-{self.simulations}"

    @property
    def seeds(self) -> range:
        """A seed for each search."""
        return range(FIRST_SEED, FIRST_SEED + self.searches)


WHOLE = (
    Part(0.0, 60, 20, 20),
    Part(0.0, 400, 20, 20),
    Part(1.0, 400, 5, 5),
    Part(0.5, 400, 5, 5),
    Part(0.25, 400, 5, 5),
)
QUICK = (Part(0.0, 60, 4, 5), Part(1.0, 60, 2, 3))


def market_of(seed: int, strength: float, continuation: tuple[int, int] | None = None) -> Panel:
    """Return a null market (strength 0, no drift) or a planted one."""
    return generate_market(
        seed,
        progress=lambda _: None,
        effects=at_strength(PLANTED, strength) if strength else (),
        continuation=continuation,
    )


async def search_and_judge(part: Part, seed: int) -> dict[str, Any]:
    """Search a market, and judge its finalists on every future; all numbers as JSON values."""
    began = time.process_time()
    panel = market_of(seed, part.strength)
    with tempfile.TemporaryDirectory(prefix="truth-") as folder:
        settings = FoundrySettings(home=Path(folder), simulations=part.simulations, seed=seed)
        async with research_run(settings, flow="truth", lanes=2, panel=panel) as run:
            assert isinstance(run.seal, Seal)
            await search_all(run)
            trials = count_trials(run.store, run.service, run.market_id)
            finalists = choose_finalists(run.store, run.service, trials=trials)
            rows = read_simulations(run.store, service=run.service, status=("complete", "warning"))
            ids = [row.alpha_id for row in rows if row.alpha_id]
            alphas = read_alphas(run.store, run.service, ids)
            known = varying(read_trial_pnl(run.store, run.service, ids))
            hopeful = hopeful_alphas(run.store, run.service, unmined=False)
            order = [known.alpha_ids.index(one.alpha_id) for one in finalists]
            search = known.only(order).common()[1] if order else None
            seal = run.seal
    own = [known.own(column) for column in range(len(known.alpha_ids))]
    found = [moments(pnl) for pnl in own]
    best = int(np.argmax([one.sharpe for one in found]))
    return {
        "seed": seed,
        "trials": trials,
        "search_days": len(own[best]),
        "sealed_days": seal.sealed_days,
        "hopeful": len(hopeful),
        "passing": sum(_passes(alpha.checks) for alpha in alphas.values()),
        "best_fitness": max((alpha.fitness or 0.0 for alpha in alphas.values()), default=0.0),
        "best_sharpe": found[best].sharpe * math.sqrt(252),
        "best_in_deviations": found[best].sharpe * math.sqrt(len(own[best])),
        "best_t": float(np.nanmax([t_statistics(pnl) for pnl in own])),
        "best_dsr": max(
            deflated_sharpe_ratio(one, trials=trials, sigma=null_deviation(pnl))
            for one, pnl in zip(found, own, strict=True)
        ),
        "finalists": [asdict(one) for one in finalists],
        "futures": [
            _judged(part, seed, number, finalists, search, seal, trials)
            for number in range(part.futures)
        ]
        if finalists
        else [],
        "cpu_seconds": time.process_time() - began,
    }


def _passes(checks: Sequence[Any]) -> bool:
    return bool(checks) and all(check.get("result") in ("PASS", "PENDING") for check in checks)


def _judged(
    part: Part,
    seed: int,
    number: int,
    finalists: Sequence[Finalist],
    search: Any,
    seal: Seal,
    trials: int,
) -> list[dict[str, Any]]:
    first = np.datetime64(seal.sealed_from)
    row = int(np.searchsorted(seal.panel.dates, first))
    panel = market_of(seed, part.strength, (row, number))
    simulator = Simulator(panel)
    results = [
        simulator.simulate(
            one.expression, settings_of(one.settings), keep_positions=part.strength > 0.0
        )
        for one in finalists
    ]
    sealed = np.column_stack([one.days.pnl[one.days.dates >= first] for one in results])
    judged = judge(
        search,
        sealed,
        trials=trials,
        level=opening_level(1),
        periods=252.0,
        generator=generator_for(seed, "future", number),
    )
    return [
        {
            "verdict": finding.verdict,
            "p": finding.p,
            "sealed_sharpe": finding.sealed_sharpe.value if finding.sealed_sharpe else None,
            "true_sharpe": true_sharpe(result, panel, first),
        }
        for finding, result in zip(judged, results, strict=True)
    ]


def true_sharpe(result: SimulationResult, panel: Panel, first: np.datetime64) -> float:
    """Return the annual Sharpe ratio that the planted effects pay from the day `first` on.

    Expected PnL of the effects that are in the market on those days, over the spread of the PnL
    that came about; 0 where nothing is planted.
    """
    if not panel.truth or result.positions is None:
        return 0.0
    days = result.days
    start = len(panel.dates) - len(days)
    added = sum(np.asarray(truth[start:]) for truth in panel.truth.values())
    paid = np.where(np.isnan(panel.fields["returns"][start:]), 0.0, added)
    expected = BOOK * (np.nan_to_num(result.positions) * paid).sum(axis=1)
    sealed = days.dates >= first
    return float(expected[sealed].mean() / days.pnl[sealed].std() * math.sqrt(252))


def one_search(part: Part, seed: int) -> dict[str, Any]:
    """Return a search from where it is kept, or make it and keep it."""
    path = KEPT / f"{part.name}-{part.simulations}-{part.futures}-{seed}.json"
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text())
        return kept
    made = asyncio.run(search_and_judge(part, seed))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(made, default=str))
    draft.rename(path)
    return made


def clustered(shares: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean over searches and its 95 % interval, Student's t over searches.

    Where all are equal the interval is the exact one of as many independent yes-or-no answers.
    """
    values = np.asarray(shares, dtype=np.float64)
    mean, count = float(values.mean()), len(values)
    if count < 2 or np.ptp(values) == 0.0:
        yes = round(mean * count)
        low = 0.0 if yes == 0 else float(stats.beta.ppf(0.025, yes, count - yes + 1))
        high = 1.0 if yes == count else float(stats.beta.ppf(0.975, yes + 1, count - yes))
        return mean, low, high
    half = float(stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / math.sqrt(count))
    return mean, max(0.0, mean - half), min(1.0, mean + half)


def theoretical_power(sharpe: float, days: int, *, tests: int, level: float) -> float:
    """Return the chance that a one-sided test finds an annual Sharpe ratio, `tests` at once.

    Of independent tests at the first step of a step-down: what is alike, or a later step, is found
    more often.
    """
    least = stats.norm.ppf(1.0 - level / tests)
    return float(stats.norm.cdf(sharpe * math.sqrt(days / 252.0) - least))


def rows_of(part: Part, searches: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a part: false finds of a null market, or power by true Sharpe ratio."""
    base = {"part": part.name, "simulations": part.simulations, "searches": len(searches)}
    if part.strength == 0.0:
        return [base | _null_row(searches)]
    return [base | row for row in _planted_rows(searches)]


def _null_row(searches: Sequence[dict[str, Any]]) -> dict[str, Any]:
    def any_found(search: dict[str, Any]) -> float:
        futures = search["futures"]
        hits = [any(one["verdict"] == "found" for one in future) for future in futures]
        return float(np.mean(hits)) if hits else 0.0

    rate, low, high = clustered([any_found(one) for one in searches])
    by_rule, rule_low, rule_high = clustered([float(one["hopeful"] > 0) for one in searches])
    deviations = [one["best_in_deviations"] for one in searches]
    return {
        "futures": sum(len(one["futures"]) for one in searches),
        "found": round(rate, 4),
        "found_low": round(low, 4),
        "found_high": round(high, 4),
        "hopeful_rule": round(by_rule, 4),
        "hopeful_rule_low": round(rule_low, 4),
        "hopeful_rule_high": round(rule_high, 4),
        "dsr_rule": round(float(np.mean([one["best_dsr"] >= 0.95 for one in searches])), 4),
        "t_above_3": round(float(np.mean([one["best_t"] > 3.0 for one in searches])), 4),
        "hopeful": round(float(np.mean([one["hopeful"] for one in searches])), 2),
        "passing": round(float(np.mean([one["passing"] for one in searches])), 2),
        "best_sharpe": round(float(np.mean([one["best_sharpe"] for one in searches])), 3),
        "best_in_deviations": round(float(np.mean(deviations)), 3),
        "best_in_deviations_95": round(float(np.quantile(deviations, 0.95)), 3),
        "draws_in_deviations": round(
            expected_maximum(int(np.median([one["trials"] for one in searches]))), 3
        ),
    }


def _planted_rows(searches: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    judged = [one for search in searches for future in search["futures"] for one in future]
    true: NDArray[np.float64] = np.array([one["true_sharpe"] for one in judged])
    found = np.array([one["verdict"] == "found" for one in judged], dtype=bool)
    days = int(np.median([one["sealed_days"] for one in searches]))
    tests = max(1, round(float(np.mean([len(one["finalists"]) for one in searches]))))
    level = opening_level(1)
    rows = []
    for low, high in itertools.pairwise(EDGES):
        inside = (true > low) & (true <= high)
        if inside.any():
            middle = float(true[inside].mean())
            rows.append(
                {
                    "true_sharpe": round(middle, 2),
                    "judged": int(inside.sum()),
                    "finalists": tests,
                    "found": round(float(found[inside].mean()), 3),
                    "theory_alone": round(theoretical_power(middle, days, tests=1, level=level), 3),
                    "theory_together": round(
                        theoretical_power(middle, days, tests=tests, level=level), 3
                    ),
                }
            )
    good = true > GOOD
    shares = [
        float(np.mean([one["verdict"] == "found" for one in some]))
        for search in searches
        if (
            some := [
                one for future in search["futures"] for one in future if one["true_sharpe"] > GOOD
            ]
        )
    ]
    rate, low, high = clustered(shares) if shares else (math.nan, math.nan, math.nan)
    rows.append(
        {
            "true_sharpe": f"above {GOOD:g}",
            "judged": int(good.sum()),
            "found": None if not shares else round(rate, 3),
            "found_low": None if not shares else round(low, 3),
            "found_high": None if not shares else round(high, 3),
            "false_among_found": round(float((true[found] < WORTHLESS).mean()), 3)
            if found.any()
            else None,
            "found_in_all": int(found.sum()),
        }
    )
    return rows


def measure(parts: Sequence[Part], workers: int) -> list[dict[str, Any]]:
    """Return the rows of all parts; searches in processes of their own where workers > 1."""
    wanted = [(part, seed) for part in parts for seed in part.seeds]
    done: dict[tuple[Part, int], dict[str, Any]] = {}
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            futures = {pool.submit(one_search, *one): one for one in wanted}
            for number, future in enumerate(as_completed(futures), 1):
                done[futures[future]] = future.result()
                print(f"\r{number} of {len(wanted)} searches", end="", flush=True)
    else:
        for number, one in enumerate(wanted, 1):
            done[one] = one_search(*one)
            print(f"\r{number} of {len(wanted)} searches", end="", flush=True)
    print()
    return [
        row for part in parts for row in rows_of(part, [done[part, seed] for seed in part.seeds])
    ]


def main() -> None:
    """Measure, print a line for each row, and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.truth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ", ".join(part.name for part in WHOLE)
    parser.add_argument("--quick", action="store_true", help="a few searches, a minute or two")
    parser.add_argument("--parts", help=f"some of {names}, with commas between them")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--again", action="store_true", help="forget the searches that are kept")
    arguments = parser.parse_args()
    if arguments.again:
        shutil.rmtree(KEPT, ignore_errors=True)
    parts = QUICK if arguments.quick else WHOLE
    if arguments.parts:
        chosen = arguments.parts.split(",")
        unknown = sorted(set(chosen) - {part.name for part in parts})
        if unknown:
            parser.error(f"--parts: {', '.join(unknown)}; choose among {names}")
        parts = tuple(part for part in parts if part.name in chosen)
    rows = measure(parts, arguments.workers)
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    name = "truth-quick" if arguments.quick else "truth"
    path = write_result(name, rows, ["numpy", "numba", "scipy"])
    print(f"written to {path.relative_to(RESULTS.parent.parent)}")


if __name__ == "__main__":
    main()
