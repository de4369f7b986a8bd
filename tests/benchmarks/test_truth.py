"""What `make bench-truth` counts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from alphafoundry.market import Panel
from benchmarks import truth
from benchmarks.truth import Part, clustered, measure, rows_of, theoretical_power
from tests.library.research.searches import make_market


@pytest.mark.parametrize("small", [True, pytest.param(False, marks=pytest.mark.long)])
def test_a_tiny_form_of_the_whole_measures_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: bool
) -> None:
    monkeypatch.setattr(truth, "KEPT", tmp_path)
    if small:
        monkeypatch.setattr(truth, "market_of", small_market)
    parts = (Part(0.0, 10, 1, 2), Part(2.0, 10, 1, 1))
    rows = measure(parts, workers=1)
    null = rows[0]
    assert null["part"] == "null-10" and null["searches"] == 1
    assert null["found"] == 0.0
    power = rows[1:]
    assert {row["part"] for row in power} == {"planted-2"}
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert len(kept) == 2

    def again(*_: object) -> Any:
        raise AssertionError("a search that is kept was made again")

    monkeypatch.setattr(truth, "search_and_judge", again)
    assert measure(parts, workers=1) == rows


def small_market(seed: int, strength: float, continuation: tuple[int, int] | None = None) -> Panel:
    """A market of seconds, with another future where one is asked for."""
    panel = make_market(seed, reversal=0.08 * strength)
    if continuation is None:
        return panel
    row, number = continuation
    other = make_market(1000 + number, reversal=0.08 * strength)
    fields = {
        name: np.vstack([array[:row], other.fields[name][row:]])
        for name, array in panel.fields.items()
    }
    return replace(panel, fields=fields)


def test_a_search_is_judged_on_each_of_its_futures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(truth, "KEPT", tmp_path)
    monkeypatch.setattr(truth, "market_of", small_market)
    found = truth.one_search(Part(1.0, 8, 1, 3), 103)
    assert 0 < found["trials"] <= 8
    assert found["hopeful"] >= len(found["finalists"]) > 0
    assert [len(future) for future in found["futures"]] == 3 * [len(found["finalists"])]
    sealed = {future[0]["sealed_sharpe"] for future in found["futures"]}
    assert len(sealed) == 3, "each future has numbers of its own"
    assert truth.one_search(Part(1.0, 8, 1, 3), 103) == json.loads(json.dumps(found, default=str))


def search(verdicts: list[list[str]], true: float = 0.0, *, hopeful: int = 1) -> dict[str, Any]:
    return {
        "trials": 60,
        "sealed_days": 378,
        "hopeful": hopeful,
        "passing": 0,
        "best_sharpe": 1.0,
        "best_in_deviations": 2.0,
        "best_t": 2.0,
        "best_dsr": 0.5,
        "finalists": [{}] * len(verdicts[0]),
        "futures": [
            [{"verdict": verdict, "true_sharpe": true} for verdict in future] for future in verdicts
        ],
    }


def test_a_false_find_of_any_finalist_counts_and_hopeful_alphas_fail_the_same_check() -> None:
    part = Part(0.0, 60, 2, 2)
    (row,) = rows_of(
        part,
        [
            search([["found", "unproven"], ["unproven", "not confirmed"]]),
            search([["unproven"], ["unproven"]]),
        ],
    )
    assert row["found"] == 0.25
    assert row["hopeful_rule"] == 1.0 and row["hopeful_rule_low"] > 0.05


def test_power_stands_beside_the_theoretical_one() -> None:
    rows = rows_of(
        Part(1.0, 60, 2, 1),
        [search([["found", "found"]], 2.4), search([["found", "unproven"]], 0.1)],
    )
    assert [row["judged"] for row in rows] == [2, 2, 2]
    assert rows[0]["found"] == 0.5 and rows[1]["found"] == 1.0
    assert rows[-1]["found"] == 1.0
    assert rows[-1]["false_among_found"] == pytest.approx(1 / 3, abs=1e-3)


def test_theoretical_power_is_that_of_draws() -> None:
    draws = np.random.default_rng(0).normal(1.0 / 252**0.5, 1.0, (4000, 378))
    t = draws.mean(axis=1) / draws.std(axis=1) * 378**0.5
    found = (t > stats.norm.ppf(0.95)).mean()
    assert theoretical_power(1.0, 378, tests=1, level=0.05) == pytest.approx(found, abs=0.03)
    assert theoretical_power(0.0, 378, tests=10, level=0.05) == pytest.approx(0.005)


def test_an_interval_over_searches_holds_the_rate() -> None:
    draw = np.random.default_rng(1)
    inside = 0
    for _ in range(300):
        chance = draw.beta(2, 8, 20)
        _, low, high = clustered((draw.binomial(20, chance) / 20).tolist())
        inside += low <= 0.2 <= high
    assert 0.9 <= inside / 300 <= 0.99
    assert clustered([0.0] * 20)[1:] == (0.0, pytest.approx(0.168, abs=0.001))
