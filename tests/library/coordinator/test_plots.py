"""The pictures of a workflow show what its numbers say."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from alphafoundry.coordinator.phase_outputs import Benchmark, Equity
from alphafoundry.coordinator.plots import equity_curve


@pytest.mark.parametrize("split", [0, 40])
def test_equity_is_drawn_with_its_drawdown(split: int) -> None:
    days = [str(day) for day in np.arange("2024-01-01", "2024-03-01", dtype="datetime64[D]")]
    values = np.linspace(100.0, 130.0, len(days))
    picture = equity_curve(
        "later",
        Equity(days, values.tolist(), split),
        "out_of_sample",
        "made up",
        benchmark=Benchmark({}, values[split:].tolist(), 3),
        capital=100.0,
        currency="USD",
    )
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack(">II", picture[16:24]) == (1000, 650)
