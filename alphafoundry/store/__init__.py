"""One SQL database for runs, simulations, alphas and submissions; SQLite or PostgreSQL.

    store = open_store(home=Path(".foundry"))
    run = begin_run(store, flow="daily", service="local")
    planned = plan_simulations(store, "local", plans, run_id=run.id)

Errors of the database are `StoreError`, in one line and without the password.
"""

from alphafoundry.store.alphas import (
    AlphaRecord,
    best_alphas,
    hopeful_alphas,
    mark_mined,
    read_alphas,
    record_alpha,
)
from alphafoundry.store.clock import eastern_day
from alphafoundry.store.daily_pnl import DailyPnl, read_daily_pnl, save_daily_pnl
from alphafoundry.store.database import Store, open_store
from alphafoundry.store.refusals import read_refusals, record_refusals
from alphafoundry.store.runs import beat, begin_run, finish_run, is_alive, read_runs
from alphafoundry.store.simulations import (
    Planned,
    SimulationPlan,
    claim_abandoned,
    count_simulations,
    finish_simulation,
    known_keys,
    mark_back_to_planned,
    mark_deferred,
    mark_sending,
    mark_sent,
    plan_simulations,
    read_simulation,
    read_simulations,
    simulation_key,
)
from alphafoundry.store.submissions import (
    Intent,
    intend_submission,
    read_submissions,
    settle_submission,
    unsettled_submissions,
)
from alphafoundry.store.tables import (
    UNFINISHED,
    AlertRow,
    AlphaRow,
    PhaseRow,
    RefusalRow,
    RunRow,
    SampleRow,
    SimulationRow,
    SubmissionRow,
    TrialRow,
)
from alphafoundry.store.trials import (
    TrialRecord,
    begin_phase,
    count_executions,
    finish_phase,
    read_alerts,
    read_phases,
    read_samples,
    read_trials,
    record_sample,
    record_trials,
)
from alphafoundry.store.views import (
    HopefulEntry,
    HopefulFile,
    merge_hopeful,
    merge_submission_results,
    read_hopeful,
    read_submission_log,
    write_hopeful,
    write_submission_log,
)

__all__ = [
    "UNFINISHED",
    "AlertRow",
    "AlphaRecord",
    "AlphaRow",
    "DailyPnl",
    "HopefulEntry",
    "HopefulFile",
    "Intent",
    "PhaseRow",
    "Planned",
    "RefusalRow",
    "RunRow",
    "SampleRow",
    "SimulationPlan",
    "SimulationRow",
    "Store",
    "SubmissionRow",
    "TrialRecord",
    "TrialRow",
    "beat",
    "begin_phase",
    "begin_run",
    "best_alphas",
    "claim_abandoned",
    "count_executions",
    "count_simulations",
    "eastern_day",
    "finish_phase",
    "finish_run",
    "finish_simulation",
    "hopeful_alphas",
    "intend_submission",
    "is_alive",
    "known_keys",
    "mark_back_to_planned",
    "mark_deferred",
    "mark_mined",
    "mark_sending",
    "mark_sent",
    "merge_hopeful",
    "merge_submission_results",
    "open_store",
    "plan_simulations",
    "read_alerts",
    "read_alphas",
    "read_daily_pnl",
    "read_hopeful",
    "read_phases",
    "read_refusals",
    "read_runs",
    "read_samples",
    "read_simulation",
    "read_simulations",
    "read_submission_log",
    "read_submissions",
    "read_trials",
    "record_alpha",
    "record_refusals",
    "record_sample",
    "record_trials",
    "save_daily_pnl",
    "settle_submission",
    "simulation_key",
    "unsettled_submissions",
    "write_hopeful",
    "write_submission_log",
]
