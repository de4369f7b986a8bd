"""Screened numbers are those of a simulation, to the last bit."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from alphafoundry.errors import ConfigurationError, FoundryError
from alphafoundry.market import Panel
from alphafoundry.simulation import SimulationSettings, simulate
from alphafoundry.simulation.screening import Screened, Screener
from tests.library.research.searches import make_market

TEXTS = (
    "rank(ts_delta(close, 5))",
    "-ts_zscore(returns, 20)",
    "rank(ts_delta(close, 5)) + ts_rank(volume, 10)",
    "ts_corr(rank(close), rank(volume), 15)",
    "group_neutralize(ts_mean(returns, 3), market)",
    "trade_when(volume > adv20, -returns, -1)",
    "0 * close",
)
SETTINGS = (
    SimulationSettings(neutralization="MARKET"),
    SimulationSettings(neutralization="NONE", decay=6, truncation=0.05),
    SimulationSettings(neutralization="MARKET", pasteurization="OFF", nan_handling="ON"),
    SimulationSettings(neutralization="MARKET", delay=0, test_period="P1Y0M"),
)


@pytest.fixture(scope="module")
def market() -> Panel:
    return make_market(5, days=900)


def test_every_number_is_that_of_a_simulation(market: Panel) -> None:
    alphas = [(text, settings) for text in TEXTS for settings in SETTINGS]
    found = {one.place: one for one in Screener(market, threads=1).screen(alphas)}
    assert sorted(found) == list(range(len(alphas)))
    for place, (text, settings) in enumerate(alphas):
        one = found[place]
        try:
            alone = simulate(text, market, settings)
        except FoundryError as problem:
            assert one.reason == str(problem) and one.statistics is None
            continue
        assert repr(one.statistics) == repr(alone.statistics), (text, settings)
        assert one.days is not None
        kept = alone.days.between(0, len(one.days))
        assert one.days.pnl.tobytes() == kept.pnl.tobytes()


@pytest.mark.parametrize("together", [1, 3, 28])
def test_neither_companions_nor_order_matter(market: Panel, together: int) -> None:
    alphas = [(text, settings) for settings in SETTINGS for text in TEXTS]
    whole = {one.place: repr(one.statistics) for one in Screener(market).screen(alphas)}
    screener = Screener(market)
    for first in range(0, len(alphas), together):
        part = alphas[first : first + together][::-1]
        for one in screener.screen(part):
            assert repr(one.statistics) == whole[first + len(part) - 1 - one.place]


def test_what_cannot_be_simulated_has_a_reason_and_stops_nobody(market: Panel) -> None:
    settings = SETTINGS[0]
    texts = ("ts_mean(close", "nosuch + 1", "ts_mean(close, 899)", "returns")
    found = {one.place: one for one in Screener(market).screen([(one, settings) for one in texts])}
    assert all(found[place].reason and found[place].statistics is None for place in (0, 1, 2))
    assert found[3].statistics is not None and not found[3].reason


def test_settings_that_the_market_cannot_have_are_refused(market: Panel) -> None:
    with pytest.raises(ConfigurationError, match="COUNTRY"):
        list(Screener(market).screen([("returns", SimulationSettings(neutralization="COUNTRY"))]))


MANY = tuple(f"rank(ts_delta(close, {d})) - ts_rank(volume, {d + 3})" for d in range(2, 26))


def _in_two_steps(market: Panel, texts: tuple[str, ...], first: float) -> dict[int, Screened]:
    screener = Screener(market, threads=1, first=first, keep=0.25)
    found = list(screener.screen([(text, SETTINGS[0]) for text in texts]))
    assert sorted(one.place for one in found) == list(range(len(texts)))
    return {one.place: one for one in found}


def test_the_strongest_on_the_first_days_are_judged_on_all_of_them(market: Panel) -> None:
    found = _in_two_steps(market, MANY, 0.6)
    seen = market.until(market.dates[539])
    early = {place: simulate(text, seen, SETTINGS[0]).statistics for place, text in enumerate(MANY)}
    strongest = sorted(early, key=lambda place: -abs(early[place].sharpe))[: len(MANY) // 4]
    assert sorted(strongest) == sorted(p for p, one in found.items() if not one.stopped_early)
    for place, one in found.items():
        alone = simulate(MANY[place], market, SETTINGS[0])
        if one.stopped_early:
            assert repr(one.statistics) == repr(early[place])
            assert str(market.dates[539]) in one.reason
        else:
            assert repr(one.statistics) == repr(alone.statistics) and not one.reason
            assert one.days is not None and one.days.pnl.tobytes() == alone.days.pnl.tobytes()


def test_those_that_are_spared_are_judged_on_all_days_beside_the_share_of_the_rest(
    market: Panel,
) -> None:
    weakest = max(
        (one for one in _in_two_steps(market, MANY, 0.6).values() if one.stopped_early),
        key=lambda one: -abs(one.statistics.sharpe if one.statistics else 0.0),
    )
    screener = Screener(market, threads=1, first=0.6, keep=0.25)
    alphas = [(text, SETTINGS[0]) for text in MANY]
    found = {one.place: one for one in screener.screen(alphas, spared={weakest.place})}
    alone = simulate(MANY[weakest.place], market, SETTINGS[0])
    assert repr(found[weakest.place].statistics) == repr(alone.statistics)
    assert not found[weakest.place].stopped_early
    assert sum(not one.stopped_early for one in found.values()) == 1 + -(-(len(MANY) - 1) // 4)


def test_later_days_stop_nobody(market: Panel) -> None:
    fields = {name: values.copy() for name, values in market.fields.items()}
    for values in fields.values():
        values[400:] = 1.0 + np.random.default_rng(0).random(values[400:].shape)
    other = _in_two_steps(replace(market, fields=fields), MANY, 0.4)
    for place, one in _in_two_steps(market, MANY, 0.4).items():
        assert one.stopped_early == other[place].stopped_early
        if one.stopped_early:
            assert repr(one.statistics) == repr(other[place].statistics)


def test_what_the_first_days_cannot_judge_goes_on(market: Panel) -> None:
    texts = (*MANY[:3], "ts_delay(returns, 370)", "ts_mean(returns, 280)", "0 * close", "nosuch")
    found = _in_two_steps(market, texts, 0.4)
    assert [place for place, one in found.items() if one.stopped_early and place > 2] == []
    assert found[4].statistics is not None and math.isfinite(found[4].statistics.sharpe)
    assert sum(one.stopped_early for one in found.values()) == 2
    tested = SETTINGS[0].model_copy(update={"test_period": "P3Y0M"})
    screener = Screener(market, first=0.4, keep=0.25)
    assert not any(one.stopped_early for one in screener.screen([(t, tested) for t in MANY[:4]]))


def _some_names(market: Panel, every: int) -> Panel:
    """Return one in so many names, as a market of its own."""
    columns = list(range(every // 2, market.shape[1], every))
    return replace(
        market,
        symbols=market.symbols[columns],
        fields={name: values[:, columns].copy() for name, values in market.fields.items()},
        groups={name: labels[:, columns].copy() for name, labels in market.groups.items()},
    )


def test_the_strongest_on_some_names_are_judged_on_all_of_them(market: Panel) -> None:
    screener = Screener(market, threads=1, names=9, keep=0.25)
    found = {one.place: one for one in screener.screen([(text, SETTINGS[0]) for text in MANY])}
    assert sorted(found) == list(range(len(MANY)))
    some = _some_names(market, 3)
    early = {place: simulate(text, some, SETTINGS[0]).statistics for place, text in enumerate(MANY)}
    strongest = sorted(early, key=lambda place: -abs(early[place].sharpe))[: len(MANY) // 4]
    assert sorted(strongest) == sorted(p for p, one in found.items() if not one.stopped_early)
    for place, one in found.items():
        if one.stopped_early:
            assert repr(one.statistics) == repr(early[place])
            assert one.reason == "stopped early: judged on 10 of the 30 names alone"
        else:
            alone = simulate(MANY[place], market, SETTINGS[0])
            assert repr(one.statistics) == repr(alone.statistics) and not one.reason
            assert one.days is not None and one.days.pnl.tobytes() == alone.days.pnl.tobytes()


def test_some_names_and_the_first_days_go_together(market: Panel) -> None:
    screener = Screener(market, threads=1, first=0.6, names=9, keep=0.25)
    found = {one.place: one for one in screener.screen([(text, SETTINGS[0]) for text in MANY])}
    seen = _some_names(market.until(market.dates[539]), 3)
    stopped = [one for one in found.values() if one.stopped_early]
    assert len(stopped) == 3 * len(MANY) // 4
    for one in stopped:
        assert "10 of the 30 names and the days up to " + str(market.dates[539]) in one.reason
        alone = simulate(MANY[one.place], seen, SETTINGS[0])
        assert repr(one.statistics) == repr(alone.statistics)


def test_a_market_with_few_names_is_judged_whole(market: Panel) -> None:
    screener = Screener(market, names=16, keep=0.25)
    assert not any(one.stopped_early for one in screener.screen([(t, SETTINGS[0]) for t in MANY]))


def test_the_days_of_a_test_period_stop_nobody(market: Panel) -> None:
    tested = SETTINGS[0].model_copy(update={"test_period": "P1Y0M"})
    fields = {name: values.copy() for name, values in market.fields.items()}
    for values in fields.values():
        values[-240:] = 1.0 + np.random.default_rng(0).random(values[-240:].shape)
    there, here = (
        {
            one.place: one.stopped_early
            for one in Screener(panel, names=9, keep=0.25).screen([(t, tested) for t in MANY])
        }
        for panel in (replace(market, fields=fields), market)
    )
    assert there == here and sum(here.values()) == 3 * len(MANY) // 4


def test_some_names_are_in_the_universe_of_the_whole_market() -> None:
    wide = make_market(5, days=700, names=420)
    settings = SimulationSettings(neutralization="NONE", universe="TOP200", decay=4)
    texts = [f"rank(ts_delta(close, {days}))" for days in (2, 3, 5, 8)]
    screener = Screener(wide, threads=1, names=210, keep=0.25)
    stopped = [one for one in screener.screen([(t, settings) for t in texts]) if one.stopped_early]
    assert len(stopped) == 3
    for one in stopped:
        assert one.statistics is not None
        held = one.statistics.long_count + one.statistics.short_count
        assert 80 < held < 120
