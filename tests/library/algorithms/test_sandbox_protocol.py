"""The bytes between the arena and the child, and what a run leaves behind."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.algorithms import sandbox_wire as wire
from alphafoundry.algorithms.contract import AlgorithmFailed, Validated
from alphafoundry.algorithms.sandbox import Call, CallFailure, Sandbox, SandboxLimits
from alphafoundry.finance.orders import Order
from tests.library.algorithms.bars import rising_bars, walking_bars
from tests.library.algorithms.hostile import ESCAPES, in_call
from tests.property_tests import examples


@given(st.binary(max_size=600))
@settings(max_examples=examples(300), deadline=None)
def test_any_bytes_are_notes_or_a_value_error(payload: bytes) -> None:
    try:
        found = wire.read_notes(payload)
    except ValueError:
        return
    for _, kind, line, reason in found:
        assert kind in wire.KINDS
        assert line is None or line > 0
        assert len(reason) <= 200
        assert reason.isprintable()


@given(st.integers(0, 2**32 - 1), st.sampled_from(wire.KINDS), st.text(max_size=500))
@settings(deadline=None)
def test_a_note_comes_back(call: int, kind: str, reason: str) -> None:
    payload = wire.note(call, kind, 7, reason)  # type: ignore[arg-type]
    ((at, found, line, text),) = wire.read_notes(payload)
    assert (at, found, line) == (call, kind, 7)
    assert text == wire.plain(text)


def test_calls_of_many_tickers_are_answered_in_order() -> None:
    source = """
def execute_trade(ticker, price, tick, cash_balance, shares_held):
    if ticker == "T1":
        return 1 / (tick - tick) and "BUY"
    return ("BUY", int(ticker[1:]) + 1) if len(history) == 4 + tick else "HOLD"
"""
    names = [f"T{index}" for index in range(40)]
    table = rising_bars(days=10).table()
    with Sandbox().start(source, names, dict.fromkeys(names, table[:3])) as running:
        for tick, row in enumerate(table[3:]):
            bar = (row[0], row[1], row[2], row[3], row[4])
            decisions = running.decide([Call(i, tick, bar, 1.0, 0) for i in range(40)])
            for index, decision in enumerate(decisions):
                if index == 1:
                    assert isinstance(decision, CallFailure)
                    assert (decision.kind, decision.line) == ("error", 4)
                else:
                    assert decision == Order("BUY", index + 1)
        assert running.calls == 7 * 40


def test_history_grows_and_keeps_its_values() -> None:
    source = """
def execute_trade(ticker, cash_balance, shares_held):
    expected = np.arange(1.0, len(history) + 1.0)
    for values in (history.open, history.high, history.low, history.close, history.volume):
        if not np.array_equal(values, expected) or values.flags.writeable:
            raise ValueError("BUY")
    return "HOLD"
"""
    Sandbox().smoke(source, rising_bars(days=300))


def test_nothing_stays_open_and_no_folder_stays() -> None:
    before = _descriptors()
    for name in ("fork bomb", "os._exit", "garbage for an answer"):
        with pytest.raises(AlgorithmFailed):
            Sandbox().smoke(Validated(ESCAPES[name][0], "simple"), walking_bars(days=3))
    with Sandbox().start(in_call("x = 'BUY'", before=""), ["A"], {"A": np.ones((1, 5))}) as running:
        assert not list(Path(tempfile.gettempdir()).glob("algorithm-*/*"))
        assert "seccomp" in repr(running) or "audit" in repr(running)
    running.close()
    assert _descriptors() == before


def test_a_sandbox_that_is_not_up_in_time_says_so() -> None:
    with pytest.raises(AlgorithmFailed, match="not up in time") as caught:
        Sandbox(SandboxLimits(start_seconds=0.001)).smoke(
            in_call("x = 'BUY'", before=""), rising_bars()
        )
    assert caught.value.kind == "start"


def test_sandboxes_run_in_threads_side_by_side() -> None:
    failed: list[BaseException] = []

    def smoke() -> None:
        try:
            Sandbox().smoke(in_call("x = 'BUY'", before=""), walking_bars(days=30))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=smoke) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def _descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))
