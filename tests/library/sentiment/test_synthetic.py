"""Generated headlines: the same for the same seed, and true in the way they say."""

from __future__ import annotations

import numpy as np
import pytest

from alphafoundry.market.panel import Panel
from alphafoundry.sentiment import (
    Planted,
    balanced_accuracy,
    classified,
    foretold,
    headlines_of_session,
    lean_returns,
    score_headline,
)
from tests.library.agents.small_desks import small_panel


@pytest.fixture(scope="module")
def panel() -> Panel:
    return small_panel()


def many(panel: Panel, *, seed: int = 3) -> list[tuple[int, Planted]]:
    rows = range(20, len(panel.dates) - 5)
    return [
        (row, one)
        for row in rows
        for one in headlines_of_session(panel, row, opens=1000, closes=2000, seed=seed)
    ]


def test_the_same_seed_gives_the_same_headlines_within_the_session(panel: Panel) -> None:
    assert many(panel) == many(panel)
    assert many(panel) != many(panel, seed=4)
    assert all(1000 <= one.headline.published_at < 2000 for _, one in many(panel))


def test_those_that_lean_are_right_three_times_in_four_and_others_are_not(panel: Panel) -> None:
    right: dict[str, list[bool]] = {}
    for row, one in many(panel):
        later = lean_returns(panel, row)[one.place]
        if one.tone and np.isfinite(later):
            right.setdefault(one.kind, []).append(np.sign(later) == one.tone)
    lean = np.mean(right["lean"])
    error = 0.5 / np.sqrt(len(right["lean"]))
    assert abs(lean - 0.75) < 3 * error
    for kind in ("echo", "noise"):
        assert abs(np.mean(right[kind]) - 0.5) < 3.5 * 0.5 / np.sqrt(len(right[kind]))


def test_the_lexicon_reads_their_tone_and_its_scores_foretell(panel: Panel) -> None:
    every = many(panel)
    scores = [score_headline(one.headline.title).value for _, one in every]
    told = [classified(score, 0.1) for score in scores]
    assert balanced_accuracy([one.tone for _, one in every], told) > 0.95
    lean = [n for n, (_, one) in enumerate(every) if one.kind == "lean"]
    found = foretold(
        [scores[n] for n in lean],
        [float(lean_returns(panel, every[n][0])[every[n][1].place]) for n in lean],
    )
    assert found is not None
    assert found.correlation > 3 * found.error


def test_bars_that_are_not_there_yet_make_no_headline_lean(panel: Panel) -> None:
    last = len(panel.dates) - 1
    assert np.isnan(lean_returns(panel, last)).all()
    assert list(headlines_of_session(panel, last, opens=0, closes=100, seed=1))
