"""Batches and threads give what single evaluations give, cell by cell."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import Evaluator, buffers, parse
from alphafoundry.expressions.batch import Batch
from alphafoundry.expressions.graph import Graph

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


def _after_each(texts: Sequence[str], limit: int) -> Iterator[tuple[Batch, str, set[str]]]:
    """Yield a batch after each expression, its root, and the values that had to be calculated."""
    graph = Graph([parse(text).canonical_form for text in texts])
    batch = Batch(graph, limit)
    for place in batch.order:
        root = graph.roots[place]
        calculated: dict[str, None] = {}
        stack = [root]
        while stack:
            here = stack.pop()
            if here not in calculated and batch.get(here) is None:
                calculated[here] = None
                stack.extend(graph.sources(here))
        for text in calculated:
            batch.put(text, np.zeros(100))
        batch.done()
        yield batch, root, set(calculated)


def test_a_batch_calculates_each_value_once_and_keeps_none_that_no_one_reads() -> None:
    texts = [f"ts_mean(rank(x), {d % 7 + 2}) * ts_delta(y, {d % 11 + 1}) + {d}" for d in range(80)]
    seen: set[str] = set()
    held = [0]
    for batch, _, calculated in _after_each(texts, 2**40):
        assert not {text for text in calculated if "(" in text} & seen
        seen |= calculated
        held.append(sum(batch.get(text) is not None for text in seen))
    assert max(held) > 5
    assert held[-1] == 0


@pytest.mark.parametrize("values", [0, 1, 4])
def test_a_batch_never_keeps_more_than_its_limit(values: int) -> None:
    texts = [f"ts_mean(rank(x), {d % 7 + 2}) * ts_delta(y, {d % 11 + 1}) + {d}" for d in range(80)]
    seen: set[str] = set()
    for batch, _, calculated in _after_each(texts, values * 800):
        seen |= calculated
        assert sum(batch.get(text) is not None for text in seen) <= values


def test_planning_a_batch_looks_at_what_it_keeps_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work of forgetting is that of keeping, however many expressions there are."""
    looked = 0
    forget = Batch._forget

    def counted(self: Batch, text: str) -> None:
        nonlocal looked
        looked += 1
        forget(self, text)

    monkeypatch.setattr(Batch, "_forget", counted)
    texts = [f"ts_mean(rank(x + {d % 50}), 5) + {d}" for d in range(400)]
    kept = sum(len(calculated) for _, _, calculated in _after_each(texts, 2**40))
    assert 0 < looked <= kept


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
