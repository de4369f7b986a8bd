from __future__ import annotations

import numpy as np

from alphafoundry.market.assembly import build_panel
from alphafoundry.market.bars import Bars
from alphafoundry.market.cautions import cautions


def test_generated_prices_say_so_and_are_not_warned_of_as_real_ones_are() -> None:
    dates = np.arange("2020-01-01", "2020-03-01", dtype="datetime64[D]")
    steps = np.random.default_rng(0).normal(0, 0.01, size=(len(dates), 2))

    def made(*, synthetic: bool) -> tuple[str, bool, int]:
        bars = Bars(dates, np.array(["A", "B"]), {"close": 100 * np.exp(steps.cumsum(axis=0))})
        panel = build_panel(
            bars,
            source="walks",
            name="two walks",
            groupings={},
            progress=lambda _: None,
            synthetic=synthetic,
        )
        return panel.label[:19], panel.synthetic, len(cautions(panel))

    assert made(synthetic=True) == ("SYNTHETIC two walks", True, 0)
    label, synthetic, told = made(synthetic=False)
    assert label.startswith("two walks")
    assert not synthetic
    assert told > 0
