"""The cumulative sum against the sum written out, and its false alarms against its promise."""

from __future__ import annotations

import numpy as np
import pytest

from alphafoundry.errors import EvidenceError
from alphafoundry.evidence import cusum_threshold, lower_cusum


def test_it_is_the_deepest_fall_of_the_running_sum_that_ends_today() -> None:
    values = np.random.default_rng(1).normal(size=200)
    steps = np.concatenate([[0.0], np.cumsum(-(values - 0.1) / 2.0 - 0.05)])
    expected = max(steps[-1] - steps[: len(steps)].min(), 0.0)
    found = lower_cusum(values, mean=0.1, deviation=2.0, allowance=0.05)
    assert found == pytest.approx(expected, abs=1e-12)


def test_false_alarms_come_about_as_seldom_as_promised() -> None:
    draw = np.random.default_rng(2)
    threshold = cusum_threshold(allowance=0.5, run_length=100.0)
    lengths = []
    for _ in range(300):
        level, day = 0.0, 0
        while level <= threshold:
            level, day = max(0.0, level - draw.normal() - 0.5), day + 1
        lengths.append(day)
    assert np.mean(lengths) == pytest.approx(100.0, rel=0.2)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(EvidenceError, match="above 0"):
        lower_cusum([0.0], mean=0.0, deviation=0.0, allowance=0.1)
    with pytest.raises(EvidenceError, match="10 days"):
        cusum_threshold(allowance=0.1, run_length=1.0)
