"""What the grammar draws, and what it learns."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.errors import ConfigurationError
from alphafoundry.expressions import (
    DEFAULT_FIELDS,
    OPERATORS,
    Evaluator,
    Expression,
    FieldInfo,
    check,
    parse,
)
from alphafoundry.research import GrammarGenerator, Outcome
from alphafoundry.research.experience import Experience, shapes
from alphafoundry.simulation.settings import SimulationSettings
from tests.property_tests import examples

FIELDS = {
    **DEFAULT_FIELDS,
    "equity": FieldInfo("equity", "MATRIX"),
    "assets": FieldInfo("assets", "MATRIX"),
    "news_score": FieldInfo("news_score", "VECTOR"),
}
BASE = sorted(name for name, operator in OPERATORS.items() if operator.tier == "base")
MARKET = {name: info for name, info in DEFAULT_FIELDS.items() if name not in ("split", "dividend")}


@settings(max_examples=examples(120), deadline=None)
@given(
    st.sets(st.sampled_from(sorted(FIELDS)), min_size=0),
    st.sampled_from(["close", "returns", "volume"]),
    st.integers(0, 2**32),
    st.integers(0, 10_000),
)
def test_every_draw_is_valid_without_a_unit_warning(
    names: set[str], least: str, seed: int, index: int
) -> None:
    fields = {name: FIELDS[name] for name in names | {least}}
    drawn = GrammarGenerator(fields, OPERATORS, seed=seed).draw(index)
    again = parse(drawn.text)
    assert check(again, fields) == ()
    assert again.canonical == drawn.canonical
    assert 1 <= drawn.operator_count <= 12
    assert drawn.fields & fields.keys()


@settings(max_examples=examples(60), deadline=None)
@given(st.sets(st.sampled_from(BASE)), st.integers(0, 1000))
def test_only_operators_of_the_account_are_used(some: set[str], seed: int) -> None:
    allowed = some | {"ts_zscore", "rank"}
    drawn = GrammarGenerator(MARKET, allowed, seed=seed).draw(0)
    assert drawn.operators <= allowed | {"reverse"}
    check(drawn, MARKET, operators=allowed | {"reverse"})


def test_a_market_of_close_and_returns_alone_gives_many_different_alphas() -> None:
    fields = {name: DEFAULT_FIELDS[name] for name in ("close", "returns")}
    proposals = asyncio.run(GrammarGenerator(fields, BASE, seed=4).propose(200))
    assert len({proposal.canonical for proposal in proposals.kept}) == 200


def test_a_market_without_anything_to_use_says_so() -> None:
    with pytest.raises(ConfigurationError, match="no alpha can be made"):
        GrammarGenerator({"sector": DEFAULT_FIELDS["sector"]}, BASE, seed=1).draw(0)


def test_draws_depend_on_the_seed_and_their_number_only() -> None:
    generator = GrammarGenerator(MARKET, BASE, seed=11)
    forwards = [generator.draw(i).text for i in range(20)]
    fresh = GrammarGenerator(dict(reversed(MARKET.items())), list(reversed(BASE)), seed=11)
    assert [fresh.draw(i).text for i in reversed(range(20))] == forwards[::-1]
    other = GrammarGenerator(MARKET, BASE, seed=12)
    assert [other.draw(i).text for i in range(20)] != forwards


async def test_proposals_are_new_and_carry_the_settings() -> None:
    chosen = SimulationSettings(decay=4)
    generator = GrammarGenerator(MARKET, BASE, seed=5, settings=chosen)
    first = await generator.propose(30)
    known = [Outcome(proposal.expression, None) for proposal in first.kept]
    resumed = GrammarGenerator(MARKET, BASE, seed=5, settings=chosen, history=known)
    second = await resumed.propose(30)
    names = [proposal.canonical for proposal in first.kept + second.kept]
    assert len(names) == len(set(names)) == 60
    assert {proposal.settings for proposal in first.kept} == {chosen}
    assert {proposal.origin for proposal in first.kept} == {"grammar"}


def random_panel(seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    shape = (500, 40)
    returns = rng.normal(0.0, 0.02, shape)
    close = 50 * np.exp(np.cumsum(returns, axis=0))
    opening = close * np.exp(rng.normal(0, 0.01, shape))
    high = np.maximum(opening, close) * np.exp(np.abs(rng.normal(0, 0.01, shape)))
    low = np.minimum(opening, close) * np.exp(-np.abs(rng.normal(0, 0.01, shape)))
    volume = np.exp(rng.normal(12, 0.5, shape))
    adv20 = np.array([volume[max(0, t - 19) : t + 1].mean(axis=0) for t in range(shape[0])])
    fields = {
        "open": opening,
        "high": high,
        "low": low,
        "close": close,
        "vwap": (high + low + close) / 3,
        "volume": volume,
        "adv20": adv20,
        "returns": np.expm1(returns),
        "cap": close * np.exp(rng.normal(14, 1, shape[1])),
        "sharesout": np.exp(rng.normal(14, 1, shape)),
    }
    groups = {
        name: np.tile((np.arange(shape[1]) % count).astype(np.int32), (shape[0], 1))
        for name, count in (("market", 1), ("sector", 3), ("industry", 6), ("subindustry", 8))
    }
    return fields, groups


def test_draws_tell_instruments_apart() -> None:
    fields, groups = random_panel(1)
    evaluator = Evaluator(fields, groups)
    generator = GrammarGenerator(MARKET, BASE, seed=3)
    useless = []
    for index in range(80):
        drawn = generator.draw(index)
        values = np.asarray(evaluator.evaluate(drawn))[300:]
        distinct = [len(np.unique(row[np.isfinite(row)])) for row in values]
        if np.median(distinct) < 2:
            useless.append(drawn.text)
    assert len(useless) <= 4, useless


def test_a_plain_sample_contains_both_reversal_and_momentum() -> None:
    fields, groups = random_panel(2)
    evaluator = Evaluator(fields, groups)
    past_week = np.asarray(evaluator.evaluate("ts_sum(returns, 5)"))[300:]
    past_quarter = np.asarray(evaluator.evaluate("ts_delay(ts_sum(returns, 60), 5)"))[300:]
    reversal = momentum = 0
    for seed in range(5):
        generator = GrammarGenerator(MARKET, BASE, seed=seed)
        drawn = [np.asarray(evaluator.evaluate(generator.draw(i)))[300:] for i in range(36)]
        reversal += any(likeness(values, past_week) < -0.5 for values in drawn)
        momentum += any(likeness(values, past_quarter) > 0.4 for values in drawn)
    assert reversal >= 4
    assert momentum >= 4


def test_capitalisation_is_not_correlated_with_the_price_that_it_is_made_of() -> None:
    fields = {name: DEFAULT_FIELDS[name] for name in ("close", "cap")}
    generator = GrammarGenerator(fields, BASE, seed=2)
    assert not any("ts_corr" in generator.draw(i).operators for i in range(200))


def likeness(values: np.ndarray, other: np.ndarray) -> float:
    """The mean over days of the cross-sectional rank correlation."""
    found = []
    for ours, theirs in zip(values[::5], other[::5], strict=True):
        known = np.isfinite(ours) & np.isfinite(theirs)
        if known.sum() > 10 and len(np.unique(ours[known])) > 2:
            ranks = [np.argsort(np.argsort(row[known])) for row in (ours, theirs)]
            found.append(np.corrcoef(*ranks)[0, 1])
    return float(np.mean(found)) if found else 0.0


@pytest.mark.long
def test_what_worked_before_is_drawn_more_often_and_the_rest_still_sometimes() -> None:
    plain = GrammarGenerator(MARKET, BASE, seed=21)
    drawn = [plain.draw(i) for i in range(300)]

    def uses_volume(expression: Expression) -> bool:
        return bool(expression.fields & {"volume", "adv20"})

    history = [Outcome(one.text, 1.4 if uses_volume(one) else 0.05) for one in drawn]
    taught = GrammarGenerator(MARKET, BASE, seed=22, history=history)
    before = np.mean([uses_volume(one) for one in drawn])
    after = np.mean([uses_volume(taught.draw(i)) for i in range(150)])
    assert after > before + 0.2
    assert after < 0.97


def test_steady_losses_teach_the_other_sign() -> None:
    plain = GrammarGenerator(MARKET, BASE, seed=31)
    losers = [f"rank(ts_delta({name}, {days}))" for name in ("close", "open") for days in (2, 3, 4)]
    drawn = [plain.draw(i).text for i in range(60)]
    history = [Outcome(text, 0.0) for text in drawn] + [Outcome(text, -1.2) for text in losers]
    experience = Experience(history)
    assert experience.lift("shape - ts_delta:days close") > 1.5
    assert experience.lift("shape + ts_delta:days close") < 1.0
    turned = parse("reverse(rank(ts_delta(close, 3)))")
    assert experience.weight(turned) > 2 * experience.weight(parse("rank(ts_delta(close, 3))"))


def test_the_lift_is_the_smoothed_success_rate_over_the_average() -> None:
    experience = Experience(
        [Outcome("rank(close)", 1.0), Outcome("zscore(close)", 0.0), Outcome("rank(open)", 0.5)]
    )
    average = (1.0 + 0.0 + 0.5) / 3
    assert experience.lift("operator rank") == pytest.approx(
        (1.5 + 4 * average) / (2 + 4) / average
    )
    assert experience.lift("operator never_seen") == pytest.approx(1.0)
    assert Experience().weight(parse("rank(close)")) == 1.0


def test_shapes_know_sign_and_horizon() -> None:
    assert shapes(parse("rank(-ts_delta(close, 5)) + ts_mean(volume, 20) / adv20")) == {
        "shape - ts_delta:days close",
        "shape + ts_mean:weeks volume",
        "shape - adv20",
    }
    assert shapes(parse("-1 * (close - open)")) == {"shape - close", "shape + open"}


def test_unreadable_history_is_passed_over() -> None:
    history = [Outcome("rank(", 3.0), Outcome("rank(gone)", 2.0), Outcome("rank(close)", None)]
    drawn = GrammarGenerator(MARKET, BASE, seed=1, history=history).draw(0)
    assert check(drawn, MARKET) == ()


async def test_children_of_good_alphas_name_their_parent() -> None:
    history = [
        Outcome("rank(-ts_zscore(close, 5))", 1.5),
        Outcome("group_neutralize(ts_sum(returns, 120), sector)", -1.2),
    ]
    generator = GrammarGenerator(
        MARKET, BASE, seed=8, history=history, exploration=0.0, evolution=1.0
    )
    kept = (await generator.propose(40)).kept
    parents = {proposal.parent for proposal in kept if proposal.parent}
    assert parents == {
        "rank(reverse(ts_zscore(close, 5)))",
        "reverse(group_neutralize(ts_sum(returns, 120), sector))",
    }
    assert all((proposal.parent is None) == (proposal.variation is None) for proposal in kept)
