"""Signals on disk: the same bits back, and damage noticed."""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from alphafoundry.backtest import SignalStore, expression_strategy, signals_of, strategy_named
from alphafoundry.errors import BacktestError
from tests.library.backtest.markets import made_bars
from tests.piped_commands import program
from tests.property_tests import examples

KEY = "0123456789abcdef"
CROSS = strategy_named("moving_average_cross")
VALUES = {"fast": 3, "slow": 9}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> SignalStore:
    return SignalStore(tmp_path_factory.mktemp("signals"))


@settings(max_examples=examples(120), deadline=None)
@given(
    signals=arrays.arrays(
        np.float64,
        st.tuples(st.integers(1, 30), st.integers(1, 6)),
        elements=st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.1, 5e-324]) | st.floats(-1.0, 1.0),
        fill=st.sampled_from([0.0, 1.0]),
    )
)
def test_what_is_put_comes_back_bit_for_bit(shared: SignalStore, signals: np.ndarray) -> None:
    shared.put(KEY, signals)
    found = shared.get(KEY)
    assert found is not None
    assert found.shape == signals.shape
    assert found.tobytes() == signals.tobytes()


def test_long_signals_come_back_too(shared: SignalStore) -> None:
    random = np.random.default_rng(0)
    signals = np.repeat(random.integers(-1, 2, (700, 3)), 100, axis=0).astype(float)
    shared.put(KEY, signals)
    np.testing.assert_array_equal(shared.get(KEY), signals)


def test_signals_that_rarely_change_take_little_room(tmp_path: Path) -> None:
    signals = np.repeat(np.random.default_rng(0).integers(-1, 2, (50, 20)), 50, axis=0)
    path = SignalStore(tmp_path).put(KEY, signals.astype(float))
    assert path.stat().st_size < signals.size * 8 / 50


def test_the_key_is_that_of_bars_strategy_and_complete_parameters() -> None:
    bars = made_bars()
    key = SignalStore.key(bars, CROSS, VALUES)
    assert len(key) == 16
    assert key == SignalStore.key(made_bars(), CROSS, {**VALUES, "direction": "long_short"})
    others = [
        SignalStore.key(made_bars(1), CROSS, VALUES),
        SignalStore.key(bars.between(0, 100), CROSS, VALUES),
        SignalStore.key(bars, CROSS, {**VALUES, "fast": 4}),
        SignalStore.key(bars, strategy_named("momentum"), {}),
        SignalStore.key(bars, expression_strategy("-close"), {}),
        SignalStore.key(bars, expression_strategy("-close", mode="cross_section"), {}),
    ]
    assert len({key, *others}) == 7


@pytest.mark.parametrize("damage", ["truncated", "flipped", "emptied", "pickled"])
def test_a_damaged_file_is_computed_again_with_a_warning(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store, bars = SignalStore(tmp_path), made_bars()
    expected = store.signals(bars, CROSS, VALUES)
    key = store.key(bars, CROSS, VALUES)
    path = tmp_path / f"{key}.signals"
    content = bytearray(path.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 3] ^= 0xFF
    elif damage == "emptied":
        content = bytearray()
    else:
        buffer = io.BytesIO()
        np.savez(buffer, rows=np.array([{"not": "numbers"}], dtype=object))
        body = buffer.getvalue()
        content = bytearray(content[:8] + hashlib.sha256(body).digest() + body)
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert store.get(key) is None
    assert "is damaged" in caplog.text
    assert not store.has(key)
    np.testing.assert_array_equal(store.signals(bars, CROSS, VALUES), expected)
    assert store.has(key)


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    store = SignalStore(tmp_path)
    signals = np.repeat(np.random.default_rng(1).integers(-1, 2, (6, 3)), 5, axis=0).astype(float)
    path = store.put(KEY, signals)
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        broken = bytearray(content)
        broken[place] ^= 0x55
        path.write_bytes(broken)
        assert store.get(KEY) is None


def test_a_stored_signal_is_read_and_not_computed(tmp_path: Path) -> None:
    store, bars = SignalStore(tmp_path), made_bars()
    marked = np.full(bars.shape, 0.5)
    store.put(store.key(bars, CROSS, VALUES), marked)
    np.testing.assert_array_equal(store.signals(bars, CROSS, VALUES), marked)


def put_often(folder: Path, value: float) -> None:
    store = SignalStore(folder)
    for _ in range(50):
        store.put(KEY, np.full((200, 10), value))


def test_two_processes_that_write_the_same_key_leave_one_whole_file(tmp_path: Path) -> None:
    text = f"import sys; from {__name__} import *; "
    text += f"put_often(Path({str(tmp_path)!r}), float(sys.argv[1]))"
    seen = set()
    with (
        program(f"import sys; {text}", "1.0") as one,
        program(f"import sys; {text}", "-1.0") as two,
    ):
        store = SignalStore(tmp_path)
        while one.poll() is None or two.poll() is None:
            found = store.get(KEY)
            if found is not None:
                assert (found == found[0, 0]).all()
                seen.add(float(found[0, 0]))
        assert [one.wait(), two.wait()] == [0, 0]
    assert store.get(KEY) is not None
    assert seen <= {1.0, -1.0}
    assert [path.name for path in tmp_path.iterdir()] == [f"{KEY}.signals"]


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    store = SignalStore(tmp_path)
    with pytest.raises(BacktestError, match="without NaN"):
        store.put(KEY, np.full((2, 2), np.nan))
    with pytest.raises(BacktestError, match="not a signal's key"):
        store.get("../../etc/passwd")
    (tmp_path / "file").write_text("")
    with pytest.raises(BacktestError, match="cannot keep signals here"):
        SignalStore(tmp_path / "file" / "folder")


def test_the_store_gives_what_signals_of_gives(tmp_path: Path) -> None:
    bars = made_bars(gaps=0.02)
    store = SignalStore(tmp_path)
    for name, values in (("mean_reversion", {}), ("rsi", {"window": 4})):
        strategy = strategy_named(name)
        for _ in range(2):
            np.testing.assert_array_equal(
                store.signals(bars, strategy, values), signals_of(bars, strategy, values)
            )
