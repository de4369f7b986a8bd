"""The alpha engine against pandas, NumPy + bottleneck, polars and KunQuant, and its limits.

Every engine evaluates the same 20 alphas, each by itself, on the same panels, in interleaved
rounds; the tables show medians and how many times slower than ours each engine is. KunQuant's
compilation is measured apart. Then follow: a population of our own generator's expressions and one
of the miner's, one by one and as one batch; what simulation adds; bandwidth, threads, processes,
memory, and the first and later starts.

    python -m benchmarks.engine [--panels 3000,500,470] [--rounds 5] [--alphas 1,6,101]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import OPERATORS, Evaluator, check, parse, warm_up
from alphafoundry.expressions.graph import Graph
from alphafoundry.market import Panel, load_market
from alphafoundry.research.grammar import GrammarGenerator
from alphafoundry.research.proposals import Outcome
from alphafoundry.research.tree_edits import replaced, write
from alphafoundry.research.variations import SearchSpace, variations
from alphafoundry.simulation.settings import SimulationSettings
from benchmarks import engine_limits as limits
from benchmarks.engines import vector_length
from benchmarks.engines.formulas import FORMULAS, OURS
from benchmarks.results_file import write_result
from benchmarks.seeded_panel import SeededPanel, seeded_panel

FOUNDERS = 40
SLOW_MS = 1000.0
ENGINES = ("pandas", "numpy", "polars", "kunquant")
TOP3000 = "us_top3000_2012_2017.parquet"
SMALL = "us_equities_2016_2021.parquet"
MEMORY = (
    (1250, 3000, "float64"),
    (1250, 3000, "float32"),
    (5000, 5000, "float64"),
    (5000, 5000, "float32"),
)
PACKAGES = ["numpy", "numba", "pandas", "bottleneck", "polars", "KunQuant"]
Run = Callable[[], Any]


def our_run(panel: Panel | SeededPanel, number: int, threads: int) -> Run:
    """Return what evaluates one alpha without any value kept from before."""
    evaluator = Evaluator(panel.fields, panel.groups, cache_bytes=0, threads=threads)
    expression = parse(OURS[number])
    return lambda: evaluator.evaluate(expression)


def competitors(panel: Panel | SeededPanel, chosen: list[str]) -> dict[str, Any]:
    """Return the vocabulary of each engine that runs a formula directly."""
    found: dict[str, Any] = {}
    fields, sector = panel.fields, panel.groups["sector"]
    if "pandas" in chosen:
        from benchmarks.engines.pandas_engine import PandasVocabulary

        found["pandas"] = PandasVocabulary(fields, sector)
    if "numpy" in chosen:
        from benchmarks.engines.numpy_engine import NumpyVocabulary

        found["numpy"] = NumpyVocabulary(fields, sector)
    if "polars" in chosen:
        from benchmarks.engines.polars_engine import PolarsVocabulary

        found["polars"] = PolarsVocabulary(fields, sector)
    return found


def kunquant_run(panel: Panel | SeededPanel, number: int, threads: int) -> tuple[Run, float]:
    """Return what runs the compiled alpha, and the seconds that its compilation took."""
    from benchmarks.engines import kunquant_engine

    start = time.perf_counter()
    library, name = kunquant_engine.compile_alpha(number, FORMULAS[number])
    seconds = time.perf_counter() - start
    data = {**panel.fields, "sector": panel.groups["sector"].astype(float)}
    return kunquant_engine.runner(library, name, data, threads), seconds


def timed(run: Run) -> float:
    """Return the milliseconds of one call; its result is dropped within."""
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def measure_alpha(
    panel: Panel | SeededPanel,
    number: int,
    vocabularies: dict[str, Any],
    engines: list[str],
    rounds: int,
) -> dict[str, Any]:
    """Measure one alpha on every engine in interleaved rounds; medians in milliseconds.

    A timed call follows one of the same engine, so that none pays for what another left in the
    processor's cache; what takes longer than SLOW_MS is timed twice in all.
    """
    runs: dict[str, Run] = {
        "ours": our_run(panel, number, 2),
        "ours_1_thread": our_run(panel, number, 1),
    }
    compilation = None
    for name, vocabulary in vocabularies.items():
        runs[name] = lambda vocabulary=vocabulary: FORMULAS[number](vocabulary)
    if "kunquant" in engines:
        runs["kunquant"], compilation = kunquant_run(panel, number, 2)
    times: dict[str, list[float]] = {name: [] for name in runs}
    with np.errstate(all="ignore"):
        for _ in range(rounds):
            for name, run in runs.items():
                if len(times[name]) >= 2 and times[name][-1] > SLOW_MS:
                    continue
                gc.collect()
                if not times[name] or times[name][-1] <= SLOW_MS:
                    run()
                times[name].append(timed(run))
    row: dict[str, Any] = {"alpha": number}
    row.update({name: round(statistics.median(several), 2) for name, several in times.items()})
    if compilation is not None:
        row["kunquant_compilation"] = round(1e3 * compilation)
    return row


def ratios(rows: list[dict[str, Any]], engines: list[str]) -> dict[str, Any]:
    """Return the median and the least ratio of each engine's time to ours, and sums."""
    summary: dict[str, Any] = {"alpha": "all", "ours_ms": round(sum(r["ours"] for r in rows), 1)}
    for name in [*engines, "ours_1_thread"]:
        several = [row[name] / row["ours"] for row in rows]
        summary[f"{name}_ms"] = round(sum(row[name] for row in rows), 1)
        summary[f"{name}_median_ratio"] = round(statistics.median(several), 2)
        summary[f"{name}_least_ratio"] = round(min(several), 2)
    return summary


