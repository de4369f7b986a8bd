"""The report of a placebo: how often the same search finds as much where there is nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from alphafoundry.research.comparison import TRUE_PRICES, Compared, compare
from alphafoundry.research.placebo import PlaceboRun
from alphafoundry.research.seal import Seal
from alphafoundry.runs import Figure, Passage, Table
from alphafoundry.store import MirrorName, PlaceboRow

TURNED = {
    "all": "each day's moves turned by a coin",
    "residual": "each day's moves beside the market's own turned by a coin",
}


@dataclass(frozen=True)
class SearchLine:
    """One search in the report; see `PlaceboRow`."""

    number: int
    prices: str
    trials: int
    hopeful: int
    best_sharpe: float | None
    best_dsr: float | None
    unlike: int
    unlike_sharpe: float | None
    best_fitness: float | None


@dataclass(frozen=True)
class PlaceboReport:
    """What a placebo gave; Sharpe ratios are annual.

    Attributes
    ----------
    market : one line on the true prices; starts with SYNTHETIC where they are
    first, last, days : what was searched
    unsealed : why these are all days of the market, "" where later ones are kept apart
    mirror : what was turned
    wanted : placebos asked for; made : those that are there
    best, unlike : the two comparisons
    searches : the true prices first
    """

    kind: ClassVar[str] = "placebo"
    version: ClassVar[int] = 1
    key: ClassVar[str] = "placebo-report"

    run_id: int
    seed: int
    simulations: int
    market: str
    synthetic: bool
    first: str
    last: str
    days: int
    unsealed: str
    mirror: MirrorName
    wanted: int
    made: int
    best: Compared
    unlike: Compared
    searches: tuple[SearchLine, ...]
    seconds: float
    notes: tuple[str, ...] = field(default=())

    @property
    def title(self) -> str:
        """Names the run."""
        return f"placebo: run {self.run_id}"

    @property
    def headline(self) -> str:
        """The market."""
        return self.market

    def summary(self) -> list[tuple[str, str]]:
        """Return (subject, sentence) pairs that tell the run at a glance."""
        seal = f"; {self.unsealed}" if self.unsealed else "; later ones stay sealed"
        rows = [
            ("days", f"{self.first} to {self.last} ({self.days}){seal}"),
            (
                "placebos",
                f"{self.made} of {self.wanted} searches of {self.simulations} simulations with "
                f"seed {self.seed}, on the same prices with {TURNED[self.mirror]}: nothing to find",
            ),
        ]
        true = next((line for line in self.searches if line.number == TRUE_PRICES), None)
        if true is None or true.best_sharpe is None:
            rows.append(("best", "the search of the true prices made no alpha, or was not done"))
            return rows
        dsr = "" if true.best_dsr is None else f", DSR {true.best_dsr:.2f}"
        rows.append(
            (
                "best",
                _told(self.best, f"Sharpe {true.best_sharpe:.2f} of {true.trials} trials{dsr}"),
            )
        )
        if self.unlike.true is not None:
            rows.append(
                (
                    "unlike",
                    _told(
                        self.unlike,
                        f"Sharpe {self.unlike.true:.2f}, mean of the {true.unlike} best that are "
                        "unlike each other",
                    ),
                )
            )
        if self.made:
            rows.append(("so", self._so()))
        rows.append(("time", f"{self.seconds:.1f} s in this run"))
        return rows

    def _so(self) -> str:
        least = 1 / (1 + self.made)
        p = min(one.p for one in (self.best, self.unlike) if one.p is not None)
        if p > least:
            return (
                f"in {p:.0%} of searches of nothing one would find as much by luck"
                if p > 0.1
                else f"only {p:.0%} of searches of nothing would find as much by luck"
            )
        if p > 0.1:
            return (
                f"no placebo reached it, but {self.made} cannot give less than p = {p:.2f}: make "
                "more (--runs 19)"
            )
        other = (
            "direction can be foreseen here, or a leak looks like it: survivors, level, drift"
            if self.mirror == "all"
            else "direction beside the market can be foreseen here, or a leak looks like it"
        )
        return f"no placebo reached it (p is the least that {self.made} can give): {other}"

    def tables(self) -> list[Table]:
        """Return one row for each search."""
        rows = [
            {
                "search": str(line.number),
                "prices": line.prices,
                "trials": str(line.trials),
                "hopeful": str(line.hopeful),
                "best sharpe": _shown(line.best_sharpe),
                "DSR": _shown(line.best_dsr),
                "unlike": str(line.unlike),
                "unlike sharpe": _shown(line.unlike_sharpe),
                "best fitness": _shown(line.best_fitness),
            }
            for line in self.searches
        ]
        marked = frozenset(n for n, one in enumerate(self.searches) if one.number == TRUE_PRICES)
        return [Table("Searches", rows, key="placebo-searches", marked=marked)]

    def figures(self) -> tuple[Figure, ...]:
        """Return no picture."""
        return ()

    def passages(self) -> list[Passage]:
        """Return nothing more."""
        return []

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {"kind": self.kind, "version": self.version, **asdict(self)}


def build_report(run: PlaceboRun) -> PlaceboReport:
    """Return the report of what is there, of this run and of earlier ones."""
    rows = run.made()
    best, unlike, made = compare(rows)
    panel = run.panel
    first, last = panel.dates[[0, -1]]
    wanted = run.settings.placebo.runs
    left = len(run.missing())
    return PlaceboReport(
        run_id=run.record.id,
        seed=run.settings.seed,
        simulations=run.settings.simulations,
        market=panel.label,
        synthetic=panel.synthetic,
        first=str(first),
        last=str(last),
        days=len(panel.dates),
        unsealed="" if isinstance(run.seal, Seal) else run.seal,
        mirror=run.mirror,
        wanted=wanted,
        made=made,
        best=best,
        unlike=unlike,
        searches=tuple(_line(row) for row in rows),
        seconds=round(run.record.seconds, 2),
        notes=(f"{left} searches are still to be made: the same command goes on",) if left else (),
    )


def _line(row: PlaceboRow) -> SearchLine:
    return SearchLine(
        number=row.number,
        prices="true" if row.number == TRUE_PRICES else "mirrored",
        trials=row.trials,
        hopeful=row.hopeful,
        best_sharpe=row.best_sharpe,
        best_dsr=row.best_dsr,
        unlike=row.unlike,
        unlike_sharpe=row.unlike_sharpe,
        best_fitness=row.best_fitness,
    )


def _told(one: Compared, text: str) -> str:
    if one.p is None or one.median is None:
        return text
    return (
        f"{text}; placebos {one.median:.2f} in the middle, {_shown(one.highest)} at most: "
        f"p = {one.p:.2f}"
    )


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
