"""Build the report of a run from the database and what the run counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from alphafoundry.brain.models import CheckInfo
from alphafoundry.clock import eastern_day, utc_now
from alphafoundry.evidence import lucky_share
from alphafoundry.research.evidence import evidence_of, evidence_of_alphas
from alphafoundry.research.planted import NOISE, classify
from alphafoundry.research.proposals import MINER
from alphafoundry.research.report import AlphaLine, AlphasReport, Counts
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.seal import Seal
from alphafoundry.research.selection import obstacles
from alphafoundry.runs import Figure
from alphafoundry.settings import HopefulSettings
from alphafoundry.store import (
    AlphaRow,
    SimulationRow,
    SubmissionRow,
    count_by_version,
    count_elsewhere,
    count_screened,
    judged_pnl,
    read_alphas,
    read_daily_pnl,
    read_opening,
    read_refusals,
    read_simulations,
    read_submissions,
)

WITH_ALPHA = frozenset({"complete", "warning"})
UNFINISHED = frozenset({"planned", "sending", "sent", "deferred"})
MOST_LINES = 20
PLOTTED = 8


def build_report(run: ResearchRun) -> AlphasReport:
    """Return what the run did so far."""
    rows = read_simulations(run.store, run_id=run.run_id)
    ended = [row for row in rows if row.status not in UNFINISHED]
    submissions = {row.alpha_id: row for row in read_submissions(run.store, run.service)}
    ours = [one for one in submissions.values() if one.run_id == run.run_id]
    shown = {row.alpha_id for row in ended if row.alpha_id} | {one.alpha_id for one in ours}
    if not ended:
        shown |= run.tally.obstacles.keys()
    alphas = read_alphas(run.store, run.service, shown)
    by_alpha = {row.alpha_id: row for row in ended if row.alpha_id}
    hopeful = [alpha for alpha in alphas.values() if alpha.hopeful]
    mined = [row for row in ended if row.origin == MINER]
    truths = Counter(
        classify(alpha.planted).split(":")[0]
        for alpha in hopeful
        if alpha.alpha_id in by_alpha and alpha.planted is not None
    )
    counts = Counts(
        proposed=run.tally.proposed,
        refused=len(read_refusals(run.store, run.run_id)),
        duplicates=run.tally.duplicates,
        invented=len(ended) - len(mined),
        mined=len(mined),
        resumed=run.tally.resumed,
        screened=count_screened(run.store, run.run_id).ideas,
        chosen=run.tally.chosen,
        errors=sum(row.status not in WITH_ALPHA for row in ended),
        unfinished=len(rows) - len(ended),
        hopeful=sum(alpha.alpha_id in by_alpha for alpha in hopeful),
        parents=len(run.tally.parents),
        improved=sum((row.gain or 0.0) > 0.0 for row in mined),
        planted=truths["planted"],
        noise=truths[NOISE],
        submitted=sum(one.status == "accepted" for one in ours),
        submitted_today=_accepted_today(submissions.values()),
        daily_limit=run.settings.submission.daily_limit,
    )
    hopeful.sort(key=lambda alpha: (-(alpha.fitness or 0.0), alpha.alpha_id))
    lines = [
        _line(run, alpha, by_alpha.get(alpha.alpha_id), submissions.get(alpha.alpha_id))
        for alpha in hopeful
    ]
    in_all = len(lines)
    # What was submitted is shown in any case, in its place by fitness.
    first = sorted(range(len(lines)), key=lambda place: not lines[place].submitted)
    lines = [lines[place] for place in sorted(first[:MOST_LINES])]
    if run.top_level:
        beside = evidence_of_alphas(run, [alphas[line.alpha_id] for line in lines])
        lines = [replace(line, evidence=beside[line.alpha_id]) for line in lines]
    return AlphasReport(
        flow=run.flow,
        run_id=run.run_id,
        seed=run.settings.seed,
        service=run.service,
        market=run.market,
        synthetic=run.synthetic,
        seconds=round(run.record.seconds, 2),
        rule=str(run.hopeful),
        alphas_in_all=in_all,
        stopped=run.stop.told(run.tally.phase),
        counts=counts,
        best_gain=_best_gain(mined, run),
        reasons=dict(_reasons(ended, run, unfinished=len(rows) - len(ended)).most_common()),
        alphas=lines,
        notes=[
            *run.tally.notes,
            *(run.brain.data.cautions if run.brain.data and not run.brain.screen else ()),
            *_advice(run),
        ],
        data=_data(run),
        evidence=evidence_of(run) if run.top_level else None,
        lucky=_lucky(run, counts.simulated),
        screen=run.brain.screen,
        pictures=_pictures(run, lines[:PLOTTED]) if run.top_level else (),
    )


def _lucky(run: ResearchRun, simulated: int) -> float | None:
    """Return how many hopeful alphas luck gives; measured for the grammar and its usual rule."""
    settings = run.settings
    measured = (
        settings.generator == "grammar"
        and settings.brain == "local"
        and settings.hopeful == HopefulSettings()
    )
    return lucky_share(simulated) * simulated if measured and simulated else None


def _data(run: ResearchRun) -> str:
    """Name the data version of this run, and those that the service's other alphas are from."""
    now = run.brain.data
    if now is None:
        return ""
    text = f"{now.first} to {now.last}, version {now.fingerprint}"
    others = [
        f"{count.alphas} on data to {count.data_until}, version {count.data_version}"
        for count in count_by_version(run.store, run.service)
        if count.data_version != now.fingerprint
    ]
    if others:
        text += f"; alphas simulated before and not repeated: {', '.join(others)}"
    elsewhere = count_elsewhere(run.store, now.source, run.service)
    if elsewhere.earlier_rules:
        text += (
            f"; {elsewhere.earlier_rules} alphas of earlier simulation rules are kept in the store "
            "and not used, since their numbers would differ"
        )
    if elsewhere.other_days:
        text += (
            f"; {elsewhere.other_days} alphas of another part of the days (another --holdout) are "
            "kept apart"
        )
    return text


