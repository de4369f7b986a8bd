"""Where an alpha stands when it comes to submitting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from alphafoundry.evidence import opening_level
from alphafoundry.expressions.checking import COMPARES_LEVELS
from alphafoundry.research.finalists import choose_finalists
from alphafoundry.research.run import ResearchRun, research_run
from alphafoundry.research.standing import verdicts_of
from alphafoundry.settings import load_settings
from alphafoundry.store import (
    SealedResult,
    finish_opening,
    plan_opening,
    read_alphas,
    read_daily_pnl,
    save_daily_pnl,
)
from alphafoundry.store.daily_pnl import DailyPnl
from tests.library.research.searches import make_market, record_hopeful

VERDICTS = ("found", "unproven", "not confirmed")


def standings(run: ResearchRun, *ids: str) -> list[str]:
    alphas = read_alphas(run.store, run.service, ids)
    found = verdicts_of(run, list(alphas.values()))
    return [found[one].verdict for one in ids]


def moves_like(run: ResearchRun, alpha_id: str, other: str, *, noise: float) -> None:
    pnl = read_daily_pnl(run.store, run.service, [other])[other]
    drawn = np.random.default_rng(9).standard_normal(len(pnl.values)) * pnl.values.std()
    save_daily_pnl(
        run.store, run.service, alpha_id, DailyPnl(pnl.dates, pnl.values + noise * drawn)
    )


async def test_an_alpha_shares_no_praise_and_every_blame_of_the_finalist_it_moves_like(
    tmp_path: Path,
) -> None:
    settings = load_settings(environment={}, home=tmp_path)
    async with research_run(settings, flow="test", lanes=1, panel=make_market(1)) as run:
        for number, name in enumerate(("a", "b", "c")):
            record_hopeful(
                run.store,
                run.service,
                name,
                f"rank(ts_delta(close, {number + 2}))",
                seed=number,
                sharpe=3.0 - number,
            )
        finalists = choose_finalists(run.store, run.service, trials=3)
        finalists.sort(key=lambda one: one.alpha_id)
        assert [one.alpha_id for one in finalists] == ["a", "b", "c"]
        assert run.market_id is not None
        opening = plan_opening(
            run.store,
            run.service,
            finalists,
            run_id=run.run_id,
            market_id=run.market_id,
            sealed_from=run.seal.sealed_from,
            sealed_to=run.seal.sealed_to,  # type: ignore[union-attr]
            trials=3,
            level_of=opening_level,
        )
        finish_opening(run.store, opening.id, [SealedResult(one, "so", 300) for one in VERDICTS])
        run.tally.opening = opening.id
        for name in ("like a", "like c", "unlike"):
            record_hopeful(run.store, run.service, name, "rank(open)", seed=50 + len(name))
        moves_like(run, "like a", "a", noise=0.3)
        moves_like(run, "like c", "c", noise=0.3)
        checks = [{"name": "UNITS", "result": "WARNING", "message": COMPARES_LEVELS}]
        record_hopeful(run.store, run.service, "levels", "inverse(close)", seed=80, checks=checks)
        assert standings(run, "a", "b", "c") == list(VERDICTS)
        assert standings(run, "like a", "like c", "unlike", "levels") == [
            "unproven",
            "not confirmed",
            "unproven",
            "not confirmed",
        ]


@pytest.mark.parametrize(("sharpe", "expected"), [(4.0, "unproven"), (-1.0, "not confirmed")])
async def test_without_sealed_days_the_deflated_sharpe_ratio_decides(
    tmp_path: Path, sharpe: float, expected: str
) -> None:
    settings = load_settings(environment={}, home=tmp_path, holdout=0)
    async with research_run(settings, flow="test", lanes=1, panel=make_market(1)) as run:
        record_hopeful(run.store, run.service, "a", "rank(close)", seed=1, sharpe=sharpe)
        assert standings(run, "a") == [expected]
