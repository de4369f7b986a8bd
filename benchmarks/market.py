"""Loading, looking back and updating: what a market costs in seconds and memory.

Each step runs in a process of its own; the memory is the most that the process held, pages of
mapped files included. The generated market is made year by year and written as one parquet file
in long format: random walks with late listings, delistings, gaps, spikes and splits.

    python -m benchmarks.market [--file BARS.parquet ...] [--years 20] [--names 8000]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results_file import write_result

ROOT = Path(__file__).resolve().parent.parent
LIMIT_GIB = 8.0
FIRST_YEAR = 2005
COLUMNS = ("open", "high", "low", "close", "adj_close", "volume")


def make_market(path: Path, *, years: int, names: int, cut_last_day: bool) -> int:
    """Write a generated market; return its number of bars.

    The same seed gives the same bars, so that the file with the last day cut is the other's past.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from alphafoundry.market.sessions import NEW_YORK, session_days

    draw = np.random.default_rng(7)
    days = session_days(NEW_YORK, date(FIRST_YEAR, 1, 1), date(FIRST_YEAR + years - 1, 12, 31))
    listed = np.where(draw.random(names) < 0.4, draw.integers(0, len(days) * 3 // 4, names), 0)
    ended = np.where(
        draw.random(names) < 0.4, listed + draw.integers(200, len(days), names), len(days)
    )
    splits = {int(row): int(name) for row, name in draw.integers(1, [len(days), names], (300, 2))}
    symbols = pa.array([f"N{number:05d}" for number in range(names)])
    price = np.exp(draw.normal(3.3, 0.8, names))
    factor = np.ones(names)
    bars = 0
    year_of = days.astype("datetime64[Y]")
    writer: Any = None
    for year in np.unique(year_of):
        rows = np.flatnonzero(year_of == year)
        shape = (len(rows), names)
        moves = 0.02 * draw.standard_normal(shape)
        close = price * np.exp(np.cumsum(moves, axis=0))
        price = close[-1]
        raw = np.empty(shape)
        adjusted = np.empty(shape)
        for place, row in enumerate(rows.tolist()):
            if row in splits:
                factor[splits[row]] *= 0.5
            raw[place] = close[place] * factor
            adjusted[place] = close[place] * 0.5
        spread = np.exp(0.004 * np.abs(draw.standard_normal(shape)))
        values = {
            "open": raw / np.sqrt(spread),
            "high": raw * spread,
            "low": raw / spread,
            "close": raw,
            "adj_close": adjusted,
            "volume": np.rint(draw.lognormal(12.0, 1.0, shape)),
        }
        values["close"][draw.random(shape) < 1e-5] *= 9.0
        there = (rows[:, None] >= listed) & (rows[:, None] < ended) & (draw.random(shape) > 4e-4)
        if cut_last_day and year == year_of[-1]:
            there[-1] = False
        kept, columns = np.nonzero(there)
        table = pa.table(
            {
                "date": pa.array(days[rows][kept]),
                "symbol": pa.DictionaryArray.from_arrays(
                    pa.array(columns.astype(np.int32)), symbols
                ),
                **{name: array[kept, columns] for name, array in values.items()},
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
        bars += len(kept)
    writer.close()
    return bars


STEP = """
import json, resource, sys, time
from pathlib import Path
step, source, place = sys.argv[1:4]
begun = time.perf_counter()
found = {}
if step == "update":
    from alphafoundry.market.update import update_market
    from alphafoundry.market.update_sources import FileSource
    started = time.perf_counter()
    report = update_market(Path(place) / "market", FileSource(Path(source), lambda _: None),
                           exchange="XNYS")
    found = {"bars": report.after.bars, "appended": report.after.appended,
             "revised": report.after.revised, "quarantined": report.after.quarantined}
else:
    from alphafoundry.market import load_market
    started = time.perf_counter()
    panel = load_market(source, cache_dir=Path(place) / "cache")
    found = {"days": panel.shape[0], "names": panel.shape[1], "revisions": len(panel.revisions)}
found["seconds"] = time.perf_counter() - started
found["cpu_seconds"] = time.process_time()
if step == "cached":
    times, fields = [], []
    for share in (0.999, 0.9, 0.7, 0.5, 0.3, 0.1):
        day = panel.dates[int(share * len(panel.dates))]
        repeated = []
        for _ in range(9):
            one = time.perf_counter()
            early = panel.until(day)
            repeated.append(1e3 * (time.perf_counter() - one))
        times.append(sorted(repeated)[4])
        one = time.perf_counter()
        for name in early.fields:
            early.fields[name]
        fields.append(1e3 * (time.perf_counter() - one))
    found["until_ms"] = max(times)
    found["fields_as_of_ms"] = max(fields)
found["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
print(json.dumps(found))
"""


def measure(step: str, source: Path, place: Path) -> dict[str, Any]:
    """Run one step in a process of its own; return what it measured."""
    done = subprocess.run(
        [sys.executable, "-c", STEP, step, str(source), str(place)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{step} of {source.name} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def loads(label: str, source: Path, place: Path) -> list[dict[str, Any]]:
    """Load without and with a cache, and look back."""
    rows = []
    for step in ("load", "cached"):
        found = measure(step, source, place)
        rows.append({"market": label, "step": step, **found})
        show(rows[-1])
    return rows


def show(row: dict[str, Any]) -> None:
    """Print one line of the table."""
    more = ""
    if "until_ms" in row:
        more = (
            f"  until {row['until_ms']:.2f} ms, all fields as of a day "
            f"{row['fields_as_of_ms']:.0f} ms"
        )
    print(
        f"{row['market']:32} {row['step']:14} {row['seconds']:8.2f} s "
        f"{row['cpu_seconds']:8.2f} s CPU {row['peak_gib']:6.2f} GiB"
        f"{more}",
        flush=True,
    )


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, nargs="*", default=[], help="bars to load as well")
    parser.add_argument("--years", type=int, default=20)
    parser.add_argument("--names", type=int, default=8000)
    parser.add_argument("--generated", choices=("yes", "no"), default="yes")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for number, file in enumerate(options.file):
            rows += loads(file.stem, file, Path(folder) / str(number))
        if options.generated == "yes":
            place = Path(folder) / "generated"
            place.mkdir()
            label = f"generated, {options.years} years x {options.names}"
            source = place / "bars.parquet"
            for cut, step in ((True, "first update"), (False, "one day more")):
                begun = time.perf_counter()
                bars = make_market(
                    source, years=options.years, names=options.names, cut_last_day=cut
                )
                print(f"made {bars} bars in {time.perf_counter() - begun:.0f} s", flush=True)
                rows.append({"market": label, "step": step, **measure("update", source, place)})
                show(rows[-1])
            rows += loads(label, source, place)
            rows += loads(f"{label}, folder", place / "market", place)
    within = max(row["peak_gib"] for row in rows) <= LIMIT_GIB
    print(f"every step within {LIMIT_GIB:g} GiB: {'yes' if within else 'NO'}")
    path = write_result("market", rows, ["numpy", "pandas", "pyarrow", "exchange_calendars"])
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
