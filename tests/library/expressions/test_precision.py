"""Values kept in half the memory."""

from __future__ import annotations

import numpy as np
import pytest

from alphafoundry.expressions import OPERATORS, Evaluator
from alphafoundry.expressions.warm_up import example
from tests.library.expressions.test_evaluator import data

EXACT_MATTERS = {"equal", "not_equal", "ts_co_kurtosis", "ts_theilsen"}
TOLERANT = sorted(OPERATORS.names("REGULAR") - EXACT_MATTERS)


@pytest.mark.parametrize("name", TOLERANT)
def test_half_the_memory_is_off_by_what_rounding_the_inputs_does(name):
    """Documented: 6e-8 of the size of the inputs; here values are around 1."""
    parts = data()
    text = example(OPERATORS[name])
    options = {"vectors": parts["vectors"]}
    whole = Evaluator(parts["fields"], parts["groups"], **options).evaluate(text)
    half = Evaluator(parts["fields"], parts["groups"], precision="float32", **options)
    found = half.evaluate(text)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(found), np.isnan(whole))
    np.testing.assert_allclose(found, whole, rtol=2e-4, atol=2e-5)


def test_what_is_kept_changes_nothing():
    parts = data()
    text = "rank(ts_mean(x, 5) / ts_std_dev(y, 9))"
    kept = Evaluator(parts["fields"], parts["groups"], precision="float32")
    first = kept.evaluate(text)
    np.testing.assert_array_equal(kept.evaluate(text), first)
    fresh = Evaluator(parts["fields"], parts["groups"], precision="float32", cache_bytes=0)
    np.testing.assert_array_equal(fresh.evaluate(text), first)
    ((_, many),) = fresh.evaluate_many([text])
    np.testing.assert_array_equal(many, first)
