"""Models on samples whose truth is known."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from alphafoundry.errors import ConfigurationError, EvidenceError
from alphafoundry.models import (
    HORIZON,
    WINDOW,
    Bet,
    Network,
    Samples,
    book_returns,
    candidates,
    fit,
    open_vault,
    predictions,
    rank_information,
    read_model,
    samples_of,
    search,
    walk_forward,
)
from tests.library.trading.markets import market
from tests.some_cases import one_in

DAYS, NAMES, FEATURES = 420, 60, 4


def samples(seed: int, *, linear: float = 0.0, together: float = 0.0) -> tuple[Samples, Any]:
    """Samples whose targets follow features by known strengths, and the returns behind them."""
    draw = np.random.default_rng(seed)
    features = draw.standard_normal((DAYS, NAMES, FEATURES))
    signal = linear * features[:, :, 0] + together * features[:, :, 1] * features[:, :, 2]
    target = signal + draw.standard_normal((DAYS, NAMES))
    target[-HORIZON:] = np.nan
    returns = np.zeros((DAYS, NAMES))
    returns[HORIZON:] = 0.01 * target[:-HORIZON]
    days = np.datetime64("2020-01-01", "D") + np.arange(DAYS)
    return Samples(days, features, target), returns


def searched(seed: int, kinds: tuple[Any, ...] = (), **strength: float):
    found, returns = samples(seed, **strength)
    return search(
        found,
        candidates(kinds, "exploratory", most_iterations=60),
        returns,
        vault_share=0.2,
        opening=1,
        earlier_trials=0,
        cost=0.0002,
        seed=seed,
        most_rows=8_000,
    )


def test_folds_leave_purge_and_embargo_between_training_and_test() -> None:
    folds = list(walk_forward(300, folds=3, embargo=5, least=150))
    assert [test.start for _, test in folds] == [150, 200, 250]
    assert folds[-1][1].stop == 300
    for train, test in folds:
        assert train.start == 0
        assert test.start - train.stop == HORIZON + 5
    with pytest.raises(EvidenceError, match="too few"):
        list(walk_forward(100, folds=3, embargo=5, least=80))


def test_the_target_of_a_day_is_what_is_earned_two_days_later() -> None:
    panel = market(days=40, names=30)
    scores = np.zeros((2, 40, 30))
    found = samples_of(panel, scores, days=25)
    assert found.features.shape == (25, 30, 2)
    assert np.isnan(found.target[-HORIZON:]).all()
    returns, sector = panel.fields["returns"][20], panel.groups["industry"][20]
    own = returns - np.array([np.nanmean(returns[sector == one]) for one in sector])
    own /= np.nanstd(own)
    assert found.target[20 - HORIZON - 15] == pytest.approx(np.clip(own, -4, 4), nan_ok=True)


def test_a_later_day_changes_no_earlier_sample() -> None:
    panel = market(days=40, names=30)
    scores = np.random.default_rng(0).standard_normal((2, 40, 30))
    until = panel.until(panel.dates[30].item())
    before = samples_of(until, scores, days=40)
    after = samples_of(panel, scores, days=40)
    assert len(before) == 31
    np.testing.assert_array_equal(before.features, after.features[:31])
    np.testing.assert_array_equal(before.target[:-HORIZON], after.target[: 31 - HORIZON])


def test_ridge_is_the_textbook_formula_and_reads_back() -> None:
    found, _ = samples(1, linear=0.2)
    model = fit("ridge", found, 0, 300, settings={"penalty": 0.1}, seed=0, most_rows=10**6)
    x, y = found.features[:300].reshape(-1, FEATURES), found.target[:300].ravel()
    penalty = 0.1 * np.trace(x.T @ x) / FEATURES
    expected = np.linalg.inv(x.T @ x + penalty * np.eye(FEATURES)) @ x.T @ y
    assert read_model("ridge", model.to_text()).predict(np.eye(FEATURES)) == pytest.approx(expected)


def test_a_linear_effect_is_found_and_nothing_is_not() -> None:
    assert searched(1, linear=0.15).vault.passed
    assert not any(searched(seed).vault.passed for seed in (2, 3))


def test_trees_find_the_planted_interaction_that_ridge_cannot() -> None:
    pytest.importorskip("lightgbm")
    found = searched(4, ("lightgbm",), together=0.2)
    assert found.chosen.kind == "lightgbm"
    assert found.vault.passed
    assert found.information["ridge (penalty 0.01)"] < 0.02
    again = read_model("lightgbm", found.model.to_text())
    given, _ = samples(4, together=0.2)
    np.testing.assert_array_equal(
        predictions(again, given, 400, 402), predictions(found.model, given, 400, 402)
    )


def test_trees_do_not_take_the_place_of_ridge_where_all_is_linear() -> None:
    pytest.importorskip("lightgbm")
    assert searched(5, ("lightgbm",), linear=0.15).chosen.kind == "ridge"


def test_a_window_holds_the_days_before_and_nothing_after_and_zeros_before_the_first() -> None:
    found, _ = samples(9)
    days, names = np.array([0, 2, 100]), np.array([5, 6, 7])
    windows = found.looked_at(days, names, 4)
    assert windows.shape == (3, 4, FEATURES)
    assert not windows[0, :3].any()
    np.testing.assert_array_equal(windows[0, 3], found.features[0, 5])
    np.testing.assert_array_equal(windows[1, 1:], found.features[:3, 6])
    np.testing.assert_array_equal(windows[2], found.features[97:101, 7])
    np.testing.assert_array_equal(windows[:, -1], found.looked_at(days, names))


@pytest.mark.parametrize("kind", one_in(2, ["lstm", "transformer"]))
class TestNetworks:
    @pytest.mark.long
    def test_one_finds_what_is_planted_and_ridge_cannot_and_reads_back(self, kind: Any) -> None:
        pytest.importorskip("autograd", reason="networks learn by the extra deep")
        found = searched(4, (kind,), together=0.3)
        assert found.chosen.kind == kind
        assert found.vault.passed
        again = read_model(kind, found.model.to_text())
        given, _ = samples(4, together=0.3)
        np.testing.assert_array_equal(
            predictions(again, given, 400, 402), predictions(found.model, given, 400, 402)
        )

    @pytest.mark.long
    def test_one_does_not_take_the_place_of_ridge_without_reason(self, kind: Any) -> None:
        pytest.importorskip("autograd", reason="networks learn by the extra deep")
        assert searched(5, (kind,), linear=0.15).chosen.kind == "ridge"

    def test_a_seed_gives_one_network_and_later_days_change_no_forecast(self, kind: Any) -> None:
        pytest.importorskip("autograd", reason="networks learn by the extra deep")
        given, _ = samples(6, linear=0.1)
        settings = {"units": 4, "steps": 3}
        one, same, other = (
            fit(kind, given, 0, 100, settings=settings, seed=seed, most_rows=2000)
            for seed in (1, 1, 2)
        )
        assert one.to_text() == same.to_text() != other.to_text()
        whole = predictions(one, given, 0, DAYS)
        cut = Samples(given.dates[:60], given.features[:60].copy(), given.target[:60])
        np.testing.assert_array_equal(predictions(one, cut, 0, 60), whole[:60])
        cut.features[59] = 7.0
        np.testing.assert_array_equal(predictions(one, cut, 0, 59), whole[:59])

    def test_one_is_foretold_with_and_learned_only_with_its_package(
        self, kind: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pytest.importorskip("autograd", reason="networks learn by the extra deep")
        given, _ = samples(6)
        text = fit(kind, given, 0, 100, settings={"units": 4, "steps": 1}, seed=1).to_text()
        monkeypatch.setitem(sys.modules, "autograd", None)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert predictions(read_model(kind, text), given, 0, 10).shape == (10, NAMES)
        with pytest.raises(ConfigurationError, match=r"make install EXTRAS=deep"):
            fit(kind, given, 0, 100, settings={}, seed=1)


def lstm_by_hand(given: Any, days: np.ndarray) -> float:
    """One sample, gate by gate, as Hochreiter and Schmidhuber's equations read."""

    def logistic(value: Any) -> Any:
        return 1.0 / (1.0 + np.exp(-value))

    units = len(given["out"])
    state, memory = np.zeros(units), np.zeros(units)
    for day in days:
        seen = [*(day / given["scale"]), *state]
        sums = [
            sum(one * given["gates"][row, column] for row, one in enumerate(seen))
            + given["bias"][column]
            for column in range(4 * units)
        ]
        enter, keep, leave, new = np.split(np.array(sums), 4)
        memory = logistic(keep) * memory + logistic(enter) * np.tanh(new)
        state = logistic(leave) * np.tanh(memory)
    return float(sum(state * given["out"]))


