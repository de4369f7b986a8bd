"""How long single steps of the library take, each in a process of its own: `make bench-library`.

Making and loading markets, and answering texts that nobody would write. No test asserts these
times, since they are the machine's.

    python -m benchmarks.library [--rounds 3] [--data ../shared/data]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.results_file import write_result

TOP3000 = "us_top3000_2012_2017.parquet"
CLOCK = "import time; start = time.{clock}()\n"
STOP = "\nprint(time.{clock}() - start)"
GENERATE = (
    "from alphafoundry.market.calibration import generate_market",
    "generate_market(5, progress=lambda line: None)",
)
LOAD = "from pathlib import Path; from alphafoundry.market import load_market"
PARSE = (
    "from alphafoundry.expressions import parse; from alphafoundry.errors import ExpressionError\n"
    "parse('close')",
    "try: parse({text})\nexcept ExpressionError: pass",
)
EVIDENCE = (
    "import numpy as np\n"
    "from alphafoundry.evidence import deflated_sharpe_ratio, independent_trials, luck_line\n"
    "from alphafoundry.evidence import moments, null_deviation, overfitting\n"
    "pnl = np.random.default_rng(0).normal(size=(877, 1000))",
    "found = moments(pnl)\n"
    "luck_line(1000, 877, climbing=True)\n"
    "deflated_sharpe_ratio(found, trials=1000, sigma=null_deviation(pnl))\n"
    "independent_trials(pnl)\n"
    "overfitting(pnl, blocks=12)",
)
HOSTILE = {
    "90,000 open brackets": "'(' * 90_000",
    "a million blanks": "' ' * 1_000_000",
    "125,000 sums": "'close + ' * 125_000",
    "90,000 digits": "'1' * 90_000",
    "a comment without an end": "'/*' + 'a*' * 40_000",
}


def seconds(preparation: str, step: str, clock: str = "perf_counter") -> float:
    """Return the seconds of a step in a new interpreter, its preparation aside."""
    code = preparation + "\n" + CLOCK.format(clock=clock) + step + STOP.format(clock=clock)
    command = [sys.executable, "-c", code]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measured(
    name: str, rounds: int, preparation: str, step: str, clock: str = "perf_counter"
) -> dict[str, Any]:
    """Return a row with the median and the least of several rounds; it is printed, too."""
    found = [seconds(preparation, step, clock) for _ in range(rounds)]
    row = {
        "step": name,
        "median_s": round(statistics.median(found), 3),
        "least_s": round(min(found), 3),
    }
    print(f"{row['median_s']:>9.3f} s  {row['least_s']:>9.3f} s  {name}", flush=True)
    return row


def main() -> None:
    """Measure, print a table, and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.library", description=__doc__)
    parser.add_argument("--data", default="../shared/data", help="folder of the real panels")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per step (default: 3)")
    arguments = parser.parse_args()
    print(f"{'median':>11}  {'least':>11}  step")
    rows = [measured("calibration market, made", arguments.rounds, *GENERATE)]
    path = Path(arguments.data, TOP3000)
    if path.exists():
        with tempfile.TemporaryDirectory() as folder:
            new = f"load_market({str(path)!r}, cache_dir=Path({folder!r}, str(time.time())))"
            rows.append(measured("3000 names, first load", arguments.rounds, LOAD, new))
            kept = f"load_market({str(path)!r}, cache_dir=Path({folder!r}))"
            seconds(LOAD, kept)
            rows.append(measured("3000 names, from the cache", arguments.rounds, LOAD, kept))
    else:
        print(f"{path} is not there: loading 3000 names is left out")
    evidence = "luck of 1,000 trials, processor time of all threads"
    rows.append(measured(evidence, arguments.rounds, *EVIDENCE, "process_time"))
    for name, text in HOSTILE.items():
        step = PARSE[1].format(text=text)
        rows.append(measured(f"refuse {name}", arguments.rounds, PARSE[0], step))
    print(f"written to {write_result('library', rows, ['numpy', 'pandas', 'lark'])}")


if __name__ == "__main__":
    main()
