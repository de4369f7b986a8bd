"""What is to be expected of the alphas of a store: who is heard, and who is told."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event

from alphafoundry.research import finalists
from alphafoundry.research.finalists import choose_finalists, shrunk_of
from alphafoundry.store import (
    AlphaRecord,
    DailyPnl,
    DataOrigin,
    ScreenedIdea,
    SimulationPlan,
    Store,
    begin_run,
    finish_simulation,
    mark_chosen,
    mark_sending,
    mark_sent,
    open_store,
    plan_simulations,
    record_alpha,
    record_screened,
)
from alphafoundry.store.screened import is_witness
from alphafoundry.store.simulations import simulation_key
from tests.library.research.searches import record_hopeful

DATES = np.busday_offset("2018-01-02", np.arange(750)).astype("datetime64[D]")
MARKET = DataOrigin("m", "test", "f", date(2018, 1, 2), date(2021, 1, 1))


def drawn(seed: int, drift: float = 0.0) -> tuple[DailyPnl, float]:
    """Return daily PnL with its annual Sharpe ratio."""
    values = np.random.default_rng(seed).standard_normal(len(DATES)) + drift
    return DailyPnl(DATES, values), float(values.mean() / values.std() * math.sqrt(252))


def record(store: Store, name: str, daily: DailyPnl, sharpe: float, **others: object) -> None:
    alpha = AlphaRecord(
        name, f"rank({name})", {"decay": 4}, sharpe=sharpe, fitness=0.4, turnover=0.2, **others
    )
    record_alpha(store, "local:m.3", alpha, daily_pnl=daily)


def with_luck(store: Store, count: int) -> dict[str, float]:
    """Record alphas of nothing; return id to Sharpe ratio."""
    found = {}
    for seed in range(count):
        daily, found[f"a{seed}"] = drawn(seed)
        record(store, f"a{seed}", daily, found[f"a{seed}"])
    return found


def test_of_many_the_strongest_do_not_praise_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finalists, "MOST_SHRUNK", 40)
    with open_store(home=tmp_path) as store:
        found = with_luck(store, 400)
        shrunk = shrunk_of(store, "local:m.3")
    strongest = sorted(found, key=lambda one: -abs(found[one]))[:40]
    assert set(strongest) <= set(shrunk)
    kept = [abs(shrunk[one] / found[one]) for one in strongest]
    # Heard alone, they would keep two thirds.
    assert np.median(kept) < 0.4


def test_a_hopeful_alpha_is_told_however_many_have_larger_sharpe_ratios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finalists, "MOST_SHRUNK", 40)
    with open_store(home=tmp_path) as store:
        with_luck(store, 100)
        record_hopeful(store, "local:m.3", "calm", "rank(volume)", seed=1, sharpe=0.01)
        assert "calm" in shrunk_of(store, "local:m.3")
        assert [one.alpha_id for one in choose_finalists(store, "local:m.3", trials=101)] == [
            "calm"
        ]


def simulated(store: Store, run_id: int) -> None:
    """Have the alphas of the test below been simulated."""
    plans = []
    for number in range(5):
        text = f"rank(ts_mean(close, {number + 2}))"
        plans.append(SimulationPlan(text, text, {"decay": 4}, "grammar"))
    planned = plan_simulations(store, "local:m.3", plans, run_id=run_id)
    for number, row in enumerate(planned.new):
        mark_sending(store, row.id)
        mark_sent(store, row.id, "/simulations/1")
        daily, sharpe = drawn(number, drift=0.15)
        alpha = AlphaRecord(f"a{number}", row.expression, {"decay": 4}, sharpe=sharpe)
        finish_simulation(store, row.id, "complete", alpha=alpha, daily_pnl=daily)


def statements(store: Store) -> list[str]:
    """Return a list that every statement from now on is added to."""
    asked: list[str] = []

    def keep(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    event.listen(store.engine, "before_cursor_execute", keep)
    return asked


@pytest.mark.parametrize(("market", "chosen"), [(MARKET, True), (MARKET, False), (None, True)])
def test_witnesses_are_heard_in_place_of_the_chosen_and_on_their_own_prices_alone(
    tmp_path: Path, market: DataOrigin | None, chosen: bool
) -> None:
    """Five alphas that share nothing but their drift, and 50 witnesses of luck."""
    settings = {"decay": 4}
    names = [f"ts_rank(close, {n + 2})" for n in range(600)]
    names = [name for name in names if is_witness(name, settings)][:50]
    ideas = []
    for number, name in enumerate(names):
        daily, sharpe = drawn(1000 + number)
        ideas.append(
            ScreenedIdea(name, name, settings, "grammar", sharpe=sharpe, days=750, pnl=daily)
        )
    assert len(ideas) == 50
    with open_store(home=tmp_path) as store:
        for number in range(5):
            daily, sharpe = drawn(number, drift=0.15)
            record(store, f"a{number}", daily, sharpe)
            ideas.append(
                ScreenedIdea(
                    f"reverse(rank(ts_mean(close, {number + 2})))",
                    f"-rank(ts_mean(close, {number + 2}))",
                    settings,
                    "grammar",
                    sharpe=-sharpe,
                    days=750,
                    pnl=DailyPnl(daily.dates, -daily.values),
                )
            )
        before = shrunk_of(store, "local:m.3")
        run = begin_run(store, flow="screen", service="local:m.3", data=market)
        record_screened(store, ideas, service="local:m.3", run_id=run.id)
        if chosen:
            strong = [one for one in ideas if one.canonical.startswith("reverse")]
            keys = [simulation_key(one.canonical, settings) for one in strong]
            mark_chosen(store, "local:m.3", keys)
            simulated(store, run.id)
        asked = statements(store)
        after = shrunk_of(store, "local:m.3")
    assert len([one for one in asked if "FROM simulations" in one]) == 1, asked
    assert set(after) == set(before) == {f"a{number}" for number in range(5)}
    share = [after[one] / before[one] for one in before]
    if market is None:
        assert after == before
    elif chosen:
        assert max(map(abs, share)) < 0.3
    else:
        assert min(share) > 0.3


def test_a_pnl_that_hardly_moves_has_no_number_and_stops_nobody(tmp_path: Path) -> None:
    dates = np.busday_offset("2000-01-03", np.arange(6000)).astype("datetime64[D]")
    flat = np.ones(6000)
    flat[7] = np.nextafter(np.float32(1.0), np.float32(2.0))
    with open_store(home=tmp_path) as store:
        daily, sharpe = drawn(1, drift=0.1)
        record(store, "moves", daily, sharpe)
        record(store, "flat", DailyPnl(dates, flat), 1.0, hopeful=True)
        assert set(shrunk_of(store, "local:m.3")) == {"moves"}
        assert choose_finalists(store, "local:m.3", trials=2) == []
