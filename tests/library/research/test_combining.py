"""Sums of unlike alphas and variations of the strongest, proposed from what was found."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.expressions import DEFAULT_FIELDS, OPERATORS, check, parse
from alphafoundry.research.combining import (
    MOST_OPERATORS,
    UNLIKE_PARTS,
    UNLIKE_SUMS,
    Combiner,
    Parts,
    Step,
    Trial,
    best_sums,
    choose_parts,
    lower_bound,
    sum_of,
)
from alphafoundry.research.sameness import essence
from alphafoundry.simulation.settings import SimulationSettings
from tests.property_tests import examples

FIELDS = {name: DEFAULT_FIELDS[name] for name in ("close", "open", "volume", "returns", "sector")}
NAMES = OPERATORS.names("REGULAR")
BASE = SimulationSettings(decay=4, neutralization="MARKET")
TEXTS = (
    "rank(-ts_delta(close, 5) / close)",
    "ts_rank(volume, 5)",
    "group_rank(ts_mean(returns, 60), sector)",
    "-ts_corr(close, volume, 10)",
    "ts_zscore(returns, 20)",
    "zscore(ts_std_dev(returns, 20))",
    "close / open - 1",
)
DAYS = 1000


def trial(number: int, sharpe: float, text: str | None = None) -> Trial:
    expression = parse(text or TEXTS[number])
    return Trial(f"a{number}", expression, BASE, sharpe, DAYS)


def correlated(count: int, seed: int, *, like: float = 0.3) -> np.ndarray:
    draw = np.random.default_rng(seed)
    common = draw.standard_normal((DAYS, 1))
    own = draw.standard_normal((DAYS, count))
    sign = draw.choice([-1.0, 1.0], count)
    return np.corrcoef(sign * (math.sqrt(like) * common + math.sqrt(1 - like) * own), rowvar=False)


def asked(
    trials: list[Trial],
    correlation: np.ndarray,
    count: int = 8,
    *,
    known: tuple[str, ...] = (),
    number: int = 0,
    seed: int = 1,
    **options: float,
) -> list[Step]:
    combiner = Combiner(FIELDS, NAMES, settings=BASE, seed=seed, **options)  # type: ignore[arg-type]
    return combiner.ask(count, trials, correlation, number=number, known=known, periods=252.0)


def test_the_lower_bound_is_the_quantile_of_simulated_sharpe_ratios() -> None:
    """Of 4000 records of 1000 normal days with a Sharpe ratio of 2, a fifth lies below it."""
    draw = np.random.default_rng(5).standard_normal((4000, 1000)) + 2.0 / math.sqrt(252)
    drawn = draw.mean(axis=1) / draw.std(axis=1) * math.sqrt(252)
    assert lower_bound(2.0, 1000, 252.0) == pytest.approx(np.quantile(drawn, 0.2), abs=0.05)
    assert lower_bound(-2.0, 1000, 252.0) == lower_bound(2.0, 1000, 252.0)
    assert NormalDist().cdf(-0.84) == pytest.approx(0.2, abs=0.001)


def test_parts_are_strong_short_and_unlike_each_other() -> None:
    long = " + ".join(f"rank(ts_delta(close, {n}) / close)" for n in range(2, 9))
    trials = [
        trial(0, 2.0),
        trial(1, 1.8),
        trial(2, -1.9),
        trial(3, 0.3),
        trial(4, 3.0, long),
    ]
    correlation = np.eye(5)
    correlation[0, 1] = correlation[1, 0] = 0.9
    parts = choose_parts(trials, correlation, most=4, periods=252.0)
    # a1 moves like the better a0, a3 is within what luck gives, and a4 is too long.
    assert [one.alpha_id for one in parts.trials] == ["a0", "a2"]
    # Less is expected of them than they had, and of the stronger one more.
    assert 1.9 > parts.sharpe[0] > parts.sharpe[1] > 1.0
    # An alpha that moves against another one is like it once it is turned.
    opposite = correlation.copy()
    opposite[0, 2] = opposite[2, 0] = -0.9
    assert [
        one.alpha_id for one in choose_parts(trials, opposite, most=4, periods=252.0).trials
    ] == ["a0"]


@settings(max_examples=examples(50), deadline=None)
@given(
    count=st.integers(2, 7),
    seed=st.integers(0, 10_000),
    like=st.floats(0.0, 0.5),
    most=st.integers(1, 4),
)
def test_sums_come_best_first_as_the_pnl_itself_says(
    count: int, seed: int, like: float, most: int
) -> None:
    """The reference adds up daily PnL of equal risk and takes its Sharpe ratio, the obvious way."""
    draw = np.random.default_rng(seed)
    shift = draw.uniform(0.2, 0.4, count)
    raw = draw.standard_normal((DAYS, count)) + like * draw.standard_normal((DAYS, 1)) + shift
    unit = raw / raw.std(axis=0)
    daily = unit.mean(axis=0)
    trials = tuple(trial(n, math.sqrt(252) * daily[n]) for n in range(count))
    parts = Parts(
        trials,
        np.array([one.sharpe for one in trials]),
        np.corrcoef(unit, rowvar=False),
        np.empty((count, 0)),
    )

    def sharpe(members: tuple[int, ...]) -> float:
        pnl = unit[:, list(members)].sum(axis=1)
        return float(pnl.mean() / pnl.std())

    found = list(best_sums(parts, most_parts=most))
    worth = [sharpe(one) for one in found]
    assert worth == sorted(worth, reverse=True)
    every = [c for size in range(2, most + 1) for c in combinations(range(count), size)]
    if every:
        assert sharpe(found[0]) == pytest.approx(max(map(sharpe, every)))
    else:
        assert not found
    for one, other in combinations(found, 2):
        pnl = [unit[:, list(members)].sum(axis=1) for members in (one, other)]
        assert np.corrcoef(pnl)[0, 1] <= UNLIKE_SUMS + 1e-9


def test_no_sum_is_foretold_to_move_like_what_was_simulated() -> None:
    """The sum of the two strongest is known already, though it is written in another way."""
    draw = np.random.default_rng(4)
    pnl = draw.standard_normal((DAYS, 3))
    together = np.column_stack([pnl, -(pnl[:, 0] + pnl[:, 1])])
    known = trial(3, -3.0, " + ".join(f"rank(ts_delta(close, {n}) / close)" for n in range(2, 9)))
    trials = [*(trial(n, 2.0) for n in range(3)), known]
    steps = asked(trials, np.corrcoef(together, rowvar=False), most_parts=2, variations=0.0)
    sums = {frozenset(one.parts) for one in steps if len(one.parts) == 2}
    assert sums == {frozenset(("a0", "a2")), frozenset(("a1", "a2"))}


def test_no_variation_holds_the_book_of_a_known_alpha() -> None:
    alone = [trial(0, 2.0)]
    known = {parse(TEXTS[0]).canonical}
    for number in range(4):
        steps = asked(alone, np.eye(1), 12, known=tuple(known), number=number)
        texts = [one.proposal.canonical for one in steps]
        books = {essence(text, neutral=True) for text in texts}
        assert len(books) == len(texts)
        assert not books & {essence(text, neutral=True) for text in known}
        known.update(texts)


def test_a_loser_is_turned_alone_and_within_a_sum() -> None:
    trials = [trial(0, 2.0), trial(1, -1.9)]
    steps = asked(trials, np.eye(2), variations=0.0)
    texts = {one.proposal.canonical: one for one in steps}
    turned = parse(f"reverse({TEXTS[1]})").canonical
    decayed = (f"zscore(ts_decay_linear({text}, 4))" for text in (TEXTS[0], f"reverse({TEXTS[1]})"))
    both = parse(" + ".join(decayed)).canonical
    assert texts.keys() >= {turned, both}
    # What it gains is told against an alpha that earns, and a turned loser has none.
    assert texts[turned].parent_id is None
    assert texts[turned].proposal.settings == BASE
    assert texts[both].proposal.settings == BASE.model_copy(update={"decay": 0})
    assert texts[both].parent_id == "a0"
    assert set(texts[both].parts) == {"a0", "a1"}


def test_a_sum_is_the_same_in_any_order_and_scales_each_part_once() -> None:
    trials = [trial(0, 2.0), trial(5, 1.0), trial(2, 1.0)]
    assert sum_of(trials).canonical == sum_of(trials[::-1]).canonical
    undecayed = BASE.model_copy(update={"decay": 0})
    plain = [replace(one, settings=undecayed) for one in trials]
    assert "zscore(zscore" not in sum_of(plain).canonical
    assert "ts_decay_linear" not in sum_of(plain).canonical


def test_nothing_known_is_proposed_again_and_all_can_run() -> None:
    trials = [trial(n, 2.0 - 0.1 * n) for n in range(len(TEXTS))]
    correlation = np.eye(len(TEXTS))
    first = asked(trials, correlation, 12)
    known = tuple(one.proposal.canonical for one in first)
    second = asked(trials, correlation, 12, known=known)
    every = [one.proposal.canonical for one in (*first, *second)]
    assert len(every) == len(set(every)) == 24
    for one in (*first, *second):
        assert check(one.proposal.expression, FIELDS, operators=NAMES, levels=True) == ()


def test_a_round_is_shared_as_the_settings_say() -> None:
    trials = [trial(n, 2.0 - 0.1 * n) for n in range(len(TEXTS))]
    kinds = [
        str(one.proposal.variation).partition(":")[0]
        for one in asked(trials, np.eye(len(TEXTS)), 16, variations=0.25)
    ]
    assert kinds.count("combine") == 12
    # Where there is nothing to add up, the whole round varies the one alpha there is.
    alone = asked([trial(0, 2.0)], np.eye(1), 6)
    assert len(alone) == 6
    assert {one.parent_id for one in alone} == {"a0"}
    assert all(parse(one.proposal.expression).operator_count <= MOST_OPERATORS for one in alone)


def test_no_sum_has_more_parts_than_the_settings_allow() -> None:
    trials = [trial(n, 2.0 - 0.1 * n) for n in range(len(TEXTS))]
    for most in (2, 3):
        steps = asked(trials, np.eye(len(TEXTS)), 10, most_parts=most, variations=0.0)
        assert max(len(one.parts) for one in steps) == most


def test_the_order_of_trials_changes_nothing_and_the_round_does() -> None:
    trials = [trial(n, 2.0 - 0.1 * n) for n in range(len(TEXTS))]
    correlation = correlated(len(TEXTS), 3)
    order = np.random.default_rng(1).permutation(len(TEXTS)).tolist()
    one = asked(trials, correlation)
    shuffled = asked([trials[n] for n in order], correlation[np.ix_(order, order)])
    assert one == shuffled
    assert one != asked(trials, correlation, number=1)
    assert one != asked(trials, correlation, seed=2)


def test_without_anything_above_luck_nothing_is_proposed() -> None:
    assert asked([trial(0, 0.1), trial(1, -0.2)], np.eye(2)) == []
    assert asked([], np.empty((0, 0))) == []


def test_a_part_that_the_others_contradict_is_none() -> None:
    """One that earns a little and moves like many that lose much is expected to lose."""
    many = [trial(n, -1.0, f"ts_zscore(returns, {n + 5})") for n in range(1, 15)]
    trials = [trial(0, 0.5), *many]
    correlation = np.full((15, 15), 0.5) + 0.5 * np.eye(15)
    parts = choose_parts(trials, correlation, most=9, periods=252.0)
    assert parts.trials
    assert "a0" not in {one.alpha_id for one in parts.trials}


def test_what_was_built_from_others_says_nothing_of_them() -> None:
    """A sum of two lucky alphas is no witness that they are good."""
    draw = np.random.default_rng(8)
    pnl = draw.standard_normal((DAYS, 4))
    both = pnl[:, :1] + pnl[:, 1:2]
    correlation = np.corrcoef(np.hstack([pnl, both]), rowvar=False)
    ideas = [trial(0, 1.5), trial(1, 1.4), trial(2, 0.3), trial(3, -0.2)]
    alone = choose_parts(ideas, correlation[:4, :4], most=9, periods=252.0)
    strong = replace(trial(4, 2.5, "ts_zscore(returns, 21)"), built=True)
    told = choose_parts([*ideas, strong], correlation, most=9, periods=252.0)
    by_id = dict(zip([one.alpha_id for one in told.trials], told.sharpe, strict=True))
    for one, expected in zip(alone.trials, alone.sharpe, strict=True):
        if one.alpha_id in by_id:
            assert by_id[one.alpha_id] == pytest.approx(expected)
    # What is expected of the sum follows from its parts, whatever it had itself.
    first, second = (float(alone.sharpe[n]) for n in (0, 1))
    assert by_id["a4"] == pytest.approx((first + second) / math.sqrt(2), rel=0.1)


def test_a_hopeful_alpha_is_varied_even_where_luck_could_have_made_it() -> None:
    weak = replace(trial(0, 0.1), hopeful=True)
    steps = asked([weak], np.eye(1), 5)
    assert {one.parts for one in steps} == {("a0",)}
    assert len(steps) == 5


def test_parts_keep_apart_whatever_their_signs() -> None:
    trials = [trial(n, (-1) ** n * (2.0 - 0.1 * n)) for n in range(len(TEXTS))]
    for seed in range(5):
        parts = choose_parts(trials, correlated(len(TEXTS), seed, like=0.7), most=9, periods=252.0)
        between = parts.correlation[np.triu_indices(len(parts.trials), 1)]
        assert (between <= UNLIKE_PARTS).all()
