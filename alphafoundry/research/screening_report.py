"""The report of a screening: how many ideas, what luck alone would give, and the best of them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from alphafoundry.evidence import deflated_sharpe_ratio, luck_line, moments, null_deviation
from alphafoundry.research.evidence import luck_told
from alphafoundry.research.history import turned_to_earn
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.screening import Screening
from alphafoundry.research.seal import Seal
from alphafoundry.runs import Figure, Passage, Table
from alphafoundry.store import ScreenedRow, count_screened, count_trials, pnl_of_screened

SHOWN = 20


@dataclass(frozen=True)
class ScreenedLine:
    """One idea in the report; `dsr` is deflated by all trials on these prices."""

    sharpe: float
    dsr: float
    fitness: float | None
    turnover: float | None
    days: int
    origin: str
    expression: str


@dataclass(frozen=True)
class ScreeningReport:
    """What a screening gave; Sharpe ratios are annual, on search days.

    Attributes
    ----------
    market : one line; starts with SYNTHETIC where prices were generated
    days : what was looked at, and what stays sealed
    ideas : of this run; taken_over : those among them that an earlier run had screened
    without : those that have no numbers
    stopped : those that were judged on some names or the first days alone
    trials : all ever made on these prices
    luck, luck_high : mean and 95 % quantile of the best Sharpe ratio where there is nothing to find
    best : of which the highest Sharpe ratios are to be expected, unlike each other
    """

    kind: ClassVar[str] = "screening"
    version: ClassVar[int] = 1
    key: ClassVar[str] = "screening-report"

    run_id: int
    market: str
    synthetic: bool
    days: str
    ideas: int
    taken_over: int
    without: int
    trials: int
    luck: float | None
    luck_high: float | None
    best: tuple[ScreenedLine, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    stopped: int = 0

    @property
    def title(self) -> str:
        """Names the run."""
        return f"screening: run {self.run_id}"

    @property
    def headline(self) -> str:
        """The market."""
        return self.market

    def summary(self) -> list[tuple[str, str]]:
        """Return (subject, sentence) pairs that tell the run at a glance."""
        fresh = self.ideas - self.taken_over
        rate = f", {fresh / self.seconds:.0f} a second" if self.seconds >= 1 else ""
        earlier = f", and {self.taken_over:,} by a run that was cut short" * bool(self.taken_over)
        without = f"; {self.without} have no numbers" if self.without else ""
        if self.stopped:
            without += f"; {self.stopped:,} were stopped early"
        rows = [
            (
                "screened",
                f"{fresh:,} ideas in {self.seconds:.1f} s{rate}{earlier}{without}",
            ),
            ("days", self.days),
        ]
        if self.luck is not None:
            rows.append(("luck", luck_told(self.trials, self.luck, self.luck_high)))
        if self.best:
            one = self.best[0]
            rows.append(
                (
                    "best",
                    f"Sharpe {one.sharpe:.2f} of {self.trials:,} trials, DSR {one.dsr:.2f}; no "
                    "verdict without sealed days",
                )
            )
        else:
            rows.append(("best", "none is expected to be better than luck"))
        return rows

    def tables(self) -> list[Table]:
        """Return one row for each of the best."""
        rows = [
            {
                "sharpe": f"{one.sharpe:.2f}",
                "of trials": f"{self.trials}",
                "DSR": f"{one.dsr:.2f}",
                "fitness": "" if one.fitness is None else f"{one.fitness:.2f}",
                "turnover": "" if one.turnover is None else f"{one.turnover:.1%}",
                "from": one.origin,
                "expression": one.expression,
            }
            for one in self.best
        ]
        title = f"The best {len(rows)}, unlike each other, by the Sharpe ratio to be expected"
        caption = "losers are shown turned; expressions are as they would be simulated"
        return [Table(title, rows, key="screened", wide="expression", caption=caption)]

    def figures(self) -> tuple[Figure, ...]:
        """Return no picture."""
        return ()

    def passages(self) -> list[Passage]:
        """Return nothing more."""
        return []

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {"kind": self.kind, "version": self.version, **asdict(self)}


def build_report(run: ResearchRun, screening: Screening) -> ScreeningReport:
    """Return the report of what this run screened."""
    counted = count_screened(run.store, run.run_id)
    trials = count_trials(run.store, run.service, run.market_id)
    best = screening.best(SHOWN)
    days = max((row.days or 0 for row in best), default=0)
    line = luck_line(trials, days, climbing=True) if trials and days > 1 else None
    year = math.sqrt(screening.periods)
    return ScreeningReport(
        run_id=run.run_id,
        market=run.market,
        synthetic=run.synthetic,
        days=_days(run),
        ideas=counted.ideas,
        taken_over=screening.taken_over,
        without=counted.without,
        trials=trials,
        luck=line.mean * year if line else None,
        luck_high=line.quantile * year if line else None,
        best=tuple(_line(row, trials) for row in best),
        seconds=round(run.record.seconds, 2),
        notes=(
            "The next run with --prescreen chooses among these ideas, too"
            + ("; its finalists are judged on sealed days." if isinstance(run.seal, Seal) else "."),
        )
        if best
        else (),
        stopped=counted.stopped,
    )


def _days(run: ResearchRun) -> str:
    seal = run.seal
    if not isinstance(seal, Seal):
        return f"every number is in sample: {seal}"
    return (
        f"searched {seal.search_from} to {seal.search_to} ({seal.search_days}), sealed "
        f"{seal.sealed_from} to {seal.sealed_to} ({seal.sealed_days}), not opened"
    )


def _line(row: ScreenedRow, trials: int) -> ScreenedLine:
    sign = math.copysign(1.0, row.sharpe or 0.0)
    pnl = sign * pnl_of_screened(row).values
    dsr = deflated_sharpe_ratio(moments(pnl), trials=max(trials, 1), sigma=null_deviation(pnl))
    return ScreenedLine(
        sharpe=abs(row.sharpe or 0.0),
        dsr=round(float(dsr), 4),
        fitness=None if row.fitness is None else abs(row.fitness),
        turnover=row.turnover,
        days=row.days or 0,
        origin=row.origin,
        expression=turned_to_earn(row).text,
    )