def population_of(panel: Panel, count: int) -> list[str]:
    """Return related expressions of our own generator: the second day of a research campaign.

    The first day's proposals are its history; most of the second day's vary or join them.
    """
    infos = Evaluator(panel.fields, panel.groups).infos
    first = GrammarGenerator(infos, OPERATORS.names("REGULAR"), seed=1)
    kept = asyncio.run(first.propose(FOUNDERS)).kept
    history = [Outcome(found.expression, 1.0 + place / 100) for place, found in enumerate(kept)]
    second = GrammarGenerator(
        infos,
        OPERATORS.names("REGULAR"),
        seed=2,
        history=history,
        exploration=0.05,
        evolution=0.9,
    )
    return [found.expression for found in asyncio.run(second.propose(count)).kept]


def mined_population(panel: Panel, count: int) -> list[str]:
    """Return the miner's variations, one step away, of the 20 alphas; as many of each."""
    infos = Evaluator(panel.fields, panel.groups).infos
    space = SearchSpace.of(infos, OPERATORS.names("REGULAR"))
    random = np.random.default_rng(1)
    found: list[str] = []
    for text in OURS.values():
        parent = parse(text)
        several = [
            write(replaced(parent.root, variation.path, variation.node))
            for kind in variations(parent, SimulationSettings(), space).values()
            for variation in kind
        ]
        random.shuffle(several)
        good = (text for text in several if _runs(text, infos))
        found.extend(itertools.islice(good, count // len(OURS)))
    return found


def _runs(text: str, infos: Any) -> bool:
    try:
        check(parse(text), infos)
    except ExpressionError:
        return False
    return True


def shared_share(texts: list[str]) -> float:
    """Return how many values the expressions need one by one over how many are distinct."""
    each = [Graph([parse(text).canonical_form]) for text in texts]
    together = Graph(parse(text).canonical_form for text in texts)
    alone = sum(graph.calculations for graph in each)
    return alone / together.calculations


def measure_population(panel: Panel, name: str, texts: list[str], cache_mib: int) -> dict[str, Any]:
    """Evaluate a population one by one without a cache, with it, and as one batch; in seconds."""
    row: dict[str, Any] = {"population": name, "expressions": len(texts)}
    row["values_over_distinct_values"] = round(shared_share(texts), 2)
    for way, cache in (("alone", 0), ("cache", cache_mib)):
        evaluator = Evaluator(panel.fields, panel.groups, cache_bytes=cache * 2**20)
        start = time.perf_counter()
        for text in texts:
            evaluator.evaluate(text)
        row[f"{way}_s"] = round(time.perf_counter() - start, 2)
    evaluator = Evaluator(panel.fields, panel.groups, cache_bytes=cache_mib * 2**20)
    start = time.perf_counter()
    for _ in evaluator.evaluate_many(texts):
        pass
    row["batch_s"] = round(time.perf_counter() - start, 2)
    row["batch_speedup"] = round(row["alone_s"] / row["batch_s"], 2)
    row["cache_speedup"] = round(row["alone_s"] / row["cache_s"], 2)
    row["cache_mib"] = cache_mib
    return row


def compare(
    panel: Panel | SeededPanel, numbers: list[int], engines: list[str], rounds: int
) -> list[dict[str, Any]]:
    """Measure the alphas on every engine; print and return a table with its summary."""
    print(f"\n{panel.label}")
    vocabularies = competitors(panel, engines)
    columns = ["ours", "ours_1_thread", *engines]
    print(f"{'alpha':>6}" + "".join(f"{name:>15}" for name in columns) + "   (milliseconds)")
    rows = []
    for number in numbers:
        row = measure_alpha(panel, number, vocabularies, engines, rounds)
        rows.append(row)
        print(f"{number:>6}" + "".join(f"{row[name]:>15.1f}" for name in columns), flush=True)
    summary = ratios(rows, engines)
    for name in [*engines, "ours_1_thread"]:
        print(
            f"{name:>15}: {summary[f'{name}_median_ratio']:.1f} x slower (median), "
            f"at least {summary[f'{name}_least_ratio']:.1f} x"
        )
    return [{"panel": panel.label, **row} for row in (*rows, summary)]


def show(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print rows and return them."""
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    return rows


def main() -> None:
    """Measure, print tables, and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engine",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", default="../shared/data", help="folder of the real panels")
    parser.add_argument("--panels", default="3000,500,470", help="by number of names, by comma")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per alpha (default: 5)")
    parser.add_argument("--alphas", default="", help="numbers, by comma (default: all 20)")
    parser.add_argument("--engines", default=",".join(ENGINES), help="competitors, by comma")
    parser.add_argument("--population", type=int, default=1000, help="expressions (0: none)")
    parser.add_argument("--cache-mib", type=int, default=2048, help="of a batch (default: 2048)")
    parser.add_argument(
        "--no-limits", action="store_true", help="leave out what follows the tables"
    )
    arguments = parser.parse_args()
    engines = [name for name in arguments.engines.split(",") if name]
    numbers = [int(n) for n in arguments.alphas.split(",") if n] or list(OURS)
    data = Path(arguments.data)
    wanted = {int(names) for names in arguments.panels.split(",") if names}
    if not (data / TOP3000).exists():
        parser.error(f"{data / TOP3000} is not there; name the folder of the panels with --data")
    if "kunquant" in engines and (reason := vector_length.why_not()):
        print(f"kunquant is left out: {reason}")
        engines.remove("kunquant")
    warm_up()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        panel = load_market(str(data / TOP3000), cache_dir=cache)
        if 3000 in wanted:
            rows += compare(panel, numbers, engines, arguments.rounds)
        if 500 in wanted:
            rows += compare(seeded_panel(2500, 500), numbers, engines, arguments.rounds)
        if 470 in wanted:
            small = load_market(str(data / SMALL), cache_dir=cache)
            rows += compare(small, numbers, engines, arguments.rounds)
        if arguments.population:
            generated = population_of(panel, arguments.population)
            mined = mined_population(panel, arguments.population)
            for name, texts in (("generated", generated), ("mined", mined)):
                rows += show([measure_population(panel, name, texts, arguments.cache_mib)])
        if not arguments.no_limits:
            rows += show([limits.simulation_share(panel, arguments.rounds)])
            rows += show(limits.bandwidth(panel, arguments.rounds))
            rows += show(
                limits.scaling(panel, str(data / TOP3000), cache, population_of(panel, 100))
            )
            for days, names, precision in MEMORY:
                rows += show([limits.memory(days, names, precision)])
            rows += show(limits.start_up())
    print(f"written to {write_result('engine', rows, PACKAGES)}")


if __name__ == "__main__":
    main()
