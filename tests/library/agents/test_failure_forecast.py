"""Failures foretold from a desk's own ticks: no look ahead, better than a rate, and told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from alphafoundry.agents.failure_forecast import (
    LEAST_FAILURES,
    EndedTick,
    History,
    examples,
    failure_chances,
    fit,
    foretold,
)
from alphafoundry.agents.hours import seconds, utc
from alphafoundry.agents.status import desk_status
from alphafoundry.store import open_store
from alphafoundry.store.agents import desk_transaction, open_agent_desk, read_agent_desk
from tests.library.agents.desks import at

NOON = at("2024-01-05T12:00")
TIMEOUTS = {"a": 60, "b": 60, "c": 120}


def ticks_with_outages(seed: int, count: int = 700) -> list[EndedTick]:
    """Three agents each minute; outages of a quarter of an hour, of all three."""
    draws = np.random.default_rng(seed)
    out = np.repeat(draws.random(count // 15 + 1) < 0.1, 15)
    found = []
    for minute in range(count):
        for place, agent in enumerate(TIMEOUTS):
            due = NOON + 60 * minute + place
            failed = bool(draws.random() < (0.9 if out[minute] else 0.01))
            found.append(EndedTick(agent, due, due + 1, due + 3, failed))
    return found


def test_the_weights_are_those_of_a_general_minimiser() -> None:
    draws = np.random.default_rng(3)
    features = np.column_stack([np.ones(300), draws.normal(size=(300, 5))])
    failed = (draws.random(300) < 1 / (1 + np.exp(1.0 - features @ np.ones(6)))).astype(float)
    trust = np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0])

    def loss(weights: np.ndarray) -> float:
        odds = features @ weights
        likelihood = failed @ odds - np.logaddexp(0.0, odds).sum()
        return float(((weights - trust) ** 2).sum() - likelihood)

    best = minimize(loss, trust, method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose(fit(features, failed), best, atol=1e-5)
    np.testing.assert_array_equal(fit(features[:0], failed[:0]), trust)


def test_what_comes_later_changes_nothing_that_was_foretold() -> None:
    ticks = ticks_with_outages(1)
    whole = list(examples(ticks, History(TIMEOUTS)))
    half = [tick for tick in ticks if tick.due_at <= NOON + 60 * 300]
    assert whole[: len(half)] == list(examples(half[::-1], History(TIMEOUTS)))
    # One that is still under way when the next is due is not known then.
    slow = EndedTick("a", NOON, NOON, NOON + 90, True)
    after = EndedTick("a", NOON + 60, NOON + 60, NOON + 61, False)
    (_, _), (features, _) = examples([slow, after], History(TIMEOUTS))
    assert features[2] == 0.0
    chances, came = foretold(ticks, TIMEOUTS)
    first, _ = foretold(half, TIMEOUTS)
    np.testing.assert_array_equal(first[:750], chances[:750])
    assert np.isnan(chances[:250]).all() and set(came) == {0.0, 1.0}


def test_outages_are_foretold_better_than_by_a_rate() -> None:
    chances, came = foretold(ticks_with_outages(2, 1500), TIMEOUTS)
    known = np.isfinite(chances)
    rate = came[known].mean()
    brier, base = np.mean((chances[known] - came[known]) ** 2), rate * (1.0 - rate)
    # The rate of the very ticks is more than anybody could have known.
    assert brier < 0.8 * base
    assert abs(chances[known].mean() - rate) < 0.03


def keep(store: object, ticks: Sequence[EndedTick]) -> None:
    nothing = [None] * len(ticks)
    with desk_transaction(store, "test") as rows:  # type: ignore[arg-type]
        rows.add_ticks(
            {
                "agent": [tick.agent for tick in ticks],
                "due_at": [utc(tick.due_at) for tick in ticks],
                "position": list(range(len(ticks))),
                "outcome": ["failed" if tick.failed else "ran" for tick in ticks],
                "reason": [""] * len(ticks),
                "claimed_at": [utc(tick.claimed_at) for tick in ticks],
                "ended_at": [utc(tick.ended_at) for tick in ticks],
                "attempts": [1] * len(ticks),
                "only_safe": [False] * len(ticks),
                **dict.fromkeys(
                    ("lease_until", "wall_claimed", "wall_ended", "worker", "result", "seen"),
                    nothing,
                ),
            }
        )
        rows.put_states({name: {"interval": 60.0, "seen_until": NOON} for name in TIMEOUTS})


@pytest.mark.parametrize("failures", [LEAST_FAILURES - 1, 40])
def test_status_tells_who_is_likely_to_fail(tmp_path: Path, failures: int) -> None:
    with open_store(None, home=tmp_path) as store:
        open_agent_desk(
            store,
            "test",
            market_label="a test",
            clock="wall",
            began_at=utc(NOON),
            schedule={"tasks": {"c": {"timeout_minutes": 2}}},
            settings={},
        )
        minutes = range(150)
        ticks = [
            EndedTick(agent, NOON + 60 * minute, NOON + 60 * minute, NOON + 60 * minute + 2,
                      agent == "b" and minute >= 150 - failures)
            for minute in minutes for agent in TIMEOUTS
        ]  # fmt: skip
        keep(store, ticks)
        desk = read_agent_desk(store)
        now = seconds(utc(NOON) + timedelta(minutes=150))
        found = failure_chances(store, desk, now)
        status = desk_status(store)
        told = [line for line in status.lines() if "likely to fail" in line]
        if failures < LEAST_FAILURES:
            assert found == {} and told == []
            return
        assert found["b"] > 0.9 and found["a"] < 0.2 and found["c"] < 0.2
        assert told == [f"likely to fail next: b ({status.chances['b']:.0%})"]
        row = next(row for row in status.rows() if row[0] == "b")
        assert row[status.headings().index("fails next")] == f"{status.chances['b']:.0%}"
