"""The race of searches: a fair budget, one rule for finalists, a judge that knows the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alphafoundry.expressions import parse
from benchmarks.race.bench import SETTINGS, Bench, Market, Spent, Tried, finalists
from benchmarks.race.judges import Case, days_from, most_traded, summary
from benchmarks.race.rivals import RIVALS, spend
from tests.library.research.searches import make_market

DAYS = 900


def tried(name: str, pnl: np.ndarray, sharpe: float) -> Tried:
    return Tried(parse(name), SETTINGS, pnl, DAYS, sharpe, 0.3, sharpe / 2)


def test_finalists_are_the_strongest_that_are_unlike_whatever_their_sign() -> None:
    draw = np.random.default_rng(1)
    base, other, own = draw.standard_normal((3, DAYS))
    several = [
        tried("close", base, 2.0),
        tried("open", -base + 0.5 * own, -1.6),
        tried("high", other, -1.5),
        tried("low", np.zeros(DAYS), 3.0),
    ]
    chosen = finalists(several, 252.0)
    assert [(one.sign, one.tried.expression.text) for one in chosen] == [
        (1.0, "close"),
        (-1.0, "high"),
    ]
    assert 2.0 > chosen[0].expected > chosen[1].expected > 0.0


@pytest.mark.parametrize(
    "name",
    [
        "grammar",
        "templates",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("ours", "ours, unseeded", "101-seeded GP")
        ),
    ],
)
def test_a_rival_spends_its_budget_and_not_more(name: str) -> None:
    bench = Bench(Market(make_market(2, reversal=0.05)), 24)
    spend(RIVALS[name], bench, 1)
    assert len(bench.tried) == 24
    assert len(bench.found) >= 20


@pytest.mark.parametrize(("name", "package"), [("DEAP", "deap"), ("gplearn", "gplearn")])
def test_genetic_programs_of_others_become_alphas(name: str, package: str) -> None:
    pytest.importorskip(package)
    bench = Bench(Market(make_market(2, reversal=0.05)), 40)
    spend(RIVALS[name], bench, 1)
    assert len(bench.tried) == 40
    assert len({one.expression.canonical for one in bench.found}) >= 30
    assert any("ts_" in one.expression.text for one in bench.found)


@pytest.mark.long
def test_the_same_seed_gives_the_same_search() -> None:
    market = Market(make_market(2, reversal=0.05))
    keys = []
    for seed in (1, 1, 2):
        bench = Bench(market, 20)
        spend(RIVALS["ours"], bench, seed)
        keys.append(list(bench.tried))
    assert keys[0] == keys[1] != keys[2]


def test_an_alpha_is_paid_for_once_and_one_that_cannot_run_counts() -> None:
    bench = Bench(Market(make_market(2)), 2)
    assert bench.try_text("rank(close / open)") is bench.try_text("rank(close / open)")
    assert bench.try_text("ts_mean(close - close, 5)") is None
    assert bench.left == 0
    with pytest.raises(Spent):
        bench.try_text("rank(volume)")


def test_only_the_search_days_choose_the_names() -> None:
    panel = make_market(4)
    chosen = most_traded(panel, 7, until=300)
    dollars = (panel.fields["close"] * panel.fields["volume"])[:300].sum(axis=0)
    assert set(chosen.symbols) == set(panel.symbols[np.argsort(-dollars)[:7]])
    later = days_from(chosen, panel.dates[100])
    assert later.dates[0] == panel.dates[100]
    assert np.array_equal(later.fields["close"], chosen.fields["close"][100:])


def test_the_sealed_judge_compares_the_same_days() -> None:
    """A rival that earns 0.2 deviations a day more than ours is better in nearly every draw."""
    draw = np.random.default_rng(3)
    common = draw.standard_normal(252)

    def cell(rival: str, shift: float) -> dict[str, object]:
        days = common + 0.1 * draw.standard_normal(252) + shift
        return {
            "judge": "sealed",
            "market": "prices, 0",
            "strength": 1.0,
            "seed": 1,
            "rival": rival,
            "mutual": 0.2,
            "expected": 0.7,
            "sealed_each": 0.5,
            "pooled_search": 2.0,
            "pooled_days": days.tolist(),
        }

    ours, better = summary([cell("ours", 0.0), cell("grammar", 0.2)])
    assert better["p_ours_better"] < 0.05
    assert better["pooled_sealed"] > ours["pooled_sealed"]
    assert better["retention"] == pytest.approx(better["pooled_sealed"] / 2.0, abs=0.01)


def test_gains_of_ours_are_paired_by_seed() -> None:
    def cell(rival: str, seed: int, true: float) -> dict[str, object]:
        numbers = {"simulations": 10, "finalists": 10, "search": 1.0, "expected": 0.8}
        numbers["mutual"] = 0.1
        names = {"judge": "calibration", "market": "calibration", "strength": 1.0}
        return {**names, **numbers, "rival": rival, "seed": seed, "true": true}

    rows = summary(
        [
            cell("ours", 1, 3.0),
            cell("ours", 2, 2.0),
            cell("grammar", 1, 2.0),
            cell("grammar", 2, 1.5),
        ]
    )
    assert [row["true_sharpe"] for row in rows] == [2.5, 1.75]
    assert rows[1]["ours_more"] == 0.75
    assert math.isclose(rows[0]["least"], 2.0)
    assert Case("calibration", 1).market == "calibration"
