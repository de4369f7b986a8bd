"""Which alphas of a store may trade on a session."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alphafoundry.evidence import opening_level
from alphafoundry.store import (
    AlphaRecord,
    DailyPnl,
    Finalist,
    SealedResult,
    Store,
    begin_run,
    finish_opening,
    open_store,
    plan_opening,
    record_alpha,
)
from alphafoundry.trading.portfolio import (
    live_strategies,
    seed_strategies,
)

SERVICE, SESSION = "local:test", date(2021, 3, 1)
DATES = np.busday_offset("2020-01-02", np.arange(250)).astype("datetime64[D]")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'foundry.sqlite'}", home=tmp_path) as opened:
        yield opened


def add(store: Store, name: str, fitness: float, seed: int | None = None, **changes: Any) -> None:
    values: dict[str, Any] = {
        "alpha_id": name,
        "expression": f"rank({name})",
        "settings": {"delay": 1, "decay": 4},
        "fitness": fitness,
        "hopeful": True,
        "market_id": "m1",
        "data_until": date(2021, 2, 26),
    }
    draw = np.random.default_rng(seed if seed is not None else abs(hash(name)) % 1000)
    record_alpha(
        store,
        SERVICE,
        AlphaRecord(**values | changes),
        daily_pnl=DailyPnl(DATES, draw.normal(0.0, 1e4, len(DATES))),
    )


def judge(store: Store, name: str, verdict: Any, sealed_to: date) -> None:
    run = begin_run(store, flow="daily", service=SERVICE)
    one = Finalist(name, f"rank({name})", {"delay": 1}, name, 500, 1.5, 0.5, 2.5, 0.9, 0.8)
    opening = plan_opening(
        store, SERVICE, [one], run_id=run.id, market_id="m1", sealed_from=date(2020, 6, 1),
        sealed_to=sealed_to, trials=10, level_of=opening_level,
    )  # fmt: skip
    finish_opening(store, opening.id, [SealedResult(verdict, "by the sealed days", 200)])


def names(store: Store, **options: Any) -> list[str]:
    chosen = live_strategies(store, SERVICE, session=SESSION, **options)
    return [one.alpha_id for one in chosen.strategies]


def test_the_best_come_first_with_their_settings(store: Store) -> None:
    add(store, "a", 1.0, seed=1)
    add(store, "b", 2.0, seed=2)
    chosen = live_strategies(store, SERVICE, session=SESSION, market_id="m1")
    assert [one.alpha_id for one in chosen.strategies] == ["b", "a"]
    assert chosen.strategies[0].settings.decay == 4
    assert chosen.strategies[0].verdict == "unproven"
    assert chosen.refused == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"settings": {"delay": 0}}, "delay is 0"),
        ({"data_until": SESSION}, "not before the session"),
        ({"data_until": None}, "not known"),
        ({"market_id": "m2"}, "another market"),
    ],
)
def test_what_may_not_trade_is_refused_with_its_reason(
    store: Store, changes: dict[str, Any], reason: str
) -> None:
    add(store, "good", 1.0, seed=1)
    add(store, "bad", 2.0, seed=2, **changes)
    chosen = live_strategies(store, SERVICE, session=SESSION, market_id="m1")
    assert [one.alpha_id for one in chosen.strategies] == ["good"]
    assert reason in chosen.refused["bad"]


def test_a_refuted_alpha_never_trades(store: Store) -> None:
    add(store, "a", 1.0, seed=1)
    add(store, "b", 2.0, seed=2)
    judge(store, "b", "not confirmed", date(2021, 2, 1))
    assert names(store) == ["a"]
    assert names(store, verdicts={"a": "not confirmed"}) == []


def test_a_proof_from_days_to_come_does_not_count_yet(store: Store) -> None:
    add(store, "a", 1.0, seed=1)
    judge(store, "a", "found", date(2021, 2, 1))
    add(store, "b", 2.0, seed=2)
    judge(store, "b", "found", date(2021, 6, 1))
    chosen = live_strategies(store, SERVICE, session=SESSION)
    assert [(one.alpha_id, one.verdict) for one in chosen.strategies] == [
        ("b", "unproven"),
        ("a", "found"),
    ]


def test_variants_of_one_idea_trade_once(store: Store) -> None:
    add(store, "a", 2.0, seed=1)
    add(store, "copy", 1.5, seed=1)
    add(store, "other", 1.0, seed=3)
    chosen = live_strategies(store, SERVICE, session=SESSION, most=2)
    assert [one.alpha_id for one in chosen.strategies] == ["a", "other"]
    assert "1.00 correlated with that of a" in chosen.refused["copy"]


def test_a_fresh_desk_is_seeded_and_says_so(store: Store) -> None:
    add(store, "a", 2.0, seed=1, hopeful=False)
    add(store, "b", 1.0, seed=2)
    assert names(store) == ["b"]
    seeded = seed_strategies(store, SERVICE, session=SESSION).strategies
    assert [(one.alpha_id, one.seeded) for one in seeded] == [("a", True), ("b", True)]
