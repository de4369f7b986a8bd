"""The race of searches: ours against others at the same number of simulations.

Every rival has the same market, fields, engine and settings, and an alpha that loses is turned for
nothing. Its ten finalists are chosen by one rule: the highest Sharpe ratio to be expected after
what all of its trials say, each at most 0.7 correlated with those before it. Judged are, on
synthetic markets, the true Sharpe ratios of the finalists, and on real prices a year that the
search did not see.

Without a flag, the quick form: two calibration markets, 200 simulations. `--whole` races on five
calibration markets with 400 simulations, on effects planted into mirrored real prices at full, half
and a quarter of their strength, and on rolling years of real prices; it takes hours. What was raced
is kept in `.foundry/race` until the search or the race changes, so a race that was cut short goes
on where it was.

    python -m benchmarks.search [--whole] [--judge calibration] [--strength 0.5] [--seeds 101,102]
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.race.judges import Case, Cell, race, splits_of, summary
from benchmarks.race.rivals import RIVALS
from benchmarks.report import table
from benchmarks.results_file import RESULTS, write_result

ROOT = RESULTS.parent.parent
CELLS = ROOT / ".foundry" / "race"
FILES = (
    "../shared/data/us_equities_2016_2021.parquet",
    "../shared/data/us_top3000_2012_2017.parquet",
)
STRENGTHS = (1.0, 0.5, 0.25)
QUICK_SEEDS, WHOLE_SEEDS = (101, 102), (101, 102, 103, 104, 105)
QUICK_SIMULATIONS, WHOLE_SIMULATIONS = 200, 400
JUDGES = ("calibration", "planted", "sealed")
OURS = ("combining.py", "ideas.py", "ours.py", "sameness.py", "search.py")
"""Sources that only our own search uses: the others keep their results when these change."""


def cases(
    judges: Sequence[str],
    strengths: Sequence[float],
    seeds: Sequence[int],
    files: Sequence[str],
    splits: Sequence[int] | None = None,
) -> list[Case]:
    """Return the markets to race on; of sealed days all splits unless some are named."""
    found: list[Case] = []
    for judge in judges:
        if judge == "calibration":
            found += [Case(judge, seed, strength) for strength in strengths for seed in seeds]
        elif judge == "planted":
            found += [
                Case(judge, seed, strength, file)
                for file in files
                for strength in strengths
                for seed in seeds
            ]
        else:
            found += [
                Case(judge, seed, file=file, split=split)
                for file in files
                for split in range(splits_of(file))
                if splits is None or split in splits
                for seed in seeds
            ]
    return found


def sources(rival: str) -> str:
    """Return a digest of the code that the result of a rival depends on."""
    folders = ("alphafoundry/research", "alphafoundry/simulation", "benchmarks/race")
    digest = hashlib.blake2b(digest_size=6)
    for folder in folders:
        for path in sorted((ROOT / folder).glob("*")):
            if path.suffix in (".py", ".txt") and (path.name not in OURS or "ours" in rival):
                digest.update(path.read_bytes())
    digest.update((ROOT / "alphafoundry/settings.py").read_bytes())
    return digest.hexdigest()


def raced(case: Case, rivals: Sequence[str], simulations: int) -> list[Cell]:
    """Race on one market, from what is kept where it is there."""
    CELLS.mkdir(parents=True, exist_ok=True)

    def path(name: str) -> Path:
        key = json.dumps([asdict(case), name, simulations, sources(name)], sort_keys=True)
        return CELLS / f"{hashlib.blake2b(key.encode(), digest_size=10).hexdigest()}.json"

    def known(name: str) -> Cell | None:
        place = path(name)
        return json.loads(place.read_text()) if place.exists() else None

    def keep(name: str, cell: Cell) -> None:
        print(_line(cell), flush=True)
        path(name).write_text(json.dumps(cell))

    return race(case, rivals, simulations, known=known, keep=keep)


def _line(cell: Cell) -> str:
    worth = cell.get("true", cell.get("sealed_each"))
    return (
        f"{cell['market']}, strength {cell['strength']:g}, seed {cell['seed']}, {cell['rival']}: "
        f"{cell['simulations']} simulations, {worth:.2f} (search {cell['search']:.2f})"
    )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main() -> None:
    """Race, print the tables, and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.search",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--whole", action="store_true", help="the whole race, hours")
    parser.add_argument("--judge", action="append", choices=JUDGES, help="may be repeated")
    parser.add_argument("--strength", action="append", type=float, help="of planted effects")
    parser.add_argument("--seeds", type=_numbers, help="with commas; those below 100 are tuned on")
    parser.add_argument("--simulations", type=int, help="budget of each rival")
    parser.add_argument("--rival", action="append", choices=tuple(RIVALS), help="may be repeated")
    parser.add_argument("--file", action="append", help="real prices; may be repeated")
    parser.add_argument("--split", action="append", type=int, help="of real prices, from 0")
    parser.add_argument("--dry", action="store_true", help="print only, write no result")
    given = parser.parse_args()
    judges = given.judge or (JUDGES if given.whole else ("calibration",))
    strengths = given.strength or (STRENGTHS if given.whole else (1.0,))
    seeds = given.seeds or (WHOLE_SEEDS if given.whole else QUICK_SEEDS)
    simulations = given.simulations or (WHOLE_SIMULATIONS if given.whole else QUICK_SIMULATIONS)
    rivals = given.rival or list(RIVALS)
    cells: list[Cell] = []
    for case in cases(judges, strengths, seeds, given.file or FILES, given.split):
        cells += raced(case, rivals, simulations)
    rows = summary(cells)
    for kind in dict.fromkeys(map(tuple, rows)):
        print("\n".join(table([row for row in rows if tuple(row) == kind])))
    if not given.dry:
        packages = ["numpy", "numba", "gplearn", "deap"]
        path = write_result("search", rows, packages)
        print(f"written to {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
