"""Markets that know what came later: what sees it is named, and never praised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from alphafoundry.expressions import parse
from alphafoundry.market import Panel
from alphafoundry.research.evidence import evidence_of, evidence_of_alphas
from alphafoundry.research.finalists import choose_finalists
from alphafoundry.research.opening import open_sealed_days
from alphafoundry.research.run import ResearchRun, research_run
from alphafoundry.research.simulation_queue import Group, SimulationQueue
from alphafoundry.research.standing import verdicts_of
from alphafoundry.settings import load_settings
from alphafoundry.store import (
    AlphaRow,
    SimulationPlan,
    read_alphas,
    read_simulations,
)
from tests.library.research.searches import make_market


def survivors(*, names: int = 240, kept: int = 40, seed: int = 5) -> Panel:
    """Return those of many names without direction that rose most in the end."""
    panel = make_market(seed, names=names)
    close = panel.fields["close"]
    chosen = np.sort(np.argsort(-close[-1])[:kept])
    return replace(
        panel,
        symbols=panel.symbols[chosen],
        fields={
            name: np.ascontiguousarray(array[:, chosen]) for name, array in panel.fields.items()
        },
        groups={
            name: np.ascontiguousarray(array[:, chosen]) for name, array in panel.groups.items()
        },
        synthetic=False,
        label="survivors",
        market=None,
    )


async def simulated(run: ResearchRun, *expressions: str) -> dict[str, AlphaRow]:
    settings = run.settings.alpha.model_copy(update={"neutralization": "MARKET"})
    plans = [
        SimulationPlan(parse(text).canonical, text, settings.to_brain(), "import")
        for text in expressions
    ]
    work = SimulationQueue(run, run.plan(plans), phase="test")

    await work.in_lanes(lambda number: work.lane(number, Group.simulate), cap=1)
    rows = read_simulations(run.store, run_id=run.run_id)
    ids = [row.alpha_id for row in rows if row.alpha_id]
    found = read_alphas(run.store, run.service, ids)
    return {alpha.expression: alpha for alpha in found.values()}


async def test_what_buys_survivors_is_named_and_never_found_or_submitted(tmp_path: Path) -> None:
    panel = survivors()
    settings = load_settings(environment={}, home=tmp_path, hopeful={"fitness": 0.0})
    async with research_run(settings, flow="test", lanes=1, panel=panel) as run:
        alphas = await simulated(run, "inverse(close)", "rank(ts_delta(close, 5) / close)")
        level = alphas["inverse(close)"]
        assert level.sharpe is not None and level.sharpe > 1.0
        beside = evidence_of_alphas(run, list(alphas.values()))
        assert beside[level.alpha_id].verdict == "sees the future"
        assert verdicts_of(run, [level])[level.alpha_id].verdict == "not confirmed"
        finalists = choose_finalists(run.store, run.service, trials=2)
        assert level.alpha_id not in {one.alpha_id for one in finalists}
        open_sealed_days(run)
        assert verdicts_of(run, [level])[level.alpha_id].verdict == "not confirmed"
        other = alphas["rank(ts_delta(close, 5) / close)"]
        assert beside[other.alpha_id].verdict != "sees the future"


async def test_what_is_too_good_to_be_true_is_named_by_a_caution(tmp_path: Path) -> None:
    """A field that holds the return to be earned, as a vendor's restated data may."""
    panel = make_market(6)
    ahead = np.full_like(panel.fields["returns"], np.nan)
    ahead[:-2] = panel.fields["returns"][2:]
    leaky = replace(panel, fields={**panel.fields, "restated": ahead}, market=None)
    settings = load_settings(environment={}, home=tmp_path)
    async with research_run(settings, flow="test", lanes=1, panel=leaky) as run:
        alphas = await simulated(run, "rank(restated)", "rank(ts_delta(close, 5))")
        seeing = alphas["rank(restated)"]
        assert seeing.sharpe is not None and seeing.sharpe > 20
        cautions = evidence_of(run).cautions
    told = [text for text in cautions if "too good to be true" in text]
    assert len(told) == 1 and seeing.alpha_id in told[0]
    assert alphas["rank(ts_delta(close, 5))"].alpha_id not in told[0]
    honest = load_settings(environment={}, home=tmp_path / "honest")
    async with research_run(honest, flow="test", lanes=1, panel=panel) as run:
        await simulated(run, "rank(ts_delta(close, 5))")
        assert not any("too good" in text for text in evidence_of(run).cautions)
