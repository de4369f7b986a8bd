"""SUPER simulations: what the components did, how they are combined, and no look-ahead."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from alphafoundry.errors import ConfigurationError, ExpressionError, SimulationError
from alphafoundry.expressions import parse
from alphafoundry.expressions.operators.combination import STATISTICS
from alphafoundry.market import Panel
from alphafoundry.simulation import (
    EvaluatorCache,
    SimulationSettings,
    StoredAlpha,
    SuperSettings,
    simulate,
    simulate_super,
)
from alphafoundry.simulation.components import Components
from alphafoundry.simulation.stored_alphas import MOST_OPERATORS, PROPERTIES, select_alphas
from tests.library.simulation import reference
from tests.library.simulation.conftest import changed_after, make_panel
from tests.property_tests import examples
from tests.some_cases import one_in

BOOK = 20e6
MARKET = SimulationSettings(neutralization="MARKET")
SUPER = SuperSettings(neutralization="MARKET")
EXPRESSIONS = ("rank(-ts_delta(close, 3))", "rank(volume)", "rank(close)", "-rank(close)")


def alphas_of(
    panel: Panel,
    settings: SimulationSettings = MARKET,
    *,
    keep: bool = True,
    expressions: Sequence[str] = EXPRESSIONS,
) -> list[StoredAlpha]:
    shared = EvaluatorCache(panel)
    found = []
    for name, text in zip("abcdefgh", expressions, strict=False):
        result = simulate(text, panel, settings, evaluator=shared, keep_positions=keep)
        found.append(StoredAlpha.of(result, name, name=f"alpha {name}", tags=(name, "all")))
    return found


@pytest.fixture(scope="module")
def alphas(panel: Panel) -> list[StoredAlpha]:
    return alphas_of(panel)


def frame(values: np.ndarray, panel: Panel) -> pd.DataFrame:
    return pd.DataFrame(values, index=panel.dates)


@pytest.mark.parametrize("delay", [0, 1])
def test_daily_statistics_of_components_against_pandas(panel: Panel, delay: int) -> None:
    settings = SimulationSettings(neutralization="MARKET", delay=delay)
    shared = EvaluatorCache(panel)
    components = Components(
        alphas_of(panel, settings, expressions=EXPRESSIONS[:2]),
        shared,
        SuperSettings(neutralization="MARKET", delay=delay),
    )
    returns = frame(panel.fields["returns"], panel).replace([np.inf, -np.inf], np.nan)
    price = frame(panel.fields["close"], panel).shift(1)
    for place in (0, 1):
        held = BOOK * frame(components.weights(place), panel).shift(1 + delay).fillna(0.0)
        before = held.shift(1).fillna(0.0)
        same = np.sign(held) == np.sign(before)
        kept = np.sign(held) * np.minimum(held.abs(), before.abs()).where(same, 0.0)
        traded = (held - before).abs()
        pnl = (held * returns).sum(axis=1)
        total = pnl.cumsum()
        expected = {
            "pnl": pnl,
            "returns": pnl / BOOK,
            "drawdown": (total.cummax().clip(lower=0) - total) / (BOOK / 2),
            "hold_pnl": (kept * returns).sum(axis=1),
            "trade_pnl": ((held - kept) * returns).sum(axis=1),
            "hold_value": kept.abs().sum(axis=1),
            "trade_value": traded.sum(axis=1),
            "hold_shares": (kept.abs() / price).sum(axis=1),
            "trade_shares": (traded / price).sum(axis=1),
            "turnover": traded.sum(axis=1) / BOOK,
            "long_value": held.clip(lower=0).sum(axis=1),
            "short_value": -held.clip(upper=0).sum(axis=1),
            "long_count": (held > 0).sum(axis=1),
            "short_count": (held < 0).sum(axis=1),
        }
        assert expected.keys() == set(STATISTICS)
        first = int(np.argmax((held != 0).any(axis=1)))
        for name, values in expected.items():
            found = components.statistic(name)[:, place]
            assert np.isnan(found[:first]).all()
            np.testing.assert_allclose(
                found[first:], values[first:], rtol=1e-9, atol=1e-4, err_msg=name
            )


@pytest.mark.parametrize(
    ("combo", "neutralization", "decay", "truncation"),
    one_in(
        3,
        [
            ("1", "NONE", 0, 0.0),
            ("stats = generate_stats(alpha); ts_mean(stats.returns, 5)", "MARKET", 3, 0.05),
            ("if_else(generate_stats(alpha).pnl > 0, 2, nan)", "SECTOR", 0, 0.03),
        ],
    ),
)
def test_positions_against_a_slow_reference(
    panel: Panel,
    alphas: list[StoredAlpha],
    combo: str,
    neutralization: str,
    decay: int,
    truncation: float,
) -> None:
    settings = SuperSettings(neutralization=neutralization, decay=decay, truncation=truncation)
    chosen = alphas[:3]
    result = simulate_super(chosen, panel, settings, combo=combo)
    assert result.shares is not None and result.positions is not None
    components = Components(chosen, EvaluatorCache(panel), settings)
    shares = np.where(np.isfinite(result.shares), result.shares, 0.0)
    total = np.zeros(panel.shape)
    held = np.zeros(panel.shape, bool)
    for place in range(len(chosen)):
        weights = components.weights(place)
        total += shares[:, place : place + 1] * weights
        held |= (weights != 0) & (shares[:, place : place + 1] != 0)
    labels = None if neutralization == "NONE" else panel.groups[neutralization.lower()]
    expected = reference.pipeline(
        frame(np.where(held, total, np.nan), panel),
        frame(EvaluatorCache(panel).universe("TOP3000")[0], panel),
        None if labels is None else frame(labels, panel),
        days=decay,
        truncation=truncation,
    ).to_numpy()
    first = len(panel.dates) - len(result.dates) - 2
    np.testing.assert_allclose(result.positions, expected[first:-2], atol=1e-10)
    earned = (expected[first:-2] * np.nan_to_num(panel.fields["returns"][first + 2 :])).sum(axis=1)
    np.testing.assert_allclose(result.daily_pnl, BOOK * earned, atol=1e-2)


def test_opposite_alphas_cancel_and_leave_the_rest(panel: Panel, alphas: list[StoredAlpha]) -> None:
    plain = simulate(EXPRESSIONS[1], panel, MARKET)
    combined = simulate_super(
        alphas, panel, SUPER, selection='in(tags, "b") || in(tags, "c") || in(tags, "d")'
    )
    assert [alpha.id for alpha in combined.components] == ["b", "c", "d"]
    assert combined.positions is not None and plain.positions is not None
    np.testing.assert_allclose(combined.positions, plain.positions, atol=1e-9)
    with pytest.raises(SimulationError, match="below cutoff"):
        simulate_super(
            alphas,
            panel,
            SuperSettings(neutralization="NONE"),
            selection='name == "alpha c" || name == "alpha d"',
        )


def test_one_component_alike_weighed_is_itself_whatever_its_weight(
    panel: Panel, alphas: list[StoredAlpha]
) -> None:
    settings = SuperSettings(neutralization="NONE", truncation=0)
    for combo in ("1", "1e9", "0.001"):
        result = simulate_super(alphas[:1], panel, settings, combo=combo)
        alone = alphas[0].result
        assert alone is not None and alone.positions is not None and result.positions is not None
        np.testing.assert_allclose(result.positions, alone.positions, atol=1e-12)
        assert result.statistics.sharpe == pytest.approx(alone.statistics.sharpe)


def test_kept_positions_and_positions_computed_again_are_the_same(panel: Panel) -> None:
    combo = "combo_a(alpha, nlength=20)"
    settings = SimulationSettings(neutralization="SECTOR", decay=3, nan_handling="ON")
    again = [
        StoredAlpha(alpha.id, alpha.expression, alpha.settings, alpha.properties)
        for alpha in alphas_of(panel, settings, keep=False)
    ]
    kept = simulate_super(alphas_of(panel, settings), panel, SUPER, combo=combo)
    for kept_bytes in (0, 2**30):
        found = simulate_super(again, panel, SUPER, combo=combo, kept_bytes=kept_bytes)
        np.testing.assert_array_equal(found.positions, kept.positions)
        np.testing.assert_array_equal(found.shares, kept.shares)


def test_the_universe_of_the_super_alpha_is_that_of_its_components() -> None:
    panel = make_panel(names=230)
    stored = alphas_of(panel, expressions=EXPRESSIONS[:2])
    settings = SuperSettings(universe="TOP200", neutralization="NONE", truncation=0)
    shared = EvaluatorCache(panel)
    inside, _ = shared.universe("TOP200")
    components = Components(stored, shared, settings)
    for place in (0, 1):
        weights = components.weights(place)
        assert not weights[~inside].any()
        sums = np.abs(weights).sum(axis=1)
        np.testing.assert_allclose(sums[sums > 0], 1.0, rtol=1e-12)
    assert np.abs(components.weights(0)).sum() > 0
    result = simulate_super(stored, panel, settings, evaluator=shared)
    assert result.positions is not None
    assert not result.positions[~inside[-2 - len(result.dates) : -2]].any()


@pytest.mark.parametrize(
    "combo",
    [
        "1",
        "combo_a(alpha, nlength=15)",
        "stats = generate_stats(alpha); 1 - reduce_max(self_corr(stats.returns, 9) - 2)",
        "rank(ts_mean(generate_stats(alpha).drawdown, 4)) + reduce_avg(generate_stats(alpha).pnl)",
    ],
)
def test_no_past_position_knows_the_future_of_the_components(combo: str) -> None:
    day = 545
    markets = [panel := make_panel(days=570), changed_after(panel, day)]
    for delay, decay in itertools.product((0, 1), (0, 4)):
        settings = SimulationSettings(delay=delay, neutralization="SECTOR")
        before, after = (
            simulate_super(
                alphas_of(market, settings, keep=False, expressions=EXPRESSIONS[:3]),
                market,
                SuperSettings(delay=delay, decay=decay, neutralization="SECTOR", truncation=0.05),
                combo=combo,
            )
            for market in markets
        )
        known = int(np.searchsorted(before.dates, markets[0].dates[day], side="right"))
        np.testing.assert_array_equal(before.daily_pnl[:known], after.daily_pnl[:known])
        assert before.shares is not None and after.shares is not None
        np.testing.assert_array_equal(before.shares[: day + 1], after.shares[: day + 1])
        assert before.positions is not None and after.positions is not None
        through = known + 1 + delay
        np.testing.assert_array_equal(before.positions[:through], after.positions[:through])
        assert not np.array_equal(before.positions[through:], after.positions[through:])


@settings(max_examples=examples(34), deadline=None)
@given(
    row=st.integers(1, 610),
    seed=st.integers(0, 99),
    delay=st.sampled_from([0, 1]),
    combo=st.sampled_from(
        ["1", "combo_a(alpha, nlength=9)", "stats = generate_stats(alpha); rank(stats.turnover)"]
    ),
)
def test_later_positions_of_components_change_no_earlier_one(
    row: int, seed: int, delay: int, combo: str
) -> None:
    panel, stored = stored_with(delay)
    changed = []
    for alpha in stored:
        result = alpha.result
        assert result is not None and result.positions is not None
        positions = result.positions.copy()
        other = np.random.default_rng(seed).normal(size=positions[row:].shape)
        positions[row:] = other / np.abs(other).sum(axis=1, keepdims=True)
        changed.append(replace(alpha, result=replace(result, positions=positions)))
    wanted = SuperSettings(delay=delay, neutralization="SECTOR", decay=3)
    before, after = (
        simulate_super(alphas, panel, wanted, combo=combo) for alphas in (stored, changed)
    )
    day = stored[0].result.dates[row] if stored[0].result else None
    known = int(np.searchsorted(before.dates, day))
    assert before.positions is not None and after.positions is not None
    np.testing.assert_array_equal(before.positions[:known], after.positions[:known])
    assert not np.array_equal(before.positions[known:], after.positions[known:])


@cache
def stored_with(delay: int) -> tuple[Panel, list[StoredAlpha]]:
    panel = make_panel()
    own = SimulationSettings(delay=delay, neutralization="MARKET")
    return panel, alphas_of(panel, own, expressions=["rank(close)", "-rank(volume)"])


def test_who_is_chosen_and_in_which_order(panel: Panel, alphas: list[StoredAlpha]) -> None:
    def chosen(selection: str, **settings: object) -> list[str]:
        wanted = SuperSettings.model_validate({"neutralization": "NONE", **settings})
        result = simulate_super(alphas, panel, wanted, selection=selection)
        return [alpha.id for alpha in result.components]

    by_turnover = sorted(alphas, key=lambda alpha: -float(str(alpha.properties["turnover"])))
    assert chosen("turnover", selection_limit=10) == [alpha.id for alpha in by_turnover]
    assert chosen("own") == ["a", "b", "c", "d"]
    assert chosen('in(tags, "b") - in(tags, "a")') == ["b"]
    assert chosen('in(tags, "b") - in(tags, "a")', selection_handling="NON_ZERO") == ["b", "a"]
    assert chosen(
        'in(tags, "b") - in(tags, "a")', selection_handling="NON_NAN", selection_limit=10
    ) == ["b", "c", "d", "a"]
    assert chosen("operator_count == 1 && datafield_count == 1") == ["b", "c"]
    assert chosen('in(datafields, "volume") && universe_size(universe) == 3000') == ["b"]
    assert chosen("decay == 0 && neutralization == 'MARKET' && truncation > 0.05 && name != ''")


def test_only_alphas_of_the_same_delay_are_looked_at(panel: Panel) -> None:
    other = alphas_of(panel, SimulationSettings(neutralization="MARKET", delay=0))
    with pytest.raises(SimulationError, match="chooses none of 0 alphas of delay 1"):
        simulate_super(other, panel, SUPER)


def test_too_many_operators_leave_out_the_last_and_say_so() -> None:
    expression = parse(f"add({', '.join(['rank(volume)'] * 2600)})")
    assert expression.operator_count == 2601
    stored = [StoredAlpha(name, expression, MARKET) for name in "abcd"]
    kept, notes = select_alphas("1", stored, SUPER)
    assert [alpha.id for alpha in kept] == ["a", "b", "c"]
    assert any(f"{MOST_OPERATORS} operators" in note for note in notes)


def test_checks_and_notes_are_those_of_a_super_alpha(
    panel: Panel, alphas: list[StoredAlpha]
) -> None:
    settings = SuperSettings(neutralization="MARKET", visualization=True, test_period="P1Y0M")
    result = simulate_super(alphas[1:2], panel, settings, selection="sharpe > -99")
    limits = {check.name: check.limit for check in result.checks}
    assert (limits["LOW_TURNOVER"], limits["HIGH_TURNOVER"]) == (0.02, 0.4)
    assert any("looks at sharpe of the whole period" in note for note in result.notes)
    assert any("1 of 1 components are not submitted" in note for note in result.notes)
    assert {"pnl", "yearly-stats", "pnl-by-sector"} <= set(result.record_set_names)
    assert result.train is not None and result.test is not None
    text = repr(result)
    assert text.startswith("selection sharpe > -99\n1 components: b\ncombo 1\n")
    assert settings.to_brain()["selectionHandling"] == "POSITIVE"


def test_what_cannot_be_simulated_is_refused_by_name(
    panel: Panel, alphas: list[StoredAlpha]
) -> None:
    with pytest.raises(SimulationError, match="chooses none of 4 alphas"):
        simulate_super(alphas, panel, SUPER, selection="turnover > 99")
    with pytest.raises(ExpressionError, match=r"own \* trunover:1:7: .*did you mean 'turnover'"):
        simulate_super(alphas, panel, SUPER, selection="own * trunover")
    with pytest.raises(ExpressionError, match=r"combo_b\(alpha\):1:1: .*did you mean 'combo_a'"):
        simulate_super(alphas, panel, SUPER, combo="combo_b(alpha)")
    with pytest.raises(ConfigurationError, match="alpha a: its positions are of another market"):
        simulate_super(alphas, make_panel(names=50), SUPER)
    with pytest.raises(ConfigurationError, match="neutralization 'COUNTRY'"):
        simulate_super(alphas, panel, SuperSettings(neutralization="COUNTRY"))
    with pytest.raises(SimulationError, match="below cutoff of 500 days"):
        simulate_super(alphas, panel, SUPER, combo="combo_a(alpha, nlength=250)")
    for wrong in ({"selection_limit": 5}, {"selection_handling": "ALL"}):
        with pytest.raises(ValidationError):
            SuperSettings.model_validate(wrong)


def test_the_page_names_every_property_and_statistic() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "super.md").read_text(encoding="utf-8")
    missing = [name for name in (*PROPERTIES, *STATISTICS) if f"`{name}`" not in page]
    assert missing == []