def _pictures(run: ResearchRun, best: Iterable[AlphaLine]) -> tuple[Figure, ...]:
    """Return the plot of the best alphas, none where no daily PnL is known."""
    lines = {line.alpha_id: line for line in best}
    pnl = read_daily_pnl(run.store, run.service, lines)
    if run.tally.opening is not None:
        for row in read_opening(run.store, run.tally.opening)[1]:
            whole = judged_pnl(row)
            if row.alpha_id in pnl and whole is not None:
                pnl[row.alpha_id] = whole
    if not pnl:
        return ()
    shown = {_legend(line): pnl[one] for one, line in lines.items() if one in pnl}
    sealed_from = run.seal.sealed_from if isinstance(run.seal, Seal) else None

    def draw() -> bytes:
        from alphafoundry.research.plots import plot_cumulative_pnl

        return plot_cumulative_pnl(shown, title=run.market, sealed_from=sealed_from)

    return (Figure("Cumulative PnL of the best alphas", draw),)


def _legend(line: AlphaLine) -> str:
    dsr = line.evidence.dsr
    text = f"{line.alpha_id}  {line.evidence.verdict}"
    if line.sharpe is not None and dsr is not None:
        text += f", Sharpe {line.sharpe:.2f}, DSR {dsr:.2f}"
    return f"{text}  {line.expression}"


def _accepted_today(submissions: Iterable[SubmissionRow]) -> int:
    today = eastern_day(utc_now())
    return sum(one.status == "accepted" and one.eastern_day == today for one in submissions)


def _reasons(ended: Iterable[SimulationRow], run: ResearchRun, *, unfinished: int) -> Counter[str]:
    reasons = Counter(row.message or row.status for row in ended if row.status not in WITH_ALPHA)
    reasons.update(run.tally.unfinished.values())
    if (under_way := unfinished - len(run.tally.unfinished)) > 0:
        reasons["under way when the run ended"] = under_way
    return reasons


def _best_gain(mined: Iterable[SimulationRow], run: ResearchRun) -> tuple[float, float] | None:
    best = max(mined, key=lambda row: row.gain or 0.0, default=None)
    if best is None or best.gain is None or best.gain <= 0 or best.alpha_id is None:
        return None
    found = read_alphas(run.store, run.service, [best.alpha_id])[best.alpha_id]
    after = found.fitness or 0.0
    return after - best.gain, after


def _line(
    run: ResearchRun,
    alpha: AlphaRow,
    row: SimulationRow | None,
    submission: SubmissionRow | None,
) -> AlphaLine:
    submitted = submission is not None and submission.status == "accepted"
    return AlphaLine(
        alpha_id=alpha.alpha_id,
        expression=alpha.expression,
        settings=_unusual(alpha.settings, run.settings.alpha.to_brain()),
        origin=row.origin if row else alpha.source,
        sharpe=alpha.sharpe,
        fitness=alpha.fitness,
        turnover=alpha.turnover,
        returns=alpha.returns,
        drawdown=alpha.drawdown,
        gain=row.gain if row else None,
        correlation_to_parent=row.correlation_to_parent if row else None,
        truth=classify(alpha.planted) if alpha.planted is not None else None,
        submitted=submitted,
        outcome=_outcome(run, alpha, submission),
        true_sharpe=alpha.expected_sharpe,
    )


def _unusual(settings: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """Return the settings that differ from the run's own, as text."""
    return ", ".join(
        f"{name} {settings[name]}"
        for name in ("decay", "neutralization", "truncation", "delay", "universe")
        if name in settings and settings[name] != usual.get(name)
    )


def _outcome(run: ResearchRun, alpha: AlphaRow, submission: SubmissionRow | None) -> str:
    if submission is not None and submission.status == "accepted":
        return "submitted"
    if submission is not None and submission.status == "rejected":
        return submission.detail or "rejected"
    if alpha.alpha_id in run.tally.obstacles:
        return run.tally.obstacles[alpha.alpha_id]
    against = obstacles([CheckInfo.model_validate(check) for check in alpha.checks])
    return "; ".join(map(str, against)) or "passes every check, not submitted in this run"


def _advice(run: ResearchRun) -> list[str]:
    if not run.synthetic:
        return []
    return [
        "These prices are SYNTHETIC. Real ones: make daily MARKET=path/to/bars.parquet, "
        "MARKET=yfinance or MARKET=sample (--market with python -m flows.daily)."
    ]
