"""Screening in bulk: ideas a second, and what screening does for what a search finds.

Three parts. *Speed*: the same ideas of the grammar, formulas and templates, screened one batch and
two batches at a time, and simulated one by one by `simulate()`, on a calibration market (500 names)
and on files of real prices where they are; on a market of many names also on some names first.
*Lost*: how many of the best ideas such a first look lets pass. *Search*: the daily search at the
same simulations without and with ideas screened before, on calibration markets whose truth is
known; judged by the mean true Sharpe ratio of the ten finalists. Seconds are of the clock, so
nothing else should run.

    python -m benchmarks.screen [--quick] [--parts speed,lost,search] [--file BARS.parquet ...]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alphafoundry.expressions.operators import OPERATORS
from alphafoundry.expressions.threads import available_cores
from alphafoundry.market import Panel, load_market
from alphafoundry.market.calibration import generate_market
from alphafoundry.research.finalists import choose_finalists
from alphafoundry.research.ideas import IdeaGenerator
from alphafoundry.research.proposals import Proposal
from alphafoundry.research.run import research_run
from alphafoundry.research.whole_search import search_all
from alphafoundry.settings import load_settings
from alphafoundry.simulation import SimulationSettings, Simulator
from alphafoundry.simulation.screening import Screener
from alphafoundry.store import count_trials, is_witness, read_alphas
from benchmarks.report import table
from benchmarks.results_file import RESULTS, write_result

CACHE = RESULTS.parent.parent / ".foundry" / "cache"
FILES = (
    "../shared/data/us_equities_2016_2021.parquet",
    "../shared/data/us_top3000_2012_2017.parquet",
)
SETTINGS = SimulationSettings(decay=4)
BATCH = 250
NAMES, KEEP = 600, 0.2
SPEED_IDEAS = {500: 600, 470: 600, 3000: 120}
LOST_IDEAS = 600
SEEDS, QUICK_SEEDS = (301, 302, 303), (301,)
SIMULATIONS = 60


def ideas_for(panel: Panel, count: int) -> list[Proposal]:
    """Return what the embedded generator proposes on a market."""
    from alphafoundry.simulation.evaluators import EvaluatorCache

    engine = EvaluatorCache(panel).evaluator(SETTINGS.universe, pasteurize=True, nan_handling=False)
    generator = IdeaGenerator(engine.infos, OPERATORS, seed=3, settings=SETTINGS)
    return asyncio.run(generator.propose(count)).kept


def speed(panel: Panel, *, quick: bool) -> list[dict[str, Any]]:
    """Return ideas a second, screened and simulated."""
    count = SPEED_IDEAS.get(panel.shape[1], 200) // (3 if quick else 1)
    proposals = ideas_for(panel, count)
    ideas = [(one.expression, SETTINGS) for one in proposals]
    size = min(BATCH, max(count // 8, 5))
    batches = [proposals[first : first + size] for first in range(0, len(ideas), size)]
    list(Screener(panel).screen(ideas[:20]))
    rows = []
    several = available_cores()
    many = panel.shape[1] >= 2 * NAMES
    for together, names in dict.fromkeys(
        ((1, 0), (several, 0), *(((several, NAMES),) if many else ()))
    ):
        screener = Screener(panel, threads=1, names=names, keep=KEEP)
        list(screener.screen(ideas[:1]))
        how = f"screened, {together} at a time"
        if names:
            how += f", {names} names first, {KEEP:.0%} of the ideas on all"
        began, busy = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(together) as pool:
            found = sum(pool.map(partial(_screened, screener), batches))
        rows.append(_row(panel, how, found, began, busy))
    simulator = Simulator(panel)
    some = ideas[: max(len(ideas) // 6, 10)]
    began, busy = time.perf_counter(), time.process_time()
    for text, settings in some:
        simulator.simulate(text, settings)
    rows.append(_row(panel, "simulate(), one by one", len(some), began, busy))
    return rows


def lost(panel: Panel, *, quick: bool) -> list[dict[str, Any]]:
    """Return how many of the best of all ideas a first look lets pass."""
    proposals = ideas_for(panel, LOST_IDEAS // (3 if quick else 1))
    alphas = [(one.expression, SETTINGS) for one in proposals]
    whole, some = Screener(panel, threads=1), Screener(panel, threads=1, names=NAMES, keep=KEEP)
    sharpe, passed = np.zeros(len(alphas)), np.ones(len(alphas), bool)
    for first in range(0, len(alphas), BATCH):
        batch = alphas[first : first + BATCH]
        for one in whole.screen(batch):
            if one.statistics is not None:
                sharpe[first + one.place] = abs(np.nan_to_num(one.statistics.sharpe))
        for one in some.screen(batch, spared=_witnesses(proposals[first : first + BATCH])):
            passed[first + one.place] = not one.stopped_early
    best = np.argsort(-sharpe, kind="stable")
    return [
        {
            "panel": panel.label.split(",")[0],
            "names_first": NAMES,
            "kept": KEEP,
            "ideas": len(alphas),
            "best": count,
            "passed": round(float(passed[best[:count]].mean()), 2),
            "sharpe": round(float(sharpe[best[:count]].mean()), 2),
            "sharpe_of_passed": round(float(np.sort(sharpe[passed])[::-1][:count].mean()), 2),
        }
        for count in (10, 25, 100)
    ]


def _screened(screener: Screener, batch: Sequence[Proposal]) -> int:
    ideas = [(one.expression, one.settings) for one in batch]
    return len(list(screener.screen(ideas, spared=_witnesses(batch))))


def _witnesses(batch: Sequence[Proposal]) -> set[int]:
    return {
        place
        for place, one in enumerate(batch)
        if is_witness(one.canonical, one.settings.to_brain())
    }


def _row(panel: Panel, how: str, count: int, began: float, busy: float) -> dict[str, Any]:
    seconds, processor = time.perf_counter() - began, time.process_time() - busy
    return {
        "panel": panel.label.split(",")[0],
        "days": panel.shape[0],
        "names": panel.shape[1],
        "how": how,
        "ideas": count,
        "a_second": round(count / seconds, 1),
        "a_processor_second": round(count / processor, 1),
    }


async def found_by(seed: int, ideas: int) -> dict[str, Any]:
    """Search a calibration market as the daily run does; return what its finalists are worth."""
    panel = generate_market(seed, progress=lambda _: None)
    with tempfile.TemporaryDirectory(prefix="screen-") as folder:
        settings = load_settings(
            environment={},
            home=Path(folder),
            seed=seed,
            simulations=SIMULATIONS,
            screen={"ideas": ideas},
        )
        async with research_run(settings, flow="daily", lanes=1, panel=panel) as run:
            await search_all(run)
            trials = count_trials(run.store, run.service, run.market_id)
            finalists = choose_finalists(run.store, run.service, trials=trials)
            alphas = read_alphas(run.store, run.service, [one.alpha_id for one in finalists])
    true = [alphas[one.alpha_id].expected_sharpe or 0.0 for one in finalists]
    return {
        "seed": seed,
        "screened": ideas,
        "simulations": SIMULATIONS,
        "trials": trials,
        "finalists": len(true),
        "searched_sharpe": round(float(np.mean([one.sharpe for one in finalists])), 2),
        "true_sharpe": round(float(np.mean(true)), 2) if true else None,
    }


def main() -> None:
    """Measure, print the tables, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screen")
    parser.add_argument("--quick", action="store_true", help="one seed, fewer ideas")
    parser.add_argument("--parts", default="speed,lost,search", help="speed, lost, search")
    parser.add_argument("--file", action="append", help="bars of real prices")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    panels = []
    if {"speed", "lost"} & set(arguments.parts.split(",")):
        panels = [load_market("calibration", cache_dir=CACHE)]
        for file in arguments.file or FILES:
            if Path(file).exists():
                panels.append(load_market(file, cache_dir=CACHE))
            else:
                print(f"left out: there is no {file}")
    if "speed" in arguments.parts:
        for panel in panels:
            rows += speed(panel, quick=arguments.quick)
        print("\n".join(table(rows)))
    if "lost" in arguments.parts:
        found = [
            row
            for panel in panels
            if panel.shape[1] >= 2 * NAMES
            for row in lost(panel, quick=arguments.quick)
        ]
        print("\n".join(table(found)))
        rows += found
    if "search" in arguments.parts:
        ideas = 1_000 if arguments.quick else 2_000
        found = [
            asyncio.run(found_by(seed, screened))
            for seed in (QUICK_SEEDS if arguments.quick else SEEDS)
            for screened in (0, ideas)
        ]
        print("\n".join(table(found)))
        rows += found
    print(write_result("screen", rows, ["numpy", "numba"]))


if __name__ == "__main__":
    main()
