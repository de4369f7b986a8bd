"""Every alpha one step away from a given one, and trees that are taken apart and written again."""

from __future__ import annotations

import pytest

from alphafoundry.expressions import DEFAULT_FIELDS, OPERATORS, parse
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
PARENTS = [
    "rank(-ts_delta(close, 5))",
    "ts_rank(volume, 5)",
    "group_neutralize(ts_mean(returns, 60) / ts_std_dev(returns, 60), sector)",
    "trade_when(volume > 1.5 * adv20, -returns, -1)",
    "winsorize(ts_corr(close, volume, 10), std=3)",
    "returns",
    "a = ts_mean(close, 5); b = ts_mean(close, 20); rank(a / b)",
]


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


def test_turning_twice_gives_the_alpha_back() -> None:
    root = parse("rank(close)").root
    assert write(turned(turned(root))) == write(root)


def test_what_the_simulation_does_anyway_is_no_variation() -> None:
    found = variations(parse("ts_delta(close, 5)"), SETTINGS, SPACE)
    assert SETTINGS.neutralization == "INDUSTRY"
    wraps = [one.detail for one in found["wrap"] if "neutralize" in one.detail]
    assert wraps == ["group_neutralize subindustry"]
    assert "zscore" not in [one.detail for one in found["wrap"]]


@pytest.mark.parametrize("expression", PARENTS)
def test_writing_a_tree_keeps_its_meaning(expression: str) -> None:
    parsed = parse(expression)
    assert parse(write(parsed.root)).canonical == parsed.canonical
    for path, node, _ in places(parsed.root):
        assert write(replaced(parsed.root, path, node)) == parsed.canonical


def test_a_group_that_the_market_lacks_is_not_tried() -> None:
    thin = SearchSpace.of({"close": FIELDS["close"]}, BASE)
    assert thin.neutralizations == ("NONE", "MARKET")
    assert "group" not in variations(parse("rank(close)"), SETTINGS, thin)
