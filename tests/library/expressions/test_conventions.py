"""The switches for definitions that the official texts leave open."""

from __future__ import annotations

import dataclasses
from statistics import NormalDist

import numpy as np
import pytest

from alphafoundry.errors import ConfigurationError
from alphafoundry.expressions import OPERATORS, Conventions, Evaluator, evaluate
from alphafoundry.expressions.warm_up import example
from tests.library.expressions.test_evaluator import DAYS, data

NAN = np.nan
OTHERS = [(name, choice) for name, found in Conventions.choices().items() for choice in found[1:]]
RULED = [
    (operator.name, name, choice)
    for operator in OPERATORS.values()
    for name, choice in OTHERS
    if name in operator.conventions
]


def under(name: str, choice: str) -> Conventions:
    return dataclasses.replace(Conventions(), **{name: choice})


def of(text: str, conventions: Conventions, *rows: list[float]) -> list[float]:
    """The values of the last day."""
    x = np.array(rows, dtype=float)
    groups = {"g": np.zeros(x.shape, np.int32)}
    return Evaluator({"x": x}, groups, conventions=conventions).evaluate(text)[-1].tolist()


TIES = [3.0, 1.0, 3.0, NAN, 0.0, 3.0]


@pytest.mark.parametrize(
    ("choice", "places"),
    [
        ("average", [3, 1, 3, NAN, 0, 3]),
        ("lowest", [2, 1, 2, NAN, 0, 2]),
        ("highest", [4, 1, 4, NAN, 0, 4]),
        ("order", [2, 1, 3, NAN, 0, 4]),
    ],
)
def test_places_of_equal_values_in_a_day_and_in_a_group(choice: str, places: list[float]) -> None:
    conventions = under("rank_ties", choice)
    expected = np.array(places) / 4
    for text in ("rank(x)", "group_rank(x, g)"):
        np.testing.assert_allclose(of(text, conventions, TIES), expected, atol=1e-15)


@pytest.mark.parametrize(
    ("choice", "place"), [("average", 2), ("lowest", 1), ("highest", 3), ("order", 3)]
)
def test_the_place_of_today_among_equal_days(choice: str, place: float) -> None:
    found = of("ts_rank(x, 5)", under("rank_ties", choice), [5], [2], [1], [2], [2])
    assert found == [place / 4]
    assert of("ts_rank(x, 1, constant=1)", under("rank_ties", choice), [2]) == [1.5]


def test_groups_keep_their_ties_apart() -> None:
    x = np.array([[1.0, 1, 1, 1, 2, NAN]])
    g = np.array([[0, 1, 0, 1, 0, 1]])
    conventions = under("rank_ties", "order")
    found = Evaluator({"x": x}, {"g": g}, conventions=conventions).evaluate("group_rank(x, g)")
    np.testing.assert_array_equal(found[0], [0, 0, 0.5, 1, 1, NAN])


def test_the_catalogues_example_of_ts_quantile() -> None:
    days = [[value] for value in reversed([8.0, 10, 4, 6, 5, 3, 2])]
    found = of("ts_quantile(x, 7)", under("ts_quantile", "zscore"), *days)
    assert found[0] == pytest.approx(0.82, abs=5e-3)
    usual = of("ts_quantile(x, 7)", Conventions(), *days)
    assert usual[0] == pytest.approx(NormalDist().inv_cdf(1 / 7 + 5 / 6 * 5 / 7))


@pytest.mark.parametrize("driver", ["gaussian", "cauchy", "uniform"])
def test_drivers_of_the_zscore_agree_in_the_middle_and_keep_order(driver: str) -> None:
    days = [[value, 0.0] for value in (-1.0, 1, 3, -3, 0)]
    x = np.array(days)
    x[:, 1] = np.linspace(0, 1, 5)
    found = Evaluator({"x": x}, conventions=under("ts_quantile", "zscore")).evaluate(
        f"ts_quantile(x, 5, driver={driver})"
    )[-1]
    assert found[0] == pytest.approx(0.5)
    assert 0.5 < found[1] <= 1


def test_the_catalogues_example_of_days_from_last_change() -> None:
    days = [[value] for value in reversed([2.0, 2, 2, 7, 5, 16, 1])]
    text = "days_from_last_change(x)"
    assert of(text, under("last_change", "one"), *days) == [3]
    assert of(text, Conventions(), *days) == [2]


def test_hump_by_a_given_amount() -> None:
    rows = ([5.0, 13], [2.0, 13])
    assert of("hump(x, hump=1.5)", under("hump", "amount"), *rows)[0] == 3.5
    assert of("hump(x, hump=0.1)", Conventions(), *rows)[0] == 3.5


def test_the_harmonic_group_mean() -> None:
    found = of("group_mean(x, 1, g)", under("group_mean", "harmonic"), [1.0, 2, 4, NAN])
    np.testing.assert_allclose(found, [12 / 7] * 3 + [NAN])


@pytest.mark.parametrize(("operator", "name", "choice"), RULED)
def test_a_choice_changes_its_operators_and_never_the_past(
    operator: str, name: str, choice: str
) -> None:
    text = example(OPERATORS[operator])
    conventions = under(name, choice)

    def run(parts: dict, chosen: Conventions) -> np.ndarray:
        tied = {key: np.round(value) for key, value in parts["fields"].items()}
        return Evaluator(tied, parts["groups"], conventions=chosen).evaluate(text)

    whole = run(data(), conventions)
    assert not np.array_equal(whole, run(data(), Conventions()), equal_nan=True)
    for day in (5, DAYS - 1):
        np.testing.assert_array_equal(run(data(changed_from=day), conventions)[:day], whole[:day])


def test_only_the_operators_that_say_so_follow_a_convention() -> None:
    others = Conventions("order", "amount", "zscore", "one", "harmonic")
    for operator in OPERATORS.values():
        assert bool(operator.conventions) == (operator.under is not None)
        if operator.under is None:
            assert operator.kernel_under(others) is operator.kernel


def test_a_notebook_may_choose() -> None:
    data_of_one_day = {"close": np.array([[1.0, 1, 2]])}
    found = evaluate("rank(close)", data_of_one_day, conventions=Conventions(rank_ties="lowest"))
    assert found[0].tolist() == [0, 0, 1]


def test_an_unknown_choice_is_refused_with_the_choices() -> None:
    wrong = "rank_ties 'first': unknown; choose one of average, lowest, highest, order"
    with pytest.raises(ConfigurationError, match=wrong):
        Conventions(rank_ties="first")  # type: ignore[arg-type]


def test_conventions_are_read_from_text() -> None:
    found = Conventions.read(["rank_ties=order", "hump=amount"])
    assert found == Conventions(rank_ties="order", hump="amount")
    assert Conventions.read([]) == Conventions()
    for wrong in ("ties=order", "rank_ties", "hump=share=1"):
        with pytest.raises(ConfigurationError, match="unknown"):
            Conventions.read([wrong])
