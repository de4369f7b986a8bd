"""Nothing that comes after a day may change it, where the universe is a choice of names."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from alphafoundry.market import Panel
from alphafoundry.simulation import EvaluatorCache, SimulationSettings, simulate
from tests.library.simulation.conftest import changed_after, make_panel

DAY = 551
NAMES = 230
EXPRESSIONS = (
    "group_neutralize(extra * rank(-ts_delta(close, 5)), sector)",
    "ts_rank(volume, 20) - group_mean(extra, 1, industry)",
)


def extended(panel: Panel, seed: int, *, after: int = -1) -> Panel:
    """Return the panel with a field that may be infinite and groups that change, from a day on."""
    shape = panel.shape
    draw = np.random.default_rng(0)
    extra = draw.normal(size=shape)
    extra[draw.random(shape) < 0.01] = np.inf
    sector = draw.integers(-1, 5, size=shape).astype(np.int32)
    other = np.random.default_rng(seed)
    extra[after + 1 :] = other.normal(size=extra[after + 1 :].shape)
    sector[after + 1 :] = other.integers(-1, 9, size=sector[after + 1 :].shape)
    fields = {**panel.fields, "extra": extra}
    groups = {**panel.groups, "sector": sector, "industry": sector // 2}
    return Panel(**{**vars(panel), "fields": fields, "groups": groups})


@pytest.fixture(scope="module")
def markets() -> tuple[Panel, Panel]:
    """The same market up to DAY, with another future."""
    panel = make_panel(days=570, names=NAMES)
    return (
        extended(panel, 0, after=DAY),
        extended(changed_after(panel, DAY), 1, after=DAY),
    )


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("universe", ["TOP200", "TOP3000"])
def test_no_field_group_or_universe_reaches_back(
    markets: tuple[Panel, Panel], universe: str, expression: str
) -> None:
    shared = [EvaluatorCache(market, most=4) for market in markets]
    for delay, pasteurization, neutralization in itertools.product(
        (0, 1), ("ON", "OFF"), ("NONE", "SECTOR", "INDUSTRY")
    ):
        settings = SimulationSettings(
            universe=universe,
            delay=delay,
            decay=4,
            truncation=0.02,
            neutralization=neutralization,
            pasteurization=pasteurization,
        )
        before, after = (
            simulate(expression, market, settings, evaluator=cache)
            for market, cache in zip(markets, shared, strict=True)
        )
        known = int(np.searchsorted(before.dates, markets[0].dates[DAY], side="right"))
        np.testing.assert_array_equal(before.daily_pnl[:known], after.daily_pnl[:known])
        assert before.positions is not None
        assert after.positions is not None
        through = known + 1 + delay
        np.testing.assert_array_equal(before.positions[:through], after.positions[:through])
        assert not np.array_equal(before.positions[through:], after.positions[through:])


def test_the_universe_decides_who_is_seen_and_who_is_held(markets: tuple[Panel, Panel]) -> None:
    market = markets[0]
    shared = EvaluatorCache(market)
    inside, _ = shared.universe("TOP200")
    assert 150 < inside[DAY].sum() < NAMES
    found = {}
    for pasteurization in ("ON", "OFF"):
        settings = SimulationSettings(
            universe="TOP200", delay=0, neutralization="NONE", pasteurization=pasteurization
        )
        result = simulate("rank(close)", market, settings, evaluator=shared)
        assert result.positions is not None
        rows = len(result.positions)
        assert not result.positions[~inside[-1 - rows : -1]].any()
        found[pasteurization] = result.positions
    assert not np.allclose(found["ON"], found["OFF"])
