"""When a discovery counts as a planted effect."""

from __future__ import annotations

import math

import pytest

from alphafoundry.research import classify


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"reversal": 0.7, "momentum": 0.1}, "planted: reversal"),
        ({"reversal": 0.2, "momentum": 0.3}, "planted: momentum"),
        ({"reversal": 0.49}, "noise"),
        ({"reversal": 0.9, "momentum": -0.5}, "noise"),
        ({"reversal": None, "momentum": math.nan, "volume": 0.5}, "planted: volume"),
        ({"volume": 0.4, "reversal": 0.4}, "planted: reversal"),
        ({}, "noise"),
    ],
)
def test_half_of_the_pnl_must_come_from_planted_effects(
    shares: dict[str, float | None], expected: str
) -> None:
    assert classify(shares) == expected
