"""The combo of a SUPER alpha: its operators, what it refuses, and that it never looks ahead."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import OPERATORS, check, combo, evaluate, parse
from alphafoundry.expressions.combo import check_combo, evaluate_combo, needs_statistics
from alphafoundry.expressions.operators.combination import STATISTICS
from alphafoundry.expressions.warm_up import example
from tests.property_tests import examples
from tests.some_cases import one_in

NAN = math.nan
DAYS, ALPHAS = 40, 5
COMBO = [name for name, known in OPERATORS.items() if known.scope == ("COMBO",)]
OFFICIAL = (
    "1",
    "stats = generate_stats(alpha); ts_ir(stats.returns, 12)",
    "stats = generate_stats(alpha); innerCorr = self_corr(stats.returns, 12); "
    "ic = if_else(innerCorr == 1.0, nan, innerCorr); maxCorr = reduce_max(ic); 1 - maxCorr",
)


class Random:
    """Statistics drawn at random, each its own; days from `changed_from` on are different."""

    def __init__(self, *, changed_from: int | None = None, seed: int = 3) -> None:
        self.values = self._draw(seed)
        if changed_from is not None:
            other = self._draw(seed + 1)
            for name, array in self.values.items():
                array[changed_from:] = other[name][changed_from:]

    def _draw(self, seed: int) -> dict[str, np.ndarray]:
        random = np.random.default_rng(seed)
        found = {}
        for name in STATISTICS:
            found[name] = random.normal(size=(DAYS, ALPHAS))
            found[name][:3, 1] = NAN
        return found

    def statistic(self, name: str) -> np.ndarray:
        return self.values[name]


def run(text: str, alphas: Random | None = None, **options: bool) -> np.ndarray:
    return evaluate_combo(text, alphas or Random(), (DAYS, ALPHAS), **options)


@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistic_is_chosen_with_a_point_also_of_a_variable(name: str) -> None:
    expected = Random().values[name]
    np.testing.assert_array_equal(run(f"generate_stats(alpha).{name}"), expected)
    np.testing.assert_array_equal(run(f"s = generate_stats(alpha); s . {name}"), expected)
    np.testing.assert_array_equal(run(f'generate_stats(alpha, statistic="{name}")'), expected)


@pytest.mark.parametrize("text", one_in(3, OFFICIAL))
def test_the_canonical_text_of_a_combo_reads_back_as_itself(text: str) -> None:
    canonical = parse(text).canonical
    assert parse(canonical).canonical == canonical
    np.testing.assert_array_equal(run(canonical), run(text))


def test_only_a_combo_that_names_alpha_needs_statistics() -> None:
    assert [needs_statistics(text) for text in OFFICIAL] == [False, True, True]
    np.testing.assert_array_equal(run("1"), np.ones((DAYS, ALPHAS)))


def test_operators_work_across_alphas_and_along_days() -> None:
    pnl = pd.DataFrame(Random().values["pnl"])
    found = run("rank(ts_mean(generate_stats(alpha).pnl, 4))")
    ranks = pnl.rolling(4).mean().rank(axis=1)
    expected = ranks.sub(1).div(ranks.count(axis=1) - 1, axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    grouped = run('x = generate_stats(alpha).pnl; group_count(x, bucket(x, buckets="0"))')
    higher = (pnl > 0).sum(axis=1).to_numpy()[:, None]
    lower = pnl.notna().sum(axis=1).to_numpy()[:, None] - higher
    np.testing.assert_array_equal(
        grouped, np.where(pnl > 0, higher, np.where(pnl <= 0, lower, NAN))
    )


def test_the_official_correlation_combo_against_pandas() -> None:
    returns = pd.DataFrame(Random().values["returns"])
    found = run(OFFICIAL[2])
    for day in range(DAYS):
        window = returns.iloc[max(0, day - 11) : day + 1]
        if len(window) < 12 or window.isna().any().any():
            continue
        pairs = window.corr().to_numpy().copy()
        np.fill_diagonal(pairs, NAN)
        np.testing.assert_allclose(found[day], 1 - np.nanmax(pairs, axis=1), atol=1e-9)
    assert np.isnan(found[:11]).all()
    assert np.isnan(found[11:14, 1]).all() and not np.isnan(found[11:14, 0]).any()
    assert not np.isnan(found[14:]).any()


def test_pairs_taken_in_turns_give_the_same_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{name}(exp(self_corr(generate_stats(alpha).pnl, 7)))" for name in REFERENCE]
    whole = [run(with_numbers(text)) for text in texts]
    monkeypatch.setattr(combo, "PAIR_BYTES", 2 * 8 * DAYS * ALPHAS)
    for text, expected in zip(texts, whole, strict=True):
        np.testing.assert_array_equal(run(with_numbers(text)), expected)


def test_combo_a_against_pandas() -> None:
    returns = pd.DataFrame(Random().values["returns"])
    mean, spread = returns.rolling(9).mean().clip(lower=0), returns.rolling(9).std(ddof=0)
    expected = {
        "algo1": mean / spread,
        "algo2": mean / spread**2,
        "algo3": (mean > 0).astype(float).where(mean.notna()) / spread,
    }
    for mode, values in expected.items():
        found = run(f'combo_a(alpha, nlength=9, mode="{mode}")')
        np.testing.assert_allclose(found, values, rtol=1e-9)
    np.testing.assert_array_equal(run("combo_a(alpha)"), np.full((DAYS, ALPHAS), NAN))


def central(values: list[float], power: int) -> float:
    mean = statistics.fmean(values)
    return statistics.fmean((value - mean) ** power for value in values)


def ratio(above: float, below: float) -> float:
    if below == 0:
        return NAN if above == 0 else math.copysign(math.inf, above)
    return above / below


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


REFERENCE: dict[str, Callable[[list[float]], float]] = {
    "reduce_avg": statistics.fmean,
    "reduce_choose": lambda values: values[1] if len(values) > 1 else NAN,
    "reduce_count": lambda values: sum(value > 0.5 for value in values),
    "reduce_ir": lambda values: ratio(statistics.fmean(values), math.sqrt(central(values, 2))),
    "reduce_kurtosis": lambda values: ratio(central(values, 4), central(values, 2) ** 2) - 3,
    "reduce_max": max,
    "reduce_min": min,
    "reduce_norm": lambda values: math.fsum(map(abs, values)),
    "reduce_percentage": lambda values: percentile(values, 0.3),
    "reduce_powersum": lambda values: math.fsum(value**3 for value in values),
    "reduce_range": lambda values: max(values) - min(values),
    "reduce_skewness": lambda values: ratio(central(values, 3), central(values, 2) ** 1.5),
    "reduce_stddev": lambda values: math.sqrt(central(values, 2)),
    "reduce_sum": math.fsum,
}
NUMBERS = {
    "reduce_choose": ", 2",
    "reduce_count": ", 0.5",
    "reduce_percentage": ", percentage=0.3",
    "reduce_powersum": ", constant=3, precise=true",
}


def with_numbers(text: str) -> str:
    name = text.partition("(")[0]
    return f"{text[:-1]}{NUMBERS.get(name, '')})"


def test_every_reduction_has_a_reference() -> None:
    assert {name for name, known in OPERATORS.items() if known.category == "Reduce"} == set(
        REFERENCE
    )


ROWS = arrays(
    np.float64,
    (DAYS, ALPHAS),
    elements=st.one_of(
        st.sampled_from([NAN, 0.0, 1.0, -2.5]), st.floats(-9, 9).map(lambda x: round(x, 3))
    ),
    fill=st.just(NAN),
)


@settings(max_examples=examples(50), deadline=None)
@given(ROWS)
def test_reductions_leave_out_nan_and_agree_with_plain_python(rows: np.ndarray) -> None:
    alphas = Random()
    alphas.values["pnl"] = rows
    for name, reference in REFERENCE.items():
        found = run(with_numbers(f"{name}(generate_stats(alpha).pnl)"), alphas)
        assert (found[:, :1] == found)[~np.isnan(found)].all()
        for row, value in zip(rows, found[:, 0], strict=True):
            known = [float(cell) for cell in row if not math.isnan(cell)]
            expected = reference(known) if known else NAN
            np.testing.assert_allclose(value, expected, rtol=1e-7, atol=1e-9, err_msg=name)


def test_options_of_reductions() -> None:
    alphas = Random()
    alphas.values["pnl"][5] = [NAN, 2.0, NAN, 4.0, 6.0]
    x = "generate_stats(alpha).pnl"
    assert run(f"reduce_avg({x}, threshold=3)", alphas)[5, 0] == 4.0
    assert math.isnan(run(f"reduce_avg({x}, threshold=4)", alphas)[5, 0])
    assert math.isnan(run(f"reduce_stddev({x}, threshold=4)", alphas)[5, 0])
    assert run(f"reduce_choose({x}, 2)", alphas)[5, 0] == 4.0
    assert run(f"reduce_choose({x}, 2, ignoreNan=false)", alphas)[5, 0] == 2.0
    assert math.isnan(run(f"reduce_choose({x}, 1, ignoreNan=false)", alphas)[5, 0])
    assert math.isnan(run(f"reduce_choose({x}, 9, ignoreNan=false)", alphas)[5, 0])
    assert run(f"reduce_powersum({x})", alphas)[5, 0] == 56.0
    assert run(f"reduce_count({x}, -1)", alphas)[5, 0] == 3.0


@pytest.mark.parametrize("nan_handling", [False, True])
@pytest.mark.parametrize("text", [*(example(OPERATORS[name]) for name in COMBO), *OFFICIAL])
def test_the_future_never_changes_the_past(text: str, nan_handling: bool) -> None:
    text = text.replace("combo_a(alpha)", "combo_a(alpha, nlength=5)")
    whole = run(text, nan_handling=nan_handling)
    for day in (4, 13, 39):
        changed = run(text, Random(changed_from=day), nan_handling=nan_handling)
        np.testing.assert_array_equal(changed[:day], whole[:day])


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("alpha", 1, "alpha is no value"),
        ("rank(alpha)", 6, "alpha is no value"),
        ("1 + generate_stats(alpha)", 5, "Statistics are no value; choose one"),
        ("generate_stats(alpha).profit", 23, 'Got invalid value for attribute "statistic"'),
        ("s = generate_stats(alpha); ts_mean(s, 3)", 5, "Statistics are no value"),
        ("s = 2; s.pnl", 10, "Only the result of generate_stats"),
        ("generate_stats(alpha).pnl.pnl", 27, "Only the result of generate_stats"),
        ("x.pnl", 3, "Only the result of generate_stats"),
        ("generate_stats(1)", 16, "index 0, must be alpha"),
        ("self_corr(generate_stats(alpha).pnl, 5)", 1, "a value per pair of alphas"),
        ("rank(self_corr(generate_stats(alpha).pnl, 5))", 6, "a value per pair of alphas"),
        ("self_corr(generate_stats(alpha).pnl)", 1, 'attribute "lookback" must have a value'),
        (
            "x = generate_stats(alpha).pnl; self_corr(x, 5) * x",
            27,
            "index 1, must have a value per pair",
        ),
        ("combo_a(alpha, mode='algo4')", 21, "must be one of algo1, algo2, algo3"),
        ("combo_a(alpha, nlength=1)", 24, "must be at least 2"),
        ("reduce_choose(generate_stats(alpha).pnl, 0)", 42, "whole number of at least 1"),
        ("reduce_max(1, 2)", 1, "should be exactly 1 input"),
        ("close", 1, 'unknown variable "close"'),
        ("reduce_mx(generate_stats(alpha).pnl)", 1, "did you mean 'reduce_max'"),
        ("vec_avg(alpha)", 1, "it is for regular alphas"),
        ("in(alpha, 'x')", 1, "it is for a selection"),
    ],
)
def test_what_a_combo_refuses_with_its_place(text: str, column: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        check_combo(text)
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == (1, column)


@pytest.mark.parametrize(
    "name", [name for name, known in OPERATORS.items() if known.tier == "super"]
)
def test_regular_alphas_cannot_use_the_operators_of_super_alphas(name: str) -> None:
    with pytest.raises(ExpressionError, match=f'unknown operator "{name}"; it is for a '):
        check(f"{name}(1)", {})


def test_a_truth_value_alone_is_a_number_and_a_text_alone_is_refused() -> None:
    np.testing.assert_array_equal(run("true"), np.ones((DAYS, ALPHAS)))
    assert evaluate("false", {"x": np.zeros((2, 3))}).tolist() == [[0.0] * 3] * 2
    for refuse in (lambda: check("'x'", {}), lambda: check_combo("'x'")):
        with pytest.raises(ExpressionError, match=r":1:1: .*must be an expression"):
            refuse()
