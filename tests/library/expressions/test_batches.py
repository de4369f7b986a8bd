"""Batches and threads give what single evaluations give, cell by cell."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import Evaluator, buffers

TEXTS = (
    "rank(ts_mean(x, 5)) - rank(ts_delta(y, 3))",
    "ts_corr(rank(x), rank(y), 6)",
    "rank(ts_mean(x, 5))",
    "ts_mean(x, 5) > y ? -x : x * y + 1",
    "rank(rank(rank(x)))",
    "rank(ts_mean(x, 5)) - rank(ts_delta(y, 3))",
    "3 + 4",
    "x",
)


@pytest.fixture(scope="module")
def fields() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    shape = (70, 600)
    x = rng.standard_normal(shape)
    x[rng.random(shape) < 0.05] = np.nan
    return {"x": x, "y": rng.standard_normal(shape)}


@pytest.mark.parametrize("cache_bytes", [0, 400_000, 2**30])
@pytest.mark.parametrize("masked", [False, True])
def test_a_batch_equals_single_evaluations(
    fields: dict[str, np.ndarray], cache_bytes: int, masked: bool
) -> None:
    mask = fields["y"] > -1 if masked else None
    alone = Evaluator(fields, mask=mask, cache_bytes=0)
    batch = dict(Evaluator(fields, mask=mask, cache_bytes=cache_bytes).evaluate_many(TEXTS))
    assert sorted(batch) == list(range(len(TEXTS)))
    for place, text in enumerate(TEXTS):
        np.testing.assert_array_equal(batch[place], alone.evaluate(text))


def test_a_batch_refuses_before_it_calculates(fields: dict[str, np.ndarray]) -> None:
    with pytest.raises(ExpressionError, match="volum"):
        next(Evaluator(fields).evaluate_many(["x", "rank(volum)"]))


def test_threads_do_not_change_values(fields: dict[str, np.ndarray]) -> None:
    for text in TEXTS:
        one = Evaluator(fields, threads=1).evaluate(text)
        np.testing.assert_array_equal(one, Evaluator(fields, threads=4).evaluate(text))


def test_memory_comes_back_only_when_no_view_is_left() -> None:
    buffers.release()
    array = buffers.empty((300, 300))
    array.fill(7.0)
    row = array[5]
    address = array.ctypes.data
    del array
    gc.collect()
    assert buffers.empty((300, 300)).ctypes.data != address
    assert (row == 7.0).all()
    del row
    gc.collect()
    assert buffers.empty((300, 300)).ctypes.data == address
