"""Whole simulations on a small random market."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from alphafoundry.errors import ConfigurationError, ExpressionError, MarketError, SimulationError
from alphafoundry.expressions import evaluate
from alphafoundry.market import Panel
from alphafoundry.market.universe import universe_mask
from alphafoundry.simulation import EvaluatorCache, SimulationSettings, Simulator, simulate
from tests.library.simulation import reference
from tests.library.simulation.conftest import changed_after, make_panel
from tests.some_cases import one_in

REVERSAL = "-ts_delta(close, 5)"
EXPRESSIONS = ("rank(-ts_delta(close, 5))", "group_zscore(ts_mean(returns, 3), sector) * volume")
CHOICES = {
    "delay": (0, 1),
    "decay": (0, 5),
    "neutralization": ("NONE", "MARKET", "SECTOR"),
    "truncation": (0.0, 0.05),
    "pasteurization": ("ON", "OFF"),
    "nan_handling": ("ON", "OFF"),
}
COMBINATIONS = [
    SimulationSettings(**dict(zip(CHOICES, values, strict=True)))
    for values in itertools.product(*CHOICES.values())
]


@pytest.fixture(scope="module")
def simulator(panel: Panel) -> Simulator:
    return Simulator(panel)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_nothing_after_a_day_changes_that_day_under_any_setting(
    panel: Panel, expression: str
) -> None:
    day = 571
    other = changed_after(panel, day)
    shared = {id(market): EvaluatorCache(market, most=8) for market in (panel, other)}
    for settings in COMBINATIONS:
        before, after = (
            simulate(expression, market, settings, evaluator=shared[id(market)])
            for market in (panel, other)
        )
        known = int(np.searchsorted(before.dates, panel.dates[day], side="right"))
        np.testing.assert_array_equal(before.dates, after.dates)
        np.testing.assert_array_equal(before.daily_pnl[:known], after.daily_pnl[:known])
        assert before.positions is not None
        assert after.positions is not None
        through = known + 1 + settings.delay
        np.testing.assert_array_equal(before.positions[:through], after.positions[:through])
        assert not np.array_equal(before.positions[through:], after.positions[through:])


@pytest.mark.parametrize(
    "settings", one_in(2, COMBINATIONS[::13]), ids=lambda s: f"{s.neutralization}-{s.decay}"
)
def test_a_simulation_equals_the_slow_reference(panel: Panel, settings: SimulationSettings) -> None:
    settings = settings.model_copy(update={"nan_handling": "OFF", "pasteurization": "OFF"})
    found = simulate(REVERSAL, panel, settings)
    mask, _ = universe_mask(panel, "TOP3000")
    close = pd.DataFrame(panel.fields["close"])
    group = settings.neutralization.lower()
    weights = reference.pipeline(
        -close.diff(5),
        pd.DataFrame(mask),
        None if group == "none" else pd.DataFrame(panel.groups[group]),
        days=settings.decay,
        truncation=settings.truncation,
    )
    returns = pd.DataFrame(panel.fields["returns"])
    days = reference.profit(weights, returns, settings.delay)
    days = days[int(np.argmax(days["traded"] > 0)) :]
    np.testing.assert_allclose(found.daily_pnl, days["pnl"], rtol=1e-9, atol=1e-2)
    for name, value in reference.numbers(days).items():
        assert getattr(found.statistics, name) == pytest.approx(value, rel=1e-9), name


def test_positions_earn_the_pnl(panel: Panel, simulator: Simulator) -> None:
    found = simulator.simulate(REVERSAL, keep_positions=True)
    assert found.positions is not None
    returns = np.nan_to_num(panel.fields["returns"][-len(found.dates) :])
    np.testing.assert_allclose(
        20e6 * (found.positions * returns).sum(axis=1), found.daily_pnl, atol=1e-6
    )
    assert simulator.simulate(REVERSAL).positions is None


def test_the_alpha_sees_the_universe_only_with_pasteurization(panel: Panel) -> None:
    """A name outside gets no position either way."""
    mask, _ = universe_mask(panel, "TOP200")
    for pasteurization in ("ON", "OFF"):
        settings = SimulationSettings(
            universe="TOP200", pasteurization=pasteurization, delay=0, neutralization="NONE"
        )
        found = simulate("close", panel, settings)
        assert found.positions is not None
        rows = len(found.positions)
        assert not found.positions[~mask[-1 - rows : -1]].any()


def test_delays_differ_by_one_day(simulator: Simulator) -> None:
    early = simulator.simulate(REVERSAL, SimulationSettings(delay=0), keep_positions=True)
    late = simulator.simulate(REVERSAL, SimulationSettings(delay=1), keep_positions=True)
    assert early.positions is not None
    assert late.positions is not None
    np.testing.assert_array_equal(early.positions[:-1], late.positions)


def test_train_and_test_split_the_period(simulator: Simulator) -> None:
    found = simulator.simulate(REVERSAL, SimulationSettings(test_period="P1Y0M"))
    assert found.train is not None
    assert found.test is not None
    assert found.train.pnl + found.test.pnl == pytest.approx(found.daily_pnl.sum())
    assert found.train == found.statistics
    begin = np.datetime64(found.test.start_date)
    last = np.datetime64(found.test.end_date)
    assert 360 <= int((last - begin).astype(int)) <= 366
    assert {year.stage for year in found.yearly} == {"TRAIN", "TEST"}
    without = simulator.simulate(REVERSAL)
    assert (without.train, without.test) == (None, None)
    assert found.test.end_date == without.statistics.end_date
    assert found.train.start_date == without.statistics.start_date
    assert found.daily_pnl == pytest.approx(without.daily_pnl)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"region": "EUR"}, "region 'EUR': not offered on a local market; choose USA"),
        ({"neutralization": "COUNTRY"}, "choose one of NONE, MARKET, SECTOR"),
        ({"test_period": "P6Y0M"}, "testPeriod 'P6Y0M': leaves no day to train on"),
    ],
)
def test_an_impossible_setting_is_refused_by_name(
    simulator: Simulator, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        simulator.simulate(REVERSAL, SimulationSettings(**change))


@pytest.mark.parametrize(
    "name",
    [
        *("COUNTRY", "EXCHANGE", "STATISTICAL", "CROWDING", "FAST", "SLOW", "SLOW_AND_FAST"),
        *("REVERSION_AND_MOMENTUM", "sector", ""),
    ],
)
def test_a_neutralization_that_needs_other_data_is_refused_with_the_choices(
    simulator: Simulator, name: str
) -> None:
    choices = "choose one of NONE, MARKET, SECTOR, INDUSTRY, SUBINDUSTRY"
    with pytest.raises(ConfigurationError) as caught:
        simulator.simulate(REVERSAL, SimulationSettings(neutralization=name))
    assert str(caught.value) == f"neutralization {name!r}: not offered on a local market; {choices}"


def test_a_market_without_groups_names_those_it_lacks() -> None:
    with pytest.raises(ConfigurationError) as caught:
        simulate(REVERSAL, make_panel(groups=False), SimulationSettings())
    assert str(caught.value) == (
        "neutralization 'INDUSTRY': this market has no industry groups; choose one of NONE, MARKET"
    )


@pytest.mark.parametrize("universe", ["TOP3000", "TOP1000", "TOP500", "TOP200"])
def test_a_panel_with_fewer_names_than_the_universe_says_so(
    simulator: Simulator, universe: str
) -> None:
    found = simulator.simulate(REVERSAL, SimulationSettings(universe=universe))
    note = f"This market has 60 names, so {universe} is all of them"
    assert note in found.notes
    assert f"note: {note}" in repr(found)


def test_an_unused_variable_is_noted(simulator: Simulator) -> None:
    found = simulator.simulate(f"a = close; b = volume; {REVERSAL}")
    assert "Found unused variables a, b; BRAIN would refuse to submit" in found.notes


def test_an_unknown_universe_is_refused_with_the_choices(simulator: Simulator) -> None:
    with pytest.raises(MarketError, match=r"'TOP7'.*TOP3000"):
        simulator.simulate(REVERSAL, SimulationSettings(universe="TOP7"))


def test_an_unknown_field_is_refused_at_its_place(simulator: Simulator) -> None:
    with pytest.raises(ExpressionError, match='unknown variable "clos"'):
        simulator.simulate("rank(clos)")


@pytest.mark.parametrize("expression", ["ts_delta(close, 200)", "0 * close", "close * 0 / 0"])
def test_a_short_or_empty_life_is_an_error(simulator: Simulator, expression: str) -> None:
    with pytest.raises(SimulationError, match=r"^Simulation length is below cutoff of 500 days$"):
        simulator.simulate(expression)


def test_an_evaluator_of_another_market_is_refused(panel: Panel, simulator: Simulator) -> None:
    with pytest.raises(ConfigurationError, match="another panel"):
        simulate(REVERSAL, make_panel(seed=5), evaluator=simulator.evaluators)


def test_unit_warnings_come_with_the_result(simulator: Simulator) -> None:
    found = simulator.simulate("close + volume")
    assert found.warnings
    assert found.warnings[0].startswith('Incompatible unit for input of "add" at index 1')
    assert [check.result for check in found.checks if check.name == "UNITS"] == ["WARNING"]


def test_notes_say_where_the_market_is_not_what_the_settings_name(simulator: Simulator) -> None:
    notes = "\n".join(
        simulator.simulate(REVERSAL, SimulationSettings(neutralization="SECTOR")).notes
    )
    assert "This market has 60 names, so TOP3000 is all of them" in notes
    assert "LOW_SUB_UNIVERSE_SHARPE compares with the most liquid half of the 60 names" in notes
    assert "25% of the names have no known sector" in notes


def test_without_volume_no_smaller_universe_is_made_up(panel: Panel) -> None:
    fields = {name: values for name, values in panel.fields.items() if name != "volume"}
    found = simulate(REVERSAL, make_panel(fields=fields))
    assert "LOW_SUB_UNIVERSE_SHARPE" not in {check.name for check in found.checks}
    assert any("no volume" in note and "LOW_SUB_UNIVERSE" in note for note in found.notes)


def test_the_sub_universe_check_is_the_alpha_on_the_liquid_half(
    panel: Panel, simulator: Simulator
) -> None:
    settings = SimulationSettings(neutralization="NONE", truncation=0.0)
    found = simulator.simulate("close", settings)
    check = next(check for check in found.checks if check.name == "LOW_SUB_UNIVERSE_SHARPE")
    liquid = panel.fields["volume"] * panel.fields["close"]
    traded = pd.DataFrame(np.nan_to_num(liquid))
    mask, _ = universe_mask(panel, "TOP3000")
    inside = np.zeros_like(mask)
    for day in range(1, len(mask), 21):
        average = traded.iloc[max(0, day - 63) : day].mean().where(mask[day], -1.0)
        best = average.sort_values(ascending=False).index[: mask[day].sum() // 2]
        inside[day : day + 21, best] = True
    close = pd.DataFrame(np.where(inside & mask, panel.fields["close"], np.nan))
    centered = close.sub(close.mean(axis=1), axis=0)
    weights = centered.div(centered.abs().sum(axis=1), axis=0).fillna(0.0)
    days = reference.profit(weights, pd.DataFrame(panel.fields["returns"]), 1)
    expected = reference.numbers(days[-len(found.dates) :])["sharpe"]
    assert check.value == pytest.approx(expected, abs=0.0051)


def test_record_sets_have_brains_form(simulator: Simulator) -> None:
    settings = SimulationSettings(visualization=True, neutralization="MARKET")
    found = simulator.simulate(REVERSAL, settings)
    assert found.record_set_names == (
        "pnl",
        "daily-pnl",
        "sharpe",
        "turnover",
        "yearly-stats",
        "coverage",
        "pnl-by-sector",
        "sharpe-by-sector",
        "average-size-by-sector",
        "coverage-by-sector",
        "pnl-by-industry",
        "sharpe-by-industry",
        "average-size-by-industry",
        "coverage-by-industry",
    )
    tables: dict[str, Any] = {name: found.record_set(name) for name in found.record_set_names}
    for name, table in tables.items():
        assert table["schema"]["name"] == name
        width = len(table["schema"]["properties"])
        assert all(len(row) == width for row in table["records"])
    assert tables["pnl"]["schema"]["properties"] == [
        {"name": "date", "title": "Date", "type": "date"},
        {"name": "pnl", "title": "PnL", "type": "amount"},
    ]
    daily = [value for _, value in tables["daily-pnl"]["records"]]
    np.testing.assert_allclose(daily, found.daily_pnl)
    assert tables["pnl"]["records"][-1][1] == pytest.approx(found.statistics.pnl, abs=0.01)
    sectors = dict(tables["pnl-by-sector"]["records"])
    assert set(sectors) == {"Energy", "Finance", "Health", "Unknown"}
    assert sum(sectors.values()) == pytest.approx(found.statistics.pnl, abs=0.1)
    years = [row[0] for row in tables["yearly-stats"]["records"]]
    assert years == [2018, 2019, 2020]


def test_sector_tables_need_visualization(simulator: Simulator) -> None:
    found = simulator.simulate(REVERSAL)
    assert "pnl-by-sector" not in found.record_set_names
    with pytest.raises(KeyError):
        found.record_set("pnl-by-sector")


def test_planted_effects_are_credited_with_what_they_pay(
    panel_maker: Callable[..., Panel],
) -> None:
    plain = panel_maker()
    signal = np.tile(np.sign(np.arange(60) - 29.5), (620, 1))
    truth = {"steady": 0.001 * signal, "absent": np.zeros(signal.shape)}
    fields = {**plain.fields, "returns": plain.fields["returns"] + truth["steady"]}
    market = panel_maker(fields={**fields, "signal": signal}, truth=truth)
    found = simulate("signal", market, SimulationSettings(neutralization="NONE"))
    assert found.planted is not None
    assert found.planted["absent"] == 0.0
    assert found.positions is not None
    rows = len(found.positions)
    paid = found.positions * truth["steady"][-rows:] * ~np.isnan(fields["returns"][-rows:])
    assert found.planted["steady"] * found.statistics.pnl == pytest.approx(20e6 * paid.sum())
    assert found.expected_sharpe is not None
    spread = found.daily_pnl.std()
    assert found.expected_sharpe == pytest.approx(
        math.sqrt(252) * 20e6 * paid.sum() / rows / spread
    )
    assert found.record_set("planted-effects")["records"] == [
        ["steady", round(found.planted["steady"], 4)],
        ["absent", 0.0],
    ]
    assert "planted effects explain steady" in repr(found)


def test_a_real_market_has_no_planted_effects(simulator: Simulator) -> None:
    found = simulator.simulate(REVERSAL)
    assert (found.planted, found.expected_sharpe) == (None, None)


def test_threads_share_a_simulator_and_agree_with_one_alone(panel: Panel) -> None:
    shared = Simulator(panel)
    jobs = [(text, settings) for text in EXPRESSIONS for settings in COMBINATIONS[::9]]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda job: shared.simulate(*job), jobs))
    for job, found in zip(jobs, together, strict=True):
        np.testing.assert_array_equal(found.daily_pnl, simulate(job[0], panel, job[1]).daily_pnl)


def test_only_a_few_evaluators_are_kept(panel: Panel) -> None:
    cache = EvaluatorCache(panel, most=2)
    first = cache.evaluator("TOP3000", pasteurize=True, nan_handling=False)
    assert cache.evaluator("TOP3000", pasteurize=True, nan_handling=False) is first
    cache.evaluator("TOP200", pasteurize=True, nan_handling=False)
    cache.evaluator("TOP200", pasteurize=False, nan_handling=False)
    assert repr(cache).endswith("2 evaluators)")
    assert cache.evaluator("TOP3000", pasteurize=True, nan_handling=False) is not first


def test_without_pasteurization_all_universes_share_an_evaluator(panel: Panel) -> None:
    cache = EvaluatorCache(panel)
    found = [
        cache.evaluator(name, pasteurize=False, nan_handling=True) for name in ("TOP200", "TOP500")
    ]
    assert found[0] is found[1]


def test_a_result_prints_as_a_small_table(simulator: Simulator) -> None:
    text = repr(simulator.simulate(REVERSAL, SimulationSettings(test_period="P0Y6M")))
    lines = text.splitlines()
    assert lines[:2] == [REVERSAL, "a test market"]
    assert lines[3].split()[:3] == ["sharpe", "fitness", "turnover"]
    assert [line.split()[0] for line in lines[4:7]] == ["all", "train", "test"]
    assert "failed checks:" in text
    assert max(map(len, lines[:10])) <= 100


def test_an_expression_of_the_library_gives_the_same_values(panel: Panel) -> None:
    """What `evaluate` shows in a notebook is what a simulation holds."""
    settings = SimulationSettings(
        pasteurization="OFF", delay=0, neutralization="NONE", truncation=0.0
    )
    found = simulate(REVERSAL, panel, settings)
    values = np.nan_to_num(evaluate(REVERSAL, panel))[-2]
    assert found.positions is not None
    np.testing.assert_allclose(found.positions[-1], values / np.abs(values).sum())


def test_what_is_too_good_to_be_true_is_said_so() -> None:
    """The cap of a file tells the price of twenty days later."""
    options = SimulationSettings(neutralization="MARKET")
    panel = make_panel(days=620)
    ahead = panel.fields["close"].copy()
    ahead[:-20] = ahead[20:]
    panel = replace(panel, fields={**panel.fields, "cap": ahead})
    honest = simulate("rank(ts_delta(close, 20) / close)", panel, options)
    assert not any("too good" in note for note in honest.notes)
    leaking = simulate("rank(cap / close)", panel, options)
    assert leaking.statistics.sharpe > 6.0
    assert any("too good to be true" in note for note in leaking.notes)
