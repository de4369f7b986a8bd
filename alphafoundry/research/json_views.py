"""The JSON files that other programs read and write, kept as views of the database."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from alphafoundry.errors import BrainRequestError, BrainUnavailable
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.simulation_lifecycle import before_test_period, to_record
from alphafoundry.store import (
    DailyPnl,
    HopefulEntry,
    hopeful_alphas,
    merge_hopeful,
    merge_submission_results,
    read_alphas,
    read_hopeful,
    read_submissions,
    record_alpha,
    write_submission_log,
)

HOPEFUL = Path("hopeful_alphas.json")
SUBMISSION_LOG = Path("submission_log.json")
SUBMISSION_RESULTS = Path("submission_results.json")


def _place(view: Path, home: Path) -> Path:
    """Return where a view lies: here, or in the home folder where nothing can be written here."""
    return view if os.access(Path(), os.W_OK) else home / view


async def import_hopeful(run: ResearchRun) -> int:
    """Take over the alphas that another program wrote into `hopeful_alphas.json`.

    The service is asked for each alpha that the database does not hold; one that it does not
    know stays in the file, and where it does not answer the others wait there for the next run.
    A corrupt file is set aside. What a person should know of it becomes a note of the report.
    Returns how many alphas were new.
    """
    found = read_hopeful(_place(HOPEFUL, run.settings.home))
    run.note(*found.problems)
    foreign = [
        entry.alpha_id
        for entry in found.entries
        if (entry.model_extra or {}).get("service") is None
    ]
    known = read_alphas(run.store, run.service, foreign)
    unknown = [alpha_id for alpha_id in foreign if alpha_id not in known]
    imported = 0
    for alpha_id in unknown:
        try:
            alpha = await run.brain.alpha(alpha_id)
            pnl = before_test_period(alpha, DailyPnl(*await run.brain.daily_pnl(alpha_id)))
        except BrainRequestError:
            continue
        except BrainUnavailable as problem:
            run.note(f"{HOPEFUL}: not all alphas could be looked up, tried next time: {problem}")
            return imported
        record = to_record(
            alpha,
            hopeful=run.hopeful.is_hopeful(alpha.statistics),
            market_id=run.market_id,
        )
        record_alpha(run.store, run.service, replace(record, source="import"), daily_pnl=pnl)
        imported += 1
    if unknown:
        run.note(
            f"{HOPEFUL}: {imported} alphas of another program taken over, "
            f"{len(unknown) - imported} not known to {run.service}"
        )
    return imported


def write_views(run: ResearchRun) -> None:
    """Bring the files up to date; entries of other programs are kept."""
    home = run.settings.home
    alphas = hopeful_alphas(run.store, run.service, unmined=False)
    entries = [
        HopefulEntry(**HopefulEntry.from_alpha(alpha).model_dump(), service=alpha.service)
        for alpha in alphas
    ]
    problem = merge_hopeful(_place(HOPEFUL, home), entries)
    if problem is not None:
        run.note(problem)
    submissions = read_submissions(run.store, run.service)
    if submissions:
        accepted = [one.eastern_day for one in submissions if one.status == "accepted"]
        write_submission_log(_place(SUBMISSION_LOG, home), max(accepted, default=None))
        merge_submission_results(_place(SUBMISSION_RESULTS, home), submissions)
