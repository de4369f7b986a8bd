"""The report of a run: what was tried, what was hopeful, what mining gained, what was submitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from alphafoundry.research.evidence import AlphaEvidence, Evidence
from alphafoundry.runs import Figure, Passage, Table, data_table

if TYPE_CHECKING:
    from alphafoundry.market.screen import DataScreen


@dataclass(frozen=True)
class AlphaLine:
    """One alpha in the report.

    Attributes
    ----------
    alpha_id : BRAIN's identity
    expression : FASTEXPR text
    settings : those that differ from the run's own, as "decay 4, neutralization MARKET"
    origin : "grammar", "formula", "template", "ollama", "miner" or "import"
    sharpe, fitness : dimensionless; turnover, returns, drawdown : fractions; None if unknown
    gain : fitness minus the parent's fitness; None for an alpha without a parent
    correlation_to_parent : of daily PnL; None for an alpha without a parent
    truth : on a synthetic market "planted: reversal" or "noise", otherwise None
    submitted : whether BRAIN has accepted it
    evidence : what stands beside its Sharpe ratio
    true_sharpe : what the planted effects lead one to expect, on a synthetic market
    outcome : "submitted", or what stood against it with value and limit
    """

    alpha_id: str
    expression: str
    settings: str
    origin: str
    sharpe: float | None
    fitness: float | None
    turnover: float | None
    returns: float | None
    drawdown: float | None
    gain: float | None
    correlation_to_parent: float | None
    truth: str | None
    submitted: bool
    outcome: str
    evidence: AlphaEvidence = field(default_factory=AlphaEvidence)
    true_sharpe: float | None = None


@dataclass(frozen=True)
class Counts:
    """How many of each; `simulated` is `invented` + `mined` and agrees with the database.

    Attributes
    ----------
    proposed : expressions that the generator and the miner gave
    refused : texts that were no valid expression
    duplicates : proposals left out because they are known already
    invented, mined : simulations that ended in this run, by where they came from
    resumed : those among them that an interrupted run had left
    screened : ideas that were judged in bulk before
    chosen : ideas of this and earlier screenings that were handed on to be simulated
    errors : simulations that ended without an alpha
    unfinished : simulations that wait for the next run
    hopeful : alphas of this run that met the rule
    parents : alphas that were mined
    improved : mined alphas with more fitness than their parent
    planted, noise : hopeful alphas by what they are on a synthetic market
    submitted : alphas that were accepted in this run
    submitted_today : alphas that were accepted on this US-Eastern day, all runs
    daily_limit : the most that may be
    """

    proposed: int = 0
    refused: int = 0
    duplicates: int = 0
    invented: int = 0
    mined: int = 0
    resumed: int = 0
    screened: int = 0
    chosen: int = 0
    errors: int = 0
    unfinished: int = 0
    hopeful: int = 0
    parents: int = 0
    improved: int = 0
    planted: int = 0
    noise: int = 0
    submitted: int = 0
    submitted_today: int = 0
    daily_limit: int = 0

    @property
    def simulated(self) -> int:
        """Simulations that ended in this run."""
        return self.invented + self.mined


@dataclass(frozen=True)
class AlphasReport:
    """What a run did.

    Attributes
    ----------
    flow, run_id, seed : which run
    service : what simulated, e.g. "worldquant" or "local:<market>.<rules>"
    market : one line that names the market, its dates, its size and its source
    synthetic : True where the prices were generated
    seconds : how long the work took
    rule : the condition of a hopeful alpha, as text
    best_gain : (parent's fitness, variant's fitness) of the best improvement
    reasons : why simulations ended without an alpha, or wait; reason to count
    alphas : the best of the run by fitness, those that were submitted among them, at most 20
    alphas_in_all : how many there were
    stopped : why and where the run was asked to end; empty where it was not
    notes : lines for the end of the report
    data : one line on the data version of this run, and on those that earlier alphas are from;
        "" where the service does not tell
    evidence : what tells the findings from luck; None inside another run
    lucky : hopeful alphas that as many simulations give where there is nothing to find; None where
        that was not measured, for another rule or generator
    screen : what the market's data are, None where another process has them
    pictures : drawn when the report is shown; not among the JSON values
    """

    kind: ClassVar[str] = "alphas"
    version: ClassVar[int] = 1

    flow: str
    run_id: int
    seed: int
    service: str
    market: str
    synthetic: bool
    seconds: float
    rule: str
    counts: Counts
    best_gain: tuple[float, float] | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    alphas: list[AlphaLine] = field(default_factory=list)
    alphas_in_all: int = 0
    stopped: str = ""
    notes: list[str] = field(default_factory=list)
    data: str = ""
    evidence: Evidence | None = None
    lucky: float | None = None
    screen: DataScreen | None = None
    pictures: tuple[Figure, ...] = field(default=(), repr=False, compare=False)

    @property
    def key(self) -> str:
        """Of the page among the artifacts."""
        return f"{self.flow}-report"

    @property
    def title(self) -> str:
        """Names the run."""
        return f"{self.flow}: run {self.run_id}"

    @property
    def headline(self) -> str:
        """The market."""
        return self.market

    @property
    def table_title(self) -> str:
        """Heading of the table of alphas."""
        shown, found = len(self.alphas), self.alphas_in_all
        part = f", {shown} of {found}" if shown < found else ""
        return f"Hopeful alphas ({self.rule}), best first by fitness{part}"

    def summary(self) -> list[tuple[str, str]]:
        """Return (subject, sentence) pairs that tell the run at a glance."""
        counts = self.counts
        tried = (
            f"{counts.simulated} simulations in {self.seconds:.1f} s: "
            f"{counts.invented} invented, {counts.mined} mined"
        )
        if counts.resumed:
            tried += f"; {counts.resumed} of them left by an interrupted run"
        rows = [("stopped", self.stopped)] if self.stopped else []
        rows += [("data", self.data)] if self.data else []
        if self.evidence is not None:
            rows += self.evidence.summary()
        if counts.screened:
            tried = (
                f"{counts.screened:,} ideas screened, the {counts.chosen} best unlike ones of them "
                f"simulated; {tried}"
            )
        rows.append(("tried", tried))
        left_out = [
            f"{counts.duplicates} known already" if counts.duplicates else "",
            f"{counts.refused} refused as invalid" if counts.refused else "",
        ]
        if any(left_out):
            rows.append(("left out", ", ".join(filter(None, left_out))))
        if counts.errors or counts.unfinished:
            waiting = f"{counts.unfinished} wait for the next run"
            subject, text = "waiting", waiting
            if counts.errors:
                subject, text = "failed", f"{counts.errors} ended without an alpha, {waiting}"
            reasons = "; ".join(f"{count} x {reason}" for reason, count in self.reasons.items())
            rows.append((subject, f"{text}: {reasons}" if reasons else text))
        luck = (
            ""
            if self.lucky is None
            else f"; luck alone gives about {self.lucky:.0f}, so hopeful only means worth mining"
        )
        rows.append(("hopeful", f"{counts.hopeful} with {self.rule}{luck}"))
        if counts.parents:
            mining = (
                f"{counts.mined} variants of {counts.parents} parents, "
                f"{counts.improved} better than their parent"
            )
            if self.best_gain is not None:
                before, after = self.best_gain
                mining += f"; best gain {after - before:+.2f} fitness ({before:.2f} to {after:.2f})"
            rows.append(("mining", mining))
        judged = counts.planted + counts.noise
        if self.synthetic and judged:
            truth = (
                f"SYNTHETIC market: {counts.planted} of the {counts.hopeful} hopeful are planted "
                f"effects, {counts.noise} are noise"
            )
            if judged < counts.hopeful:
                truth += f", {counts.hopeful - judged} not known"
            rows.append(("truth", truth))
        rows.append(
            (
                "submitted",
                f"{counts.submitted} in this run; {counts.submitted_today} of "
                f"{counts.daily_limit} allowed today (US Eastern)",
            )
        )
        return rows

    def one_line(self) -> str:
        """Return the counts in a line for a log."""
        counts = self.counts
        return (
            f"{counts.simulated} simulated, {counts.hopeful} hopeful, {counts.errors} errors, "
            f"{counts.improved} improved, {counts.submitted} submitted"
        )

    def tables(self) -> list[Table]:
        """Return the alphas three times: a line is short on a terminal, and complete in the UI."""
        marked = frozenset(n for n, line in enumerate(self.alphas) if line.submitted)
        planted = any(line.truth for line in self.alphas)
        return [
            Table(
                self.table_title,
                [_terminal_row(line, planted=planted) for line in self.alphas],
                places=frozenset({"terminal"}),
                wide=OUTCOME,
                marked=marked,
            ),
            Table(
                self.table_title,
                [_page_row(line) for line in self.alphas],
                places=frozenset({"page"}),
            ),
            Table(
                self.table_title,
                [_artifact_row(line) for line in self.alphas],
                key=f"{self.flow}-alphas",
                places=frozenset({"artifact"}),
            ),
            *self._finalists(),
            *([data_table(self.screen.rows())] if self.screen else []),
        ]

    def _finalists(self) -> list[Table]:
        judged = self.evidence.judged if self.evidence is not None else ()
        if not judged:
            return []
        return [
            Table(
                "Finalists on sealed days",
                [one.shown() for one in judged],
                key=f"{self.flow}-finalists",
                places=frozenset({"page", "artifact"}),
                caption="sharpe is of search days, best of so many trials; settled leaves out the "
                "first 63 sealed days; impact is what is left after costs and a square-root impact "
                "with that coefficient; capacity trades 1 % of volume on the median day; calm and "
                "wild are halves of the sealed days by market volatility; years are of all days",
            )
        ]

    def figures(self) -> tuple[Figure, ...]:
        """Return the PnL of the best alphas."""
        return self.pictures

    def passages(self) -> list[Passage]:
        """Return nothing more."""
        return []

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values; `counts.simulated` included."""
        values = asdict(replace(self, pictures=(), screen=None))
        del values["pictures"]
        values["screen"] = None if self.screen is None else self.screen.to_json()
        values["counts"]["simulated"] = self.counts.simulated
        values["best_gain"] = None if self.best_gain is None else list(self.best_gain)
        return {"kind": self.kind, "version": self.version, **values}


