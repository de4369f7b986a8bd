"""Walk-forward windows: training ends where the test begins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.backtest import walk_forward_windows
from alphafoundry.errors import BacktestError


@settings(deadline=None)
@given(
    n_days=st.integers(60, 2000),
    train=st.integers(10, 50),
    test=st.integers(1, 30),
    step=st.integers(1, 40) | st.none(),
    window_type=st.sampled_from(["fixed", "expanding", "percentage", "adaptive"]),
)
def test_training_is_always_before_its_test(
    n_days: int, train: int, test: int, step: int | None, window_type: str
) -> None:
    returns = np.random.default_rng(n_days).normal(0.0, 0.01, n_days)
    windows = walk_forward_windows(
        n_days,
        train,
        test,
        step,
        window_type=window_type,
        market_returns=returns,  # type: ignore[arg-type]
    )
    for window in windows:
        assert 0 <= window.train.start < window.train.stop == window.test.start
        assert window.test.start < window.test.stop <= n_days
    starts = [window.test.start for window in windows]
    assert starts == sorted(set(starts))
    if step is None:
        ends = [window.test.stop for window in windows]
        assert starts[1:] == ends[:-1]
        assert ends[-1] == n_days


def test_fixed_windows_are_the_ones_counted_by_hand() -> None:
    windows = walk_forward_windows(20, 8, 4, 5)
    assert [(w.train, w.test) for w in windows] == [
        (slice(0, 8), slice(8, 12)),
        (slice(5, 13), slice(13, 17)),
        (slice(10, 18), slice(18, 20)),
    ]


def test_expanding_windows_begin_at_the_first_day_and_at_their_least_length() -> None:
    windows = walk_forward_windows(20, 8, 4, window_type="expanding", min_train=6)
    assert [w.train for w in windows] == [slice(0, 6), slice(0, 10), slice(0, 14), slice(0, 18)]


def test_percentages_are_of_all_days() -> None:
    windows = walk_forward_windows(200, 50, 10, 25, window_type="percentage")
    assert [(w.train, w.test) for w in windows] == [
        (slice(0, 100), slice(100, 120)),
        (slice(50, 150), slice(150, 170)),
    ]


def test_adaptive_windows_shorten_after_a_rise_in_volatility_only() -> None:
    calm, wild = np.tile([0.01, -0.01], 400), np.tile([0.04, -0.04], 50)
    windows = walk_forward_windows(
        900, 300, 50, window_type="adaptive", min_train=40,
        market_returns=np.concatenate([calm, wild]),
    )  # fmt: skip
    lengths = {w.test.start: w.train.stop - w.train.start for w in windows}
    assert lengths[800] == 300
    assert 40 <= lengths[850] < 200


@pytest.mark.parametrize(
    ("days", "lengths", "options", "message"),
    [
        (100, (100, 5), {}, "100 days are too few for 100 days of training"),
        (100, (0, 5), {}, "train 0 must be above 0"),
        (100, (10.5, 5), {}, "train 10.5 must be whole trading days"),
        (100, (50, 120), {"window_type": "percentage"}, "test 120 % is more than 100 %"),
        (
            100,
            (50, 5),
            {"window_type": "rolling"},
            "unknown window_type 'rolling'; choose one of fixed",
        ),
        (100, (50, 5), {"window_type": "adaptive"}, "need market_returns"),
        (100, (50, 5), {"window_type": "expanding", "min_train": 0}, "min_train 0"),
    ],
)
def test_lengths_that_make_no_sense_are_refused(
    days: int, lengths: tuple[float, float], options: dict[str, object], message: str
) -> None:
    with pytest.raises(BacktestError, match=message):
        walk_forward_windows(days, *lengths, **options)  # type: ignore[arg-type]
