"""A desk's ticks: how well failures are foretold, and what stretched intervals do under load.

    python -m benchmarks.desk_ticks [--desks 4]

Everything happens on a simulated clock, so the figures depend on no machine.
"""

from __future__ import annotations

import argparse

from benchmarks.failures import measure_failures
from benchmarks.load import measure_load
from benchmarks.results_file import write_result


def main() -> None:
    """Measure, print and write `benchmarks/results/desk-ticks.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--desks", type=int, default=4, help="with faults put in, 20 sessions each")
    options = parser.parse_args()
    rows = [measure_failures(options.desks), measure_load()]
    for row in rows:
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    print(write_result("desk-ticks", rows, ["numpy"]))


if __name__ == "__main__":
    main()
