"""The search around one alpha."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import DEFAULT_FIELDS, OPERATORS, check, parse
from alphafoundry.expressions.tree import Call, Number
from alphafoundry.research import Miner, PnlSeries, Proposal, Scored
from alphafoundry.research.diagnosis import Diagnosis, weights
from alphafoundry.research.mining import Partner
from alphafoundry.research.tree_edits import places, replaced, write
from alphafoundry.research.variations import SearchSpace, turned, variations
from alphafoundry.simulation.settings import SimulationSettings

FIELDS = {
    name: info
    for name, info in DEFAULT_FIELDS.items()
    if name not in ("vwap", "cap", "sharesout", "split", "dividend")
}
BASE = frozenset(name for name, operator in OPERATORS.items() if operator.tier == "base")
SPACE = SearchSpace.of(FIELDS, BASE)
SETTINGS = SimulationSettings()
HOPEFUL = Diagnosis(0.5)
PARENTS = [
    "rank(-ts_delta(close, 5))",
    "ts_rank(volume, 5)",
    "group_neutralize(ts_mean(returns, 60) / ts_std_dev(returns, 60), sector)",
    "trade_when(volume > 1.5 * adv20, -returns, -1)",
    "winsorize(ts_corr(close, volume, 10), std=3)",
    "returns",
    "a = ts_mean(close, 5); b = ts_mean(close, 20); rank(a / b)",
]


def miner(
    expression: str = PARENTS[0],
    *,
    budget: int = 30,
    seed: int = 1,
    diagnosis: Diagnosis = HOPEFUL,
    series: PnlSeries | None = None,
) -> Miner:
    return Miner(
        expression,
        SETTINGS,
        diagnosis,
        fields=FIELDS,
        operators=BASE,
        budget=budget,
        seed=seed,
        series=series,
    )


def kinds(proposals: list[Proposal]) -> Counter[str]:
    return Counter((one.variation or "").partition(":")[0] for one in proposals)


def pnl(seed: int) -> PnlSeries:
    dates = np.arange("2020-01-01", "2021-01-01", dtype="datetime64[D]")
    return PnlSeries(str(seed), dates, np.random.default_rng(seed).normal(size=len(dates)))


def details(expression: str, kind: str) -> list[str]:
    found = variations(parse(expression), SETTINGS, SPACE)
    return [variation.detail for variation in found.get(kind, [])]


def test_windows_vary_by_a_fifth_and_jump_by_two() -> None:
    assert details("ts_rank(volume, 5)", "window") == ["5 -> 4", "5 -> 6"]
    assert details("ts_mean(close, 20)", "window") == [
        f"20 -> {n}" for n in (16, 17, 18, 19, 21, 22, 23, 24)
    ]
    assert details("ts_mean(close, 20)", "jump") == ["20 -> 10", "20 -> 40"]
    assert details("ts_delta(close, 1)", "window") == ["1 -> 2"]
    assert len(details("ts_mean(close, 252)", "window")) == 100


def test_fractions_vary_by_a_tenth_in_steps_of_a_fiftieth() -> None:
    found = details("rank(close) - 0.5", "constant")
    assert [float(text.partition("-> ")[2]) for text in found] == pytest.approx(
        [0.45, 0.46, 0.47, 0.48, 0.49, 0.51, 0.52, 0.53, 0.54, 0.55]
    )


def test_an_exit_of_minus_one_stays() -> None:
    assert details("trade_when(volume > adv20, returns, -1)", "constant") == []


def test_operators_are_exchanged_for_those_with_the_same_inputs() -> None:
    swaps = details("rank(ts_mean(close, 5))", "operator")
    assert {"ts_mean -> ts_decay_linear", "ts_mean -> ts_sum", "rank -> zscore"} <= set(swaps)
    assert not any("ts_corr" in swap or "group_" in swap for swap in swaps)


def test_an_operator_that_needs_a_longer_window_is_no_exchange() -> None:
    swaps = details("rank(ts_delta(close, 2))", "operator")
    assert "ts_delta -> ts_mean" in swaps
    assert "ts_delta -> ts_quantile" not in swaps
    assert "ts_delta -> ts_quantile" in details("rank(ts_delta(close, 3))", "operator")


def test_fields_are_exchanged_within_their_unit() -> None:
    assert details("rank(close)", "field") == ["close -> high", "close -> low", "close -> open"]
    assert details("rank(volume)", "field") == ["volume -> adv20"]
    assert details("group_rank(close, sector)", "group") == [
        "sector -> industry",
        "sector -> market",
        "sector -> subindustry",
    ]


def test_only_possible_neutralizations_are_tried() -> None:
    thin = SearchSpace.of({"close": FIELDS["close"]}, BASE)
    found = variations(parse("rank(close)"), SETTINGS, thin)
    assert [one.settings.neutralization for one in found["neutralization"]] == ["NONE", "MARKET"]
    assert "group" not in found


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(PARENTS), st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_proposals_are_valid_new_and_within_the_budget(expression: str, seed: int, random) -> None:
    search = miner(expression, budget=30, seed=seed)
    parent = parse(expression)
    seen = {(parent.canonical, SETTINGS)}
    while search.remaining:
        asked = search.ask(random.randint(1, 20))
        assert asked
        for proposal in asked:
            assert check(proposal.expression, FIELDS, operators=BASE) == ()
            assert parse(proposal.expression).canonical == proposal.canonical
            assert (proposal.canonical, proposal.settings) not in seen
            assert proposal.origin == "miner" and proposal.parent and proposal.variation
            seen.add((proposal.canonical, proposal.settings))
        search.tell(Scored(proposal, Diagnosis(random.uniform(-1, 1))) for proposal in asked)
    assert len(seen) == 31
    assert search.ask(5) == []


def test_known_alphas_are_not_proposed() -> None:
    everything = [(one.canonical, one.settings) for one in miner(budget=60).ask(60)]
    search = Miner(
        PARENTS[0],
        SETTINGS,
        Diagnosis(0.5),
        fields=FIELDS,
        operators=BASE,
        budget=60,
        seed=1,
        known=everything,
    )
    assert not {(one.canonical, one.settings) for one in search.ask(60)} & set(everything)


def test_a_search_ends_when_nothing_new_is_left() -> None:
    thin = {"returns": FIELDS["returns"]}
    search = Miner(
        "sign(returns)",
        SETTINGS,
        Diagnosis(0.1),
        fields=thin,
        operators={"sign"},
        budget=500,
        seed=1,
    )
    asked = search.ask(500)
    assert 0 < len(asked) < 100
    assert search.ask(10) == []


def test_unit_warnings_of_the_parent_are_allowed_but_no_new_ones() -> None:
    expression = "close + volume"
    allowed = set(check(expression, FIELDS))
    assert allowed
    for proposal in miner(expression, budget=60).ask(60):
        assert set(check(proposal.expression, FIELDS)) <= allowed


def test_no_proposal_compares_a_thing_with_itself() -> None:
    texts = [one.canonical for one in miner("rank(close / open - 1)", budget=150).ask(150)]
    assert not any("divide(close, close)" in text or "divide(open, open)" in text for text in texts)


def synthetic_score(proposal: Proposal) -> float:
    """A smooth landscape with its top far from the parent: window 24, a sector, decay 6."""
    expression = parse(proposal.expression)
    windows = [
        node.value
        for _, node, parent in places(expression.root)
        if isinstance(node, Number) and isinstance(parent, Call) and parent.operator[:3] == "ts_"
    ]
    score = 0.5
    if windows:
        score += 0.6 * math.exp(-(math.log(windows[-1] / 24.0) ** 2))
    score += 0.4 * ("sector" in expression.fields)
    score += 0.3 * math.exp(-((proposal.settings.decay - 6) ** 2) / 20)
    score -= 0.05 * max(0, expression.operator_count - 4)
    score -= 0.8 * ("reverse" not in expression.operators)
    return score


def searched(seed: int, budget: int = 60) -> float:
    search = miner(budget=budget, seed=seed)
    while search.remaining and (asked := search.ask(6)):
        search.tell(Scored(one, Diagnosis(synthetic_score(one))) for one in asked)
    return search.best_score


def random_variations(seed: int, budget: int = 60) -> float:
    """The best of as many distinct random variations of the parent."""
    rng = np.random.default_rng(seed)
    parent = parse(PARENTS[0])
    every = [one for several in variations(parent, SETTINGS, SPACE).values() for one in several]
    best = 0.5
    for index in rng.permutation(len(every))[:budget]:
        variation = every[index]
        text = PARENTS[0]
        if variation.node is not None:
            text = write(replaced(parent.root, variation.path, variation.node))
        try:
            check(text, FIELDS)
        except ExpressionError:
            continue
        proposal = Proposal(text, text, variation.settings, "random")
        best = max(best, synthetic_score(proposal))
    return best


def test_the_search_finds_better_alphas_than_random_variations() -> None:
    ours = np.array([searched(seed) for seed in range(12)])
    theirs = np.array([random_variations(seed) for seed in range(12)])
    assert np.mean(ours > theirs) >= 0.9
    assert ours.mean() > theirs.mean() + 0.2


def test_a_kind_that_pays_is_asked_for_more_than_its_weight() -> None:
    expression = "group_rank(ts_corr(close, volume, 60), sector)"

    def windows_asked(gain: float) -> int:
        search = miner(expression, budget=40, seed=3)
        scores = {parse(expression).canonical: 0.5}
        asked: list[Proposal] = []
        while new := search.ask(6):
            results = []
            for one in new:
                asked.append(one)
                change = gain if (one.variation or "").startswith("window:") else -0.1
                scores.setdefault(one.canonical, scores[one.parent or ""] + change)
                results.append(Scored(one, Diagnosis(scores[one.canonical])))
            search.tell(results)
        return kinds(asked)["window"]

    assert windows_asked(0.3) > 1.5 * windows_asked(-0.1)


def test_a_high_turnover_calls_for_decay_and_smoothing() -> None:
    fast = kinds(miner(diagnosis=Diagnosis(0.5, 0.9)).ask(12))
    slow = kinds(miner(diagnosis=Diagnosis(0.5, 0.05)).ask(12))
    assert fast["decay"] + fast["smooth"] > slow["decay"] + slow["smooth"]
    calm = weights(Diagnosis(0.5, 0.2))
    assert weights(Diagnosis(0.5, 0.9))["decay"] > calm["decay"] > 0


def test_more_decay_and_never_less_where_the_turnover_is_high() -> None:
    settings_with_decay = SETTINGS.model_copy(update={"decay": 6})
    search = Miner(
        PARENTS[0],
        settings_with_decay,
        Diagnosis(0.5, 0.9),
        fields=FIELDS,
        operators=BASE,
        budget=60,
        seed=1,
    )
    assert {one.settings.decay for one in search.ask(60)} <= {6, 9, 13, 20}


@pytest.mark.parametrize(
    ("check_name", "kind"),
    [
        ("CONCENTRATED_WEIGHT", "truncation"),
        ("CONCENTRATED_WEIGHT", "wrap"),
        ("LOW_SUB_UNIVERSE_SHARPE", "neutralization"),
        ("LOW_TURNOVER", "jump"),
    ],
)
def test_a_failed_check_calls_for_what_mends_it(check_name: str, kind: str) -> None:
    failing = Diagnosis(0.5, 0.2, frozenset({check_name}))
    assert weights(failing)[kind] > weights(Diagnosis(0.5, 0.2))[kind]


def test_an_alpha_that_loses_is_turned_before_anything_else() -> None:
    search = miner("rank(ts_delta(close, 5))", diagnosis=Diagnosis(-0.9))
    asked = search.ask(10)
    assert [one.canonical for one in asked] == ["reverse(rank(ts_delta(close, 5)))"]
    search.tell([Scored(asked[0], Diagnosis(0.9))])
    more = search.ask(10)
    assert len(more) == 10
    assert {one.parent for one in more} == {asked[0].canonical}


def test_turning_twice_gives_the_alpha_back() -> None:
    root = parse("rank(close)").root
    assert write(turned(turned(root))) == write(root)


def test_a_kind_that_changed_nothing_is_not_tried_again_on_this_parent() -> None:
    series = pnl(1)
    search = miner("group_rank(ts_corr(close, volume, 60), sector)", budget=80, series=series)
    idle: set[str] = set()
    while search.remaining and (asked := search.ask(4)):
        assert not kinds(asked).keys() & idle
        idle |= kinds(asked).keys() & {"wrap", "window", "group", "truncation", "neutralization"}
        search.tell(Scored(one, Diagnosis(0.5), series) for one in asked)
    assert {"window", "neutralization"} <= idle


def test_weakly_correlated_partners_are_combined_and_close_ones_are_not() -> None:
    ours, far = pnl(1), pnl(2)
    partners = [
        Partner("rank(volume)", Diagnosis(0.6), far),
        Partner("rank(open)", Diagnosis(0.6), ours),
        Partner("rank(high)", Diagnosis(-0.6), pnl(3)),
    ]
    search = miner(series=ours, budget=40)
    asked = search.ask(40, partners)
    combined = [one for one in asked if (one.variation or "").startswith("combine")]
    assert [one.canonical for one in combined] == [
        parse("zscore(rank(-ts_delta(close, 5))) + zscore(rank(volume))").canonical
    ]


def test_an_alpha_that_does_not_pass_is_combined_with_others_that_do_not() -> None:
    stuck = Diagnosis(0.6, failing=frozenset({"LOW_FITNESS"}))
    partners = [
        Partner("rank(volume)", Diagnosis(1.6), pnl(2)),
        Partner("rank(adv20)", stuck, pnl(3)),
    ]
    search = miner(series=pnl(1), diagnosis=stuck, budget=5)
    first = next(one for one in search.ask(5, partners) if "combine" in (one.variation or ""))
    assert "adv20" in first.expression


def test_what_the_simulation_does_anyway_is_no_variation() -> None:
    found = variations(parse("ts_delta(close, 5)"), SETTINGS, SPACE)
    assert SETTINGS.neutralization == "INDUSTRY"
    wraps = [one.detail for one in found["wrap"] if "neutralize" in one.detail]
    assert wraps == ["group_neutralize subindustry"]
    assert "zscore" not in [one.detail for one in found["wrap"]]


def run(seed: int, backwards: bool) -> list[tuple[str, SimulationSettings]]:
    search = miner(budget=40, seed=seed)
    history = []
    while search.remaining:
        asked = search.ask(8)
        history += [(one.expression, one.settings) for one in asked]
        results = [Scored(one, Diagnosis(synthetic_score(one))) for one in asked]
        for result in reversed(results) if backwards else results:
            search.tell([result])
    return history


def test_the_same_seed_and_results_give_the_same_search_in_any_order_of_arrival() -> None:
    assert run(5, backwards=False) == run(5, backwards=True)
    assert run(5, backwards=False) != run(6, backwards=False)


def test_failed_simulations_gain_nothing_and_never_become_parents() -> None:
    search = miner(budget=30)
    for score in (None, math.nan, -5.0):
        search.tell(Scored(one, Diagnosis(score)) for one in search.ask(10))
    assert search.best is None
    assert search.best_score == 0.5


def test_the_best_variation_is_known() -> None:
    search = miner(budget=10)
    asked = search.ask(10)
    search.tell(Scored(one, Diagnosis(float(index == 3))) for index, one in enumerate(asked))
    assert search.best == asked[3]
    assert search.best_score == 1.0


def test_results_of_something_else_are_refused() -> None:
    stranger = Proposal("rank(open)", "rank(open)", SETTINGS, "grammar")
    with pytest.raises(ValueError, match="did not propose"):
        miner().tell([Scored(stranger, Diagnosis(1.0))])


@pytest.mark.parametrize("expression", PARENTS)
def test_writing_a_tree_keeps_its_meaning(expression: str) -> None:
    parsed = parse(expression)
    assert parse(write(parsed.root)).canonical == parsed.canonical
    for path, node, _ in places(parsed.root):
        assert write(replaced(parsed.root, path, node)) == parsed.canonical
