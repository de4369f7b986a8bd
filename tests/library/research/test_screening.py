"""Screening ideas in bulk: what it sees, what it counts, what it chooses, how it goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alphafoundry.evidence import luck_line
from alphafoundry.market import Panel
from alphafoundry.research.combining import lower_bound
from alphafoundry.research.generation import generator_of, to_plan
from alphafoundry.research.history import turned_to_earn
from alphafoundry.research.proposals import Proposal, Proposals, Proposer
from alphafoundry.research.run import ResearchRun, research_run
from alphafoundry.research.screening import (
    ScreenedIdeas,
    Screening,
    best_unlike,
    screen_all,
)
from alphafoundry.research.seal import Seal
from alphafoundry.research.trial_pnl import TrialPnl, side_by_side
from alphafoundry.research.whole_search import search_all
from alphafoundry.settings import load_settings
from alphafoundry.simulation import SimulationSettings
from alphafoundry.store import (
    DailyPnl,
    ScreenedIdea,
    ScreenedRow,
    begin_run,
    candidates_of_screening,
    count_screened,
    count_trials,
    finish_run,
    is_witness,
    mark_chosen,
    open_store,
    pnl_of_screened,
    read_screened,
    read_simulations,
    record_screened,
    take_over_screened,
    witnesses_of_screening,
)
from tests.library.research.screening_killed import FLAGS
from tests.library.research.searches import make_market, searched
from tests.working_folder import ROOT

pytestmark = pytest.mark.filterwarnings("error")
SETTINGS = SimulationSettings().to_brain()


async def _propose(source: Proposer, count: int) -> Proposals:
    return await source.propose(count)


async def screened(market: Panel, home: Path, ideas: int, **flags: object) -> list[str]:
    """Return what was screened as "canonical sharpe", sorted."""
    settings = load_settings(
        environment={}, home=home, screen={"ideas": ideas, "batch": 16}, **flags
    )
    async with research_run(settings, flow="screen", lanes=1, panel=market) as run:
        async with generator_of(run) as source:
            await screen_all(run, source, _propose)
        rows = read_screened(run.store, run.service)
    return sorted(f"{row.canonical} {row.sharpe}" for row in rows)


async def test_so_many_ideas_are_screened_and_none_of_them_sees_a_sealed_day(
    tmp_path: Path,
) -> None:
    market = make_market(3, reversal=0.05)
    found = await screened(market, tmp_path / "a", 48)
    assert len(found) == 48
    settings = load_settings(environment={}, home=tmp_path / "a")
    async with research_run(settings, flow="look", lanes=1, panel=market) as run:
        assert isinstance(run.seal, Seal)
        cut = int(np.searchsorted(market.dates, np.datetime64(run.seal.search_to))) + 1
    fields = {name: values.copy() for name, values in market.fields.items()}
    for values in fields.values():
        values[cut:] = 1.0 + np.random.default_rng(0).random(values[cut:].shape)
    other = replace(market, fields=fields)
    assert await screened(other, tmp_path / "b", 48) == found


@pytest.mark.parametrize(
    ("first_look", "told", "share_of_days"),
    [
        ({"first": 0.4}, "stopped early: judged on the days up to", 0.4),
        ({"names": 15}, "stopped early: judged on 15 of the 30 names", 1.0),
    ],
)
async def test_those_stopped_early_are_marked_and_count_and_are_never_chosen(
    tmp_path: Path, first_look: dict[str, float], told: str, share_of_days: float
) -> None:
    market = make_market(3, reversal=0.05)
    settings = load_settings(
        environment={},
        home=tmp_path / "early",
        screen={"ideas": 32, "batch": 16, "keep": 0.5, **first_look},
        mining={"share": 0.0},
    )
    async with research_run(settings, flow="screen", lanes=1, panel=market) as run:
        async with generator_of(run) as source:
            screening = await screen_all(run, source, _propose)
        rows = read_screened(run.store, run.service)
        counted = count_screened(run.store, run.run_id)
        trials = count_trials(run.store, run.service, run.market_id)
        kept = {row.canonical for row in candidates_of_screening(run.store, run.service, most=32)}
        chosen = {row.canonical for row in screening.best(32)}
        heard = witnesses_of_screening(run.store, run.service, but_of="miner", most=32)
    stopped = [row for row in rows if row.reason and row.days]
    longest = max(row.days or 0 for row in rows)
    assert counted.ideas == 32 and counted.stopped == len(stopped) >= 10
    assert all((row.days or 0) <= share_of_days * 1.1 * longest for row in stopped)
    assert all(told in row.reason for row in stopped)
    assert heard and all(not row.reason for row in heard)
    assert {row.canonical for row in heard} == {
        row.canonical
        for row in rows
        if row.sharpe and row.origin != "miner" and is_witness(row.canonical, row.settings)
    }
    assert kept and chosen <= kept and not kept & {row.canonical for row in stopped}
    assert trials >= 32 - counted.without - 2
    whole = await screened(market, tmp_path / "whole", 32, mining={"share": 0.0})
    for row in rows:
        if not row.reason:
            assert f"{row.canonical} {row.sharpe}" in whole


async def test_each_idea_counts_as_a_trial_and_the_best_are_simulated(tmp_path: Path) -> None:
    settings = load_settings(
        environment={}, home=tmp_path, simulations=10, screen={"ideas": 60, "batch": 25}
    )
    market = make_market(3, reversal=0.05)
    async with research_run(settings, flow="daily", lanes=2, panel=market) as run:
        await search_all(run)
        ideas = read_screened(run.store, run.service)
        simulated = read_simulations(run.store, run_id=run.run_id)
        trials = count_trials(run.store, run.service, run.market_id)
        chosen = [row for row in ideas if row.chosen_at is not None]
    assert len(ideas) == 60 and len(simulated) == 10
    # An idea and its reverse are one trial.
    assert 50 <= trials <= 70
    assert luck_line(trials, 700).mean > luck_line(10, 700).mean
    middle = np.median([abs(row.sharpe or 0.0) for row in ideas])
    assert chosen and min(abs(row.sharpe or 0.0) for row in chosen) > middle
    assert any(row.origin == "miner" for row in ideas)


def pnl(*, seed: int, drift: float, like: DailyPnl | None = None) -> DailyPnl:
    draw = np.random.default_rng(seed)
    dates = np.arange("2020-01-01", "2022-09-27", dtype="datetime64[D]")
    values = draw.standard_normal(len(dates)) + drift
    if like is not None:
        values = like.values + 0.3 * draw.standard_normal(len(dates))
    return DailyPnl(dates, values)


def pnl_of(rows: list[ScreenedRow]) -> TrialPnl:
    return side_by_side({row.key: pnl_of_screened(row) for row in rows})


def witness(one: ScreenedIdea) -> bool:
    return is_witness(one.canonical, one.settings)


def idea(name: str, daily: DailyPnl | None, sharpe: float | None, **others: object) -> ScreenedIdea:
    days = None if sharpe is None else 1000
    return ScreenedIdea(
        name, name, SETTINGS, "grammar", sharpe=sharpe, days=days, pnl=daily, **others
    )


def test_the_best_unlike_ones_are_chosen_whatever_the_order(tmp_path: Path) -> None:
    first = pnl(seed=1, drift=0.2)
    turned = DailyPnl(first.dates, -pnl(seed=2, drift=0.0, like=first).values)
    ideas = [
        idea("rank(close)", first, 3.0),
        idea("rank(open)", turned, -2.2),  # a loser that moves against the best is like it
        idea("rank(volume)", pnl(seed=3, drift=0.1), 2.0),
        idea("rank(high)", pnl(seed=4, drift=-0.1), -2.5),
        idea("rank(low)", pnl(seed=5, drift=0.0), 0.3),  # its bound is below 0
        idea("rank(vwap)", None, 4.0),  # its daily PnL was not kept
    ]
    for number, order in enumerate(([0, 1, 2, 3, 4, 5], [5, 3, 1, 4, 2, 0])):
        with open_store(home=tmp_path / str(number)) as store:
            run = begin_run(store, flow="screen", service="here")
            record_screened(store, [ideas[one] for one in order], service="here", run_id=run.id)
            rows = candidates_of_screening(store, "here", most=9)
            assert len(candidates_of_screening(store, "here", most=2)) == 2
        chosen = best_unlike(rows, pnl_of(rows), most=9, periods=252.0)
        assert [row.canonical for row in chosen] == ["rank(close)", "rank(high)", "rank(volume)"]
        assert [
            row.canonical for row in best_unlike(rows, pnl_of(rows), most=2, periods=252.0)
        ] == [
            "rank(close)",
            "rank(high)",
        ]


def test_what_witnesses_say_outweighs_what_was_chosen_for_its_strength(tmp_path: Path) -> None:
    """Many ideas of nothing were looked at; the strongest of them are not expected to be strong."""
    draw = np.random.default_rng(5)
    common = pnl(seed=99, drift=0.15)
    true = DailyPnl(common.dates, common.values + 0.5 * draw.standard_normal(len(common.values)))
    every = [(f"ts_rank(close, {n + 2})", pnl(seed=n, drift=0.0)) for n in range(600)]
    every += [
        (f"ts_zscore(close, {n + 2})", pnl(seed=n, drift=0.0, like=common)) for n in range(60)
    ]
    every.append(("rank(volume)", true))
    ideas = [
        idea(name, daily, float(daily.values.mean() / daily.values.std() * np.sqrt(252)))
        for name, daily in every
    ]
    kept = {one.canonical for one in sorted(ideas, key=lambda one: -abs(one.sharpe or 0.0))[:60]}
    ideas = [
        one if one.canonical in kept or witness(one) else replace(one, pnl=None) for one in ideas
    ]
    with open_store(home=tmp_path) as store:
        run = begin_run(store, flow="screen", service="here")
        record_screened(store, ideas, service="here", run_id=run.id)
        heard = witnesses_of_screening(store, "here", but_of="miner", most=999)
        strongest = candidates_of_screening(store, "here", most=60)
    assert {row.canonical for row in heard} == {one.canonical for one in ideas if witness(one)}
    rows = sorted({row.key: row for row in (*strongest, *heard)}.values(), key=lambda row: row.key)
    # Some alone may be heard: then others that are here for their strength are not.
    for most in (len(heard), 40):
        keys = {row.key for row in heard[:most]}
        chosen = best_unlike(rows, pnl_of(rows), most=3, periods=252.0, heard=keys)
        assert chosen[0].canonical.startswith(("ts_zscore", "rank(volume)"))
        left_out = best_unlike(
            rows, pnl_of(rows), most=3, periods=252.0, heard=keys, taken={chosen[0].key}
        )
        assert chosen[0].key not in {row.key for row in left_out}


def test_runs_that_kept_the_strong_alone_have_no_witnesses(tmp_path: Path) -> None:
    ideas = [
        idea(f"ts_rank(close, {n + 2})", pnl(seed=n, drift=0.0), 0.1 * n + 0.1) for n in range(80)
    ]
    whole, strong = ideas[:40], ideas[40:]
    weakest = min((one for one in strong if witness(one)), key=lambda one: one.sharpe or 0.0)
    strong = [replace(one, pnl=None) if one is weakest else one for one in strong]
    assert any(witness(one) and one.pnl is not None for one in strong)
    with open_store(home=tmp_path) as store:
        for some in (whole, strong):
            run = begin_run(store, flow="screen", service="here")
            record_screened(store, some, service="here", run_id=run.id)
        heard = witnesses_of_screening(store, "here", but_of="miner", most=999)
    expected = {one.canonical for one in whole if witness(one)}
    assert expected and {row.canonical for row in heard} == expected


def test_an_idea_its_reverse_and_its_simulation_are_one_trial(tmp_path: Path) -> None:
    with open_store(home=tmp_path) as store:
        run = begin_run(store, flow="screen", service="here")
        ideas = [
            idea("rank(close)", None, 1.0),
            idea("reverse(rank(close))", None, -1.0),
            idea("rank(open)", None, 1.0),
            idea("rank(low)", None, None, reason="too short"),
            idea("rank(high)", None, 0.1, reason="stopped early"),
        ]
        assert record_screened(store, ideas, service="here", run_id=run.id) == 5
        assert record_screened(store, ideas, service="here", run_id=run.id) == 0
        assert count_trials(store, "here", None) == 3
        assert count_trials(store, "elsewhere", None) == 0
        counted = count_screened(store, run.id)
        assert (counted.ideas, counted.without, counted.stopped) == (5, 1, 1)


def test_what_a_run_that_was_cut_short_screened_belongs_to_the_next(tmp_path: Path) -> None:
    with open_store(home=tmp_path) as store:
        runs = [begin_run(store, flow="screen", service="here") for _ in range(4)]
        for number, run in enumerate(runs[:3]):
            daily = pnl(seed=number, drift=0.2)
            record_screened(
                store, [idea(f"rank({number})", daily, 2.0)], service="here", run_id=run.id
            )
        finish_run(store, runs[0].id, "interrupted")
        finish_run(store, runs[1].id, "finished")
        assert take_over_screened(store, "here", run_id=runs[3].id) == 1
        assert take_over_screened(store, "here", run_id=runs[3].id) == 0
        mark_chosen(
            store, "here", [row.key for row in candidates_of_screening(store, "here", most=9)]
        )
        assert candidates_of_screening(store, "here", most=9) == []


@pytest.mark.long
async def test_a_screening_that_was_stopped_goes_on(tmp_path: Path) -> None:
    market = make_market(3)
    settings = load_settings(
        environment={}, home=tmp_path, screen={"ideas": 40, "batch": 8}, mining={"share": 0.0}
    )
    handed = 0

    async def screen(screening: Screening, ideas: list[Proposal]) -> None:
        nonlocal handed
        handed += 1
        if handed == 3:
            raise ZeroDivisionError
        screening.screen(ideas)

    with pytest.raises(ZeroDivisionError):
        async with (
            research_run(settings, flow="screen", lanes=1, panel=market) as run,
            generator_of(run) as source,
        ):
            await screen_all(run, source, _propose, screen=screen)
    with open_store(home=tmp_path) as store:
        before = {row.canonical for row in read_screened(store, run.service)}
    assert 16 <= len(before) < 40
    await screened(market, tmp_path, 40, mining={"share": 0.0})
    with open_store(home=tmp_path) as store:
        rows = read_screened(store, run.service)
    assert len(rows) == 40 and before <= {row.canonical for row in rows}
    assert len({row.run_id for row in rows}) == 1


@pytest.mark.long
async def test_the_next_screening_asks_the_generator_for_what_it_had_not_proposed_yet(
    tmp_path: Path,
) -> None:
    market = make_market(3)
    await screened(market, tmp_path, 64, mining={"share": 0.0})
    assert len(await screened(market, tmp_path, 8, mining={"share": 0.0})) == 72
    settings = load_settings(environment={}, home=tmp_path)
    async with research_run(settings, flow="look", lanes=1, panel=market) as run:
        assert "miner" not in {row.origin for row in read_screened(run.store, run.service)}


async def test_the_best_are_handed_on_even_where_the_generator_fails(tmp_path: Path) -> None:
    class Failing:
        async def propose(self, count: int) -> Proposals:
            raise ZeroDivisionError

    settings = load_settings(environment={}, home=tmp_path)
    async with research_run(settings, flow="daily", lanes=1, panel=make_market(3)) as run:
        best = idea("rank(close)", pnl(seed=1, drift=0.2), 2.0)
        record_screened(run.store, [best], service=run.service, run_id=run.run_id)
        ideas = ScreenedIdeas(Screening(run), Failing())
        assert [one.canonical for one in (await ideas.propose(5)).kept] == ["rank(close)"]
        with pytest.raises(ZeroDivisionError):
            await ideas.propose(5)


@pytest.mark.long
async def test_what_was_screened_for_one_seed_is_not_screened_again(tmp_path: Path) -> None:
    settings = load_settings(
        environment={}, home=tmp_path, screen={"ideas": 16, "batch": 16}, simulations=4
    )
    async with research_run(settings, flow="daily", lanes=1, panel=make_market(3)) as run:
        for seed, together in ((0, 16), (0, 16), (1, 32)):
            part: ResearchRun = run.for_phase(seed=seed)
            async with generator_of(part) as source:
                await screen_all(part, source, _propose)
            assert len(read_screened(run.store, run.service)) == together


async def test_ideas_that_were_chosen_and_not_planned_are_chosen_again(tmp_path: Path) -> None:
    settings = load_settings(environment={}, home=tmp_path)
    async with research_run(settings, flow="daily", lanes=1, panel=make_market(3)) as run:
        found = [
            idea("rank(close)", pnl(seed=1, drift=0.2), 2.0),
            idea("rank(volume)", pnl(seed=2, drift=-0.2), -1.5),
        ]
        record_screened(run.store, found, service=run.service, run_id=run.run_id)
        chosen = Screening(run).choose(2)
        assert len(chosen) == 2 and Screening(run).choose(2) == chosen
        planned = run.plan([to_plan(chosen[0])])
        assert len(planned) == 1
        assert Screening(run).choose(2) == chosen[1:]
        run.plan([to_plan(chosen[1])])
        assert Screening(run).choose(2) == []


@pytest.mark.long
@pytest.mark.parametrize("commit", range(10))
async def test_a_kill_behind_any_commit_leaves_no_best_idea_unsimulated(
    tmp_path: Path, commit: int
) -> None:
    killed = subprocess.run(
        [sys.executable, "-m", "tests.library.research.screening_killed", tmp_path, str(commit)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    market = make_market(3, reversal=0.08)
    run = await searched(market, tmp_path, **FLAGS)
    with open_store(home=tmp_path) as store:
        rows = read_screened(store, run.service)
        simulated = [row.canonical for row in read_simulations(store, service=run.service)]
    chosen = [turned_to_earn(row).canonical for row in rows if row.chosen_at is not None]
    assert chosen and set(chosen) <= set(simulated)
    assert len(simulated) == len(set(simulated))
    best = max(rows, key=lambda row: lower_bound(row.sharpe or 0.0, row.days or 0, 252.0))
    assert turned_to_earn(best).canonical in simulated
