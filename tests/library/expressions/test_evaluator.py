"""What holds for every operator, and how panels, masks and threads are treated."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import OPERATORS, Evaluator, VectorField, evaluate, parse, warm_up
from alphafoundry.expressions.warm_up import example
from tests.some_cases import one_in

NAN = np.nan
DAYS, NAMES = 30, 6
REGULAR = [name for name, operator in OPERATORS.items() if "REGULAR" in operator.scope]


def data(seed: int = 1, *, changed_from: int | None = None) -> dict:
    """Fields x and y, group g and vector v; days from `changed_from` on are different."""
    arrays = _arrays(np.random.default_rng(seed))
    if changed_from is not None:
        other = _arrays(np.random.default_rng(seed + 1))
        for name, array in arrays.items():
            array[changed_from:] = other[name][changed_from:]
    counts = arrays.pop("counts").astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts.ravel())]).astype(np.int64)
    values = np.concatenate(
        [
            np.full(count, value)
            for count, value in zip(counts.ravel(), arrays.pop("v").ravel(), strict=True)
        ]
    )
    return {
        "fields": {name: arrays[name] for name in ("x", "y", "close", "returns")},
        "groups": {"g": arrays["g"].astype(np.int32)},
        "vectors": {"v": VectorField(values, offsets, (DAYS, NAMES))},
    }


def _arrays(random: np.random.Generator) -> dict[str, np.ndarray]:
    x, y, v = random.normal(size=(3, DAYS, NAMES))
    x[random.random(x.shape) < 0.1] = NAN
    x[random.random(x.shape) < 0.1] = 1.0
    return {
        "x": x,
        "y": y,
        "close": np.exp(y),
        "returns": 0.1 * v,
        "v": v,
        "g": random.integers(-1, 3, size=x.shape),
        "counts": random.integers(0, 3, size=x.shape),
    }


def evaluator(parts: dict, **options) -> Evaluator:
    return Evaluator(parts["fields"], parts["groups"], vectors=parts["vectors"], **options)


@pytest.mark.parametrize("name", one_in(4, REGULAR))
def test_the_future_never_changes_the_past(name):
    text = example(OPERATORS[name])
    whole = evaluator(data()).evaluate(text)
    for day in (5, 17, 29):
        changed = evaluator(data(changed_from=day)).evaluate(text)
        np.testing.assert_array_equal(changed[:day], whole[:day])


@pytest.mark.parametrize("name", REGULAR)
def test_inputs_are_not_changed_and_the_result_is_read_only(name):
    parts = data()
    before = {key: value.copy() for key, value in parts["fields"].items()}
    result = evaluator(parts).evaluate(example(OPERATORS[name]))
    assert result.shape == (DAYS, NAMES)
    assert result.dtype == np.float64
    assert not result.flags.writeable
    for key, value in before.items():
        np.testing.assert_array_equal(parts["fields"][key], value)


@pytest.mark.parametrize("name", one_in(4, REGULAR))
@pytest.mark.parametrize("nan_handling", [False, True])
def test_hidden_names_are_as_if_they_were_not_there(name, nan_handling):
    """With a mask that hides whole instruments, the others get what they get alone."""
    text = f"rank({example(OPERATORS[name])})"
    parts = data()
    mask = np.ones((DAYS, NAMES), bool)
    mask[:, 4:] = False
    found = evaluator(parts, mask=mask, nan_handling=nan_handling).evaluate(text)
    assert np.isnan(found[:, 4:]).all()
    v = parts["vectors"]["v"]
    kept = np.add.outer(np.arange(DAYS) * NAMES, np.arange(4)).ravel()
    lengths = np.diff(v.offsets)[kept]
    values = np.concatenate([v.values[v.offsets[cell] : v.offsets[cell + 1]] for cell in kept])
    alone = Evaluator(
        {key: value[:, :4] for key, value in parts["fields"].items()},
        {key: value[:, :4] for key, value in parts["groups"].items()},
        vectors={
            "v": VectorField(
                values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), (DAYS, 4)
            )
        },
        nan_handling=nan_handling,
    ).evaluate(text)
    np.testing.assert_allclose(found[:, :4], alone, atol=1e-12)


@pytest.mark.parametrize("name", REGULAR)
def test_days_outside_the_universe_are_nan_and_kept_ones_do_not_see_them(name):
    parts = data()
    mask = np.random.default_rng(9).random((DAYS, NAMES)) < 0.7
    text = f"rank({example(OPERATORS[name])})"
    found = evaluator(parts, mask=mask).evaluate(text)
    assert np.isnan(found[~mask]).all()
    fields = {key: np.where(mask, value, NAN) for key, value in parts["fields"].items()}
    inner = Evaluator(fields, parts["groups"], vectors=parts["vectors"]).evaluate(
        example(OPERATORS[name])
    )
    if not OPERATORS[name].reads_across and OPERATORS[name].category != "Vector":
        by_hand = Evaluator({"z": np.where(mask, inner, NAN)}).evaluate("rank(z)")
        np.testing.assert_allclose(found, by_hand, atol=1e-12)


@pytest.mark.parametrize("name", one_in(4, REGULAR))
@pytest.mark.parametrize("nan_handling", [False, True])
def test_what_is_nan_outside_already_need_not_be_hidden(name, nan_handling, monkeypatch):
    call = example(OPERATORS[name])
    texts = [call, f"rank(-1 * {call}) + x", f"zscore(2 - {call})", f"max(1, abs({call}))"]
    mask = np.random.default_rng(3).random((DAYS, NAMES)) < 0.6
    found = [evaluator(data(), mask=mask, nan_handling=nan_handling).evaluate(t) for t in texts]
    monkeypatch.setattr(Evaluator, "_shows_gaps", lambda self, node: False)
    for text, values in zip(texts, found, strict=True):
        assert np.isnan(values[~mask]).all()
        hidden = evaluator(data(), mask=mask, nan_handling=nan_handling).evaluate(text)
        np.testing.assert_array_equal(values, hidden)


def test_canonical_form_evaluates_to_the_same_bits():
    parts = data()
    for text in [
        "x + y * x - 3",
        "b = ts_mean(y, 3); c = -b; rank(c) ? max(y, x, 2) : group_rank(x, g)",
        "add(y, x, 1.5, filter=true) / ts_stddev(y, 5)",
    ]:
        found = evaluator(parts).evaluate(text)
        again = evaluator(parts).evaluate(parse(text).canonical)
        np.testing.assert_array_equal(found, again)


def test_time_series_operators_give_0_for_windows_of_nothing_with_nan_handling():
    x = np.array([[1.0, NAN], [NAN, NAN], [NAN, NAN], [NAN, NAN], [2, NAN]])
    handled = Evaluator({"x": x}, nan_handling=True).evaluate("ts_mean(x, 2)")
    np.testing.assert_array_equal(handled[:, 0], [NAN, NAN, 0, 0, NAN])
    np.testing.assert_array_equal(handled[:, 1], [NAN, 0, 0, 0, 0])
    plain = Evaluator({"x": x}).evaluate("ts_mean(x, 2)")
    assert np.isnan(plain).all()


def test_logic_keeps_nan_so_a_missing_price_is_no_position():
    x = np.array([[1.0, NAN, 0]])
    found = Evaluator({"x": x})
    np.testing.assert_array_equal(found.evaluate("x > 0.5")[0], [1, NAN, 0])
    np.testing.assert_array_equal(found.evaluate("x > 0.5 ? 10 : 20")[0], [10, NAN, 20])
    np.testing.assert_array_equal(found.evaluate("!x")[0], [0, NAN, 1])
    np.testing.assert_array_equal(found.evaluate("is_nan(x)")[0], [0, 1, 0])
    np.testing.assert_array_equal(found.evaluate("x && 1")[0], [1, NAN, 0])


def test_arithmetic_follows_ieee_at_the_edges():
    x = np.array([[1.0, 0, -4, NAN]])
    found = Evaluator({"x": x})
    np.testing.assert_array_equal(found.evaluate("1 / x")[0], [1, np.inf, -0.25, NAN])
    np.testing.assert_array_equal(found.evaluate("sqrt(x)")[0], [1, 0, NAN, NAN])
    np.testing.assert_array_equal(found.evaluate("log(x)")[0], [0, -np.inf, NAN, NAN])
    np.testing.assert_array_equal(found.evaluate("add(x, 1, filter=true)")[0], [2, 1, -3, 1])
    np.testing.assert_array_equal(found.evaluate("multiply(x, 2, filter=true)")[0], [2, 0, -8, 2])
    np.testing.assert_array_equal(found.evaluate("max(x, 0)")[0], [1, 0, 0, NAN])
    np.testing.assert_array_equal(found.evaluate("x ^ 0")[0], [1, 1, 1, NAN])
    np.testing.assert_array_equal(found.evaluate("7")[0], [7, 7, 7, 7])
    np.testing.assert_array_equal(found.evaluate("2 ^ 3 + nan")[0], [NAN] * 4)


def test_vectors_are_reduced_cell_by_cell():
    field = VectorField(np.array([1.0, 2, 6, NAN, 4]), np.array([0, 3, 3, 5, 5], np.int64), (2, 2))
    found = Evaluator({"x": np.zeros((2, 2))}, vectors={"v": field})
    expected = {
        "vec_avg": [3, NAN, 4, NAN],
        "vec_sum": [9, NAN, 4, NAN],
        "vec_count": [3, 0, 1, 0],
        "vec_max": [6, NAN, 4, NAN],
        "vec_min": [1, NAN, 4, NAN],
        "vec_range": [5, NAN, 0, NAN],
        "vec_stddev": [np.std([1, 2, 6]), NAN, 0, NAN],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found.evaluate(f"{name}(v)").ravel(), values)


def test_kept_values_stay_within_the_bound_and_are_used_again():
    x = np.random.default_rng(1).normal(size=(100, 50))
    small = Evaluator({"x": x}, cache_bytes=3 * x.nbytes)
    for d in range(2, 30):
        small.evaluate(f"ts_mean(rank(x), {d})")
    assert small._cache.bytes <= 3 * x.nbytes
    first = small.evaluate("ts_mean(rank(x), 29)")
    assert np.shares_memory(first, small.evaluate("tsmean(rank(x), 29.0)"))


def test_threads_may_share_an_evaluator():
    parts = data()
    texts = [
        f"rank(ts_mean(x, {d})) + ts_corr(x, y, {d}) * group_zscore(y, g)" for d in range(2, 9)
    ] * 8
    alone = [evaluator(parts).evaluate(text) for text in texts[:7]]
    shared = evaluator(parts, cache_bytes=20_000)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(shared.evaluate, texts))
    for index, values in enumerate(found):
        np.testing.assert_array_equal(values, alone[index % 7])


def test_a_mapping_of_frames_and_a_panel_can_be_evaluated():
    frame = pd.DataFrame(np.arange(12.0).reshape(4, 3))
    labels = np.array([[0, 0, 1]] * 4)
    found = evaluate("group_neutralize(close, sector)", {"close": frame, "sector": labels})
    np.testing.assert_array_equal(found[0], [-0.5, 0.5, 0])
    panel = SimpleNamespace(fields={"close": frame.to_numpy()}, groups={"sector": labels})
    np.testing.assert_array_equal(evaluate("group_neutralize(close, sector)", panel), found)


def test_whole_number_volumes_are_a_field():
    found = evaluate("rank(volume)", {"volume": np.array([[100, 300, 200]])})
    assert found.tolist() == [[0, 1, 0.5]]


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="y has shape"):
        Evaluator({"x": np.zeros((2, 3)), "y": np.zeros((3, 2))})
    with pytest.raises(ValueError, match="mask has shape"):
        Evaluator({"x": np.zeros((2, 3))}, mask=np.ones((2, 2), bool))
    with pytest.raises(ValueError, match="at least one field"):
        Evaluator({})


def test_an_expression_that_cannot_run_is_refused():
    with pytest.raises(ExpressionError, match="did you mean 'close'"):
        Evaluator({"close": np.zeros((2, 3))}).evaluate("rank(closee)")


def test_panels_without_days_or_names_give_empty_results():
    for shape in [(0, 3), (3, 0)]:
        names = ("x", "y", "close", "returns")
        fields = {name: np.zeros(shape) for name in names}
        empty = Evaluator(fields, {"g": np.zeros(shape, np.int32)})
        for operator in map(OPERATORS.__getitem__, REGULAR):
            if operator.category != "Vector":
                assert empty.evaluate(example(operator)).shape == shape


def test_warm_up_reports_each_operator():
    seen: list[tuple[int, int, str]] = []
    assert warm_up(lambda done, total, name: seen.append((done, total, name))) == len(REGULAR)
    assert [name for _, _, name in seen] == REGULAR


@pytest.mark.parametrize("place", range(8, 16))
@pytest.mark.parametrize("dense", ["false", "true"])
def test_an_infinite_value_counts_in_every_window_that_holds_it(place, dense):
    """Windows lie differently to the blocks that the kernel adds up."""
    values = np.ones((30, 1))
    values[place] = np.inf
    found = evaluate(f"ts_decay_linear(x, 5, dense={dense})", {"x": values})[:, 0]
    held = (np.arange(30) >= place) & (np.arange(30) < place + 5)
    np.testing.assert_array_equal(found[4:], np.where(held, np.inf, 1.0)[4:])