def transformer_by_hand(given: Any, days: np.ndarray) -> float:
    """One sample, with attention of the last day to every day."""

    def normed(row: np.ndarray) -> np.ndarray:
        return (row - row.mean()) / np.sqrt(row.var() + 1e-5)

    rows = [
        (day / given["scale"]) @ given["in"] + place
        for day, place in zip(days, given["place"], strict=True)
    ]
    asked = normed(rows[-1]) @ given["query"]
    fits = [asked @ (normed(row) @ given["key"]) / np.sqrt(len(asked)) for row in rows]
    weights = np.exp(4.0 * np.tanh(np.array(fits) / 4.0))
    weights /= weights.sum()
    heard = sum(w * (normed(row) @ given["value"]) for w, row in zip(weights, rows, strict=True))
    last = rows[-1] + heard
    wide = np.maximum(normed(last) @ given["wide"], 0.0)
    return float((last + wide @ given["narrow"]) @ given["out"])


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_a_network_is_its_equations_written_the_slow_way(kind: Any) -> None:
    pytest.importorskip("autograd", reason="networks learn by the extra deep")
    given, _ = samples(10, linear=0.2)
    model = fit(kind, given, 0, 200, settings={"units": 3, "steps": 5}, seed=1, most_rows=4000)
    assert isinstance(model, Network)
    by_hand = lstm_by_hand if kind == "lstm" else transformer_by_hand
    windows = given.looked_at(np.arange(50, 60), np.arange(10), WINDOW)
    expected = [by_hand(model.parameters, one) for one in windows]
    assert model.predict(windows) == pytest.approx(expected, abs=1e-12)