OUTCOME = "expression, and what became of it"

NUMBERS = {
    "fitness": ".2f",
    "turnover": ".1%",
    "returns": ".1%",
    "drawdown": ".1%",
    "gain": "+.2f",
    "correlation_to_parent": ".2f",
}
"""Numbers of an alpha and their form."""


def _numbers(line: AlphaLine, *names: str) -> dict[str, str]:
    return {name.replace("_", " "): _shown(getattr(line, name), NUMBERS[name]) for name in names}


def _sure(line: AlphaLine) -> dict[str, str]:
    """Return the Sharpe ratio with all that stands beside it."""
    beside = line.evidence
    sharpe = _shown(line.sharpe, ".2f")
    if beside.low is not None and beside.high is not None:
        sharpe += f" [{beside.low:.1f}, {beside.high:.1f}]"
    return {
        "sharpe": sharpe,
        "DSR": _shown(beside.dsr, ".2f"),
        "shrunk": _shown(beside.shrunk, ".2f"),
        "sealed": _shown(beside.sealed, ".2f"),
        "net": _shown(beside.net, ".2f"),
        "verdict": beside.verdict,
    }


def _terminal_row(line: AlphaLine, *, planted: bool) -> dict[str, str]:
    row = {"alpha": line.alpha_id} | _numbers(line, "fitness") | _sure(line)
    row |= _numbers(line, "turnover", "gain")
    if planted:
        row["true sharpe"] = _shown(line.true_sharpe, ".2f")
        row["truth"] = (line.truth or "").removeprefix("planted: ")
    settings = f" [{line.settings}]" if line.settings else ""
    return row | {OUTCOME: f"{line.expression}{settings}\n= {line.outcome}"}


def _page_row(line: AlphaLine) -> dict[str, str]:
    return {
        "alpha": line.alpha_id,
        **_numbers(line, "fitness"),
        **_sure(line),
        **_numbers(line, "turnover", "returns", "gain"),
        "true sharpe": _shown(line.true_sharpe, ".2f"),
        "truth": line.truth or "",
        "outcome": line.outcome,
        "settings": line.settings,
        "expression": line.expression,
    }


def _artifact_row(line: AlphaLine) -> dict[str, str]:
    return {
        "alpha": line.alpha_id,
        **_numbers(line, "fitness"),
        **_sure(line),
        **_numbers(line, *(name for name in NUMBERS if name != "fitness")),
        "true sharpe": _shown(line.true_sharpe, ".2f"),
        "truth": line.truth or "",
        "outcome": line.outcome,
        "origin": line.origin,
        "settings": line.settings,
        "expression": line.expression,
    }


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
