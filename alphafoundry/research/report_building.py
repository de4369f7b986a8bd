"""Build the report of a run from the database and what the run counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from alphafoundry.brain.models import CheckInfo
from alphafoundry.clock import eastern_day, utc_now
from alphafoundry.research.planted import NOISE, classify
from alphafoundry.research.report import AlphaLine, Counts, Report
from alphafoundry.research.selection import obstacles
from alphafoundry.research.workbench import Workbench
from alphafoundry.store import (
    AlphaRow,
    SimulationRow,
    SubmissionRow,
    count_by_version,
    count_elsewhere,
    read_alphas,
    read_refusals,
    read_simulations,
    read_submissions,
)

WITH_ALPHA = frozenset({"complete", "warning"})
UNFINISHED = frozenset({"planned", "sending", "sent", "deferred"})
MOST_LINES = 20


def build_report(bench: Workbench) -> Report:
    """Return what the run did so far."""
    rows = read_simulations(bench.store, run_id=bench.run_id)
    ended = [row for row in rows if row.status not in UNFINISHED]
    submissions = {row.alpha_id: row for row in read_submissions(bench.store, bench.service)}
    ours = [one for one in submissions.values() if one.run_id == bench.run_id]
    shown = {row.alpha_id for row in ended if row.alpha_id} | {one.alpha_id for one in ours}
    if not ended:
        shown |= bench.tally.obstacles.keys()
    alphas = read_alphas(bench.store, bench.service, shown)
    by_alpha = {row.alpha_id: row for row in ended if row.alpha_id}
    hopeful = [alpha for alpha in alphas.values() if alpha.hopeful]
    mined = [row for row in ended if row.parent_alpha_id is not None]
    truths = Counter(
        classify(alpha.planted).split(":")[0]
        for alpha in hopeful
        if alpha.alpha_id in by_alpha and alpha.planted is not None
    )
    counts = Counts(
        proposed=bench.tally.proposed,
        refused=len(read_refusals(bench.store, bench.run_id)),
        duplicates=bench.tally.duplicates,
        invented=len(ended) - len(mined),
        mined=len(mined),
        resumed=bench.tally.resumed,
        errors=sum(row.status not in WITH_ALPHA for row in ended),
        unfinished=len(rows) - len(ended),
        hopeful=sum(alpha.alpha_id in by_alpha for alpha in hopeful),
        parents=len(bench.tally.parents),
        improved=sum((row.gain or 0.0) > 0.0 for row in mined),
        planted=truths["planted"],
        noise=truths[NOISE],
        submitted=sum(one.status == "accepted" for one in ours),
        submitted_today=_accepted_today(submissions.values()),
        daily_limit=bench.settings.submission.daily_limit,
    )
    hopeful.sort(key=lambda alpha: (-(alpha.fitness or 0.0), alpha.alpha_id))
    lines = [
        _line(bench, alpha, by_alpha.get(alpha.alpha_id), submissions.get(alpha.alpha_id))
        for alpha in hopeful
    ]
    lines.sort(key=lambda line: not line.submitted)
    return Report(
        flow=bench.flow,
        run_id=bench.run_id,
        seed=bench.settings.seed,
        service=bench.service,
        market=bench.market,
        synthetic=bench.synthetic,
        seconds=round(bench.tally.seconds, 2),
        rule=str(bench.hopeful),
        counts=counts,
        best_gain=_best_gain(mined, bench),
        reasons=dict(_reasons(ended, bench).most_common()),
        alphas=lines[:MOST_LINES],
        notes=[
            *bench.tally.notes,
            *(bench.brain.data.cautions if bench.brain.data else ()),
            *_advice(bench),
        ],
        data=_data(bench),
    )


def _data(bench: Workbench) -> str:
    """Name the data version of this run, and those that the service's other alphas are from."""
    now = bench.brain.data
    if now is None:
        return ""
    text = f"{now.first} to {now.last}, version {now.fingerprint}"
    others = [
        f"{count.alphas} on data to {count.data_until}, version {count.data_version}"
        for count in count_by_version(bench.store, bench.service)
        if count.data_version != now.fingerprint
    ]
    if others:
        text += f"; alphas simulated before and not repeated: {', '.join(others)}"
    superseded = count_elsewhere(bench.store, now.source, bench.service)
    if superseded:
        text += (
            f"; {superseded} alphas of earlier simulation rules are kept in the store and not "
            "used, since their numbers would differ"
        )
    return text


def _accepted_today(submissions: Iterable[SubmissionRow]) -> int:
    today = eastern_day(utc_now())
    return sum(one.status == "accepted" and one.eastern_day == today for one in submissions)


def _reasons(ended: Iterable[SimulationRow], bench: Workbench) -> Counter[str]:
    reasons = Counter(row.message or row.status for row in ended if row.status not in WITH_ALPHA)
    reasons.update(bench.tally.unfinished.values())
    return reasons


def _best_gain(mined: Iterable[SimulationRow], bench: Workbench) -> tuple[float, float] | None:
    best = max(mined, key=lambda row: row.gain or 0.0, default=None)
    if best is None or best.gain is None or best.gain <= 0 or best.alpha_id is None:
        return None
    found = read_alphas(bench.store, bench.service, [best.alpha_id])[best.alpha_id]
    after = found.fitness or 0.0
    return after - best.gain, after


def _line(
    bench: Workbench,
    alpha: AlphaRow,
    row: SimulationRow | None,
    submission: SubmissionRow | None,
) -> AlphaLine:
    submitted = submission is not None and submission.status == "accepted"
    return AlphaLine(
        alpha_id=alpha.alpha_id,
        expression=alpha.expression,
        settings=_unusual(alpha.settings, bench.settings.alpha.to_brain()),
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
        outcome=_outcome(bench, alpha, submission),
    )


def _unusual(settings: Mapping[str, Any], usual: Mapping[str, Any]) -> str:
    """Return the settings that differ from the run's own, as text."""
    return ", ".join(
        f"{name} {settings[name]}"
        for name in ("decay", "neutralization", "truncation", "delay", "universe")
        if name in settings and settings[name] != usual.get(name)
    )


def _outcome(bench: Workbench, alpha: AlphaRow, submission: SubmissionRow | None) -> str:
    if submission is not None and submission.status == "accepted":
        return "submitted"
    if submission is not None and submission.status == "rejected":
        return submission.detail or "rejected"
    if alpha.alpha_id in bench.tally.obstacles:
        return bench.tally.obstacles[alpha.alpha_id]
    against = obstacles([CheckInfo.model_validate(check) for check in alpha.checks])
    return "; ".join(map(str, against)) or "passes every check, not submitted in this run"


def _advice(bench: Workbench) -> list[str]:
    if not bench.synthetic:
        return []
    return [
        "These prices are SYNTHETIC. Real ones: make daily MARKET=path/to/bars.parquet, "
        "MARKET=yfinance or MARKET=sample (--market with python -m flows.daily)."
    ]
