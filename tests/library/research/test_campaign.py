"""Several searches that share a budget, and which alphas they begin with."""

from __future__ import annotations

import numpy as np

from alphafoundry.expressions import DEFAULT_FIELDS, OPERATORS
from alphafoundry.research import Miner, PnlSeries, Scored
from alphafoundry.research.campaign import Campaign
from alphafoundry.research.diagnosis import Diagnosis
from alphafoundry.research.parent_selection import ReversedStatistics, choose_parents
from alphafoundry.research.proposals import Proposal
from alphafoundry.simulation.settings import SimulationSettings

PASSING = Diagnosis(1.5, 0.3)
FAILING = Diagnosis(0.8, 0.3, frozenset({"LOW_FITNESS"}))
IDEAS = ["rank(ts_delta(close, 5))", "ts_rank(volume, 10)", "-ts_mean(returns, 20)"]
DATES = np.arange("2020-01-01", "2021-01-01", dtype="datetime64[D]")


def miner(number: int, diagnosis: Diagnosis, *, budget: int = 100, operators=OPERATORS) -> Miner:
    return Miner(
        IDEAS[number],
        SimulationSettings(),
        diagnosis,
        fields={name: DEFAULT_FIELDS[name] for name in ("close", "volume", "returns")},
        operators=operators,
        budget=budget,
        seed=number,
    )


def spent(campaign: Campaign) -> list[tuple[int, list[Proposal]]]:
    everything = []
    while batch := campaign.ask():
        for one, proposals in batch:
            everything.append((one.seed, proposals))
            one.tell(Scored(proposal, Diagnosis(0.1)) for proposal in proposals)
    return everything


def test_the_whole_budget_is_spent_and_nothing_is_asked_twice() -> None:
    for budget in (1, 7, 24, 61):
        everything = spent(Campaign([miner(n, FAILING) for n in range(3)], budget))
        asked = [(one.canonical, one.settings) for _, several in everything for one in several]
        assert len(asked) == len(set(asked)) == budget


def test_what_one_search_cannot_use_goes_to_the_others() -> None:
    everything = spent(Campaign([miner(0, FAILING, budget=2), miner(1, FAILING)], 30))
    count = {number: sum(len(s) for n, s in everything if n == number) for number in (0, 1)}
    assert count == {0: 2, 1: 28}


def test_searches_whose_alpha_cannot_be_submitted_yet_get_more() -> None:
    everything = spent(Campaign([miner(0, PASSING), miner(1, FAILING)], 30))
    count = {number: sum(len(s) for n, s in everything if n == number) for number in (0, 1)}
    assert count[1] > count[0] > 0


def test_without_alphas_a_campaign_is_over() -> None:
    assert Campaign([], 10).ask() == []


def series(name: str, values: np.ndarray, fitness: float) -> PnlSeries:
    return PnlSeries(name, DATES, values, fitness)


def test_leads_are_unlike_each_other_and_what_was_submitted() -> None:
    a, b, c = np.random.default_rng(0).normal(size=(3, len(DATES)))
    candidates = [
        series("best", a, 1.0),
        series("like the best", a + 0.1 * b, 0.9),
        series("its mirror", -a, -0.8),
        series("loser", b, -0.7),
        series("taken", c, 2.0),
    ]
    assert choose_parents(candidates, [series("done", c, 0.0)], limit=5) == ["best", "loser"]
    assert choose_parents(candidates, limit=1) == ["taken"]


def test_where_all_are_like_the_submitted_the_fittest_are_returned() -> None:
    a = np.random.default_rng(0).normal(size=len(DATES))
    candidates = [series("x", a, 0.6), series("y", a, 0.9)]
    assert choose_parents(candidates, [series("done", a, 0.0)], limit=5) == ["y", "x"]


def test_a_mirror_has_the_other_sign_and_no_drawdown() -> None:
    original = ReversedStatistics(-0.7, -1.5, -0.05, None, -1e6, 0.4, 200, 190)
    mirror = ReversedStatistics.of(original)
    assert (mirror.fitness, mirror.sharpe, mirror.turnover) == (0.7, 1.5, 0.4)
    assert (mirror.long_count, mirror.short_count) == (190, 200)
    assert mirror.margin is None
    assert mirror.drawdown is None