def test_more_openings_and_more_trials_ask_for_more() -> None:
    draw = np.random.default_rng(6)
    net = 0.001 * (draw.standard_normal(250) + 0.13)
    information = 0.02 + 0.05 * draw.standard_normal(250)
    first = open_vault(information, net, opening=1, trials=1)
    later = open_vault(information, net, opening=4, trials=1)
    many = open_vault(information, net, opening=1, trials=500)
    assert (first.level, later.level) == (0.05, 0.00625)
    assert many.deflated < first.deflated
    assert not many.passed


def test_a_vault_that_tells_nothing_says_why() -> None:
    information = np.full(50, 0.02)
    still = open_vault(information, np.zeros(50), opening=1, trials=1)
    short = open_vault(information[:19], np.arange(19.0), opening=1, trials=1)
    assert not still.passed and not short.passed
    assert "the same on every day" in still.reason
    assert "fewer than 20 days" in short.reason


def test_a_book_is_market_neutral_and_pays_for_what_it_trades() -> None:
    predicted = np.array([[1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]])
    returns = np.array([[0.0, 0.0], [0.0, 0.0], [0.02, 0.0], [0.02, 0.02]])
    assert book_returns(predicted, returns, cost=0.001) == pytest.approx([0.01 - 0.001, 0.0])


def test_wealth_without_an_advantage_seldom_passes_twenty_and_with_one_it_does() -> None:
    draw = np.random.default_rng(7)
    won = 0
    for _ in range(200):
        bet = Bet()
        for difference in 0.05 * draw.standard_normal(250):
            bet = bet.after(difference)
            if bet.is_won:
                won += 1
                break
    assert won <= 200 * 0.05
    bet = Bet()
    for difference in 0.03 + 0.05 * draw.standard_normal(120):
        bet = bet.after(difference)
    assert bet.is_won
    assert bet.after(float("nan")) == bet


def test_rank_information_is_spearmans() -> None:
    from scipy.stats import spearmanr

    draw = np.random.default_rng(8)
    one, other = draw.standard_normal((2, 3, 40))
    other[1, :35] = np.nan
    found = rank_information(one, other)
    assert found[0] == pytest.approx(spearmanr(one[0], other[0]).statistic, abs=1e-12)
    assert np.isnan(found[1])
