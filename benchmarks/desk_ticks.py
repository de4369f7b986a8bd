"""A desk's ticks: failures foretold, stretched intervals under load, and a status over a million.

    python -m benchmarks.desk_ticks [--desks 4] [--ticks 1000000]

All but the status happens on a simulated clock, so that those figures depend on no machine.
"""

from __future__ import annotations

import argparse

from benchmarks.failures import measure_failures
from benchmarks.load import measure_load
from benchmarks.results_file import write_result
from benchmarks.status import measure_status


def main() -> None:
    """Measure, print and write `benchmarks/results/desk-ticks.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--desks", type=int, default=4, help="with faults put in, 20 sessions each")
    parser.add_argument("--ticks", type=int, default=1_000_000, help="stored where status is read")
    options = parser.parse_args()
    rows = [measure_failures(options.desks), measure_load(), measure_status(options.ticks)]
    for row in rows:
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    print(write_result("desk-ticks", rows, ["numpy"]))


if __name__ == "__main__":
    main()
