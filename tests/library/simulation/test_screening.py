"""Screened numbers are those of a simulation, to the last bit."""

from __future__ import annotations

import pytest

from alphafoundry.errors import ConfigurationError, FoundryError
from alphafoundry.market import Panel
from alphafoundry.simulation import SimulationSettings, simulate
from alphafoundry.simulation.screening import Screener
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
