"""The same whole search of true prices and of mirrored ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alphafoundry.errors import ConfigurationError, RunStopped
from alphafoundry.research import placebo as module
from alphafoundry.research.checks import check_placebo
from alphafoundry.research.comparison import Compared, compare
from alphafoundry.research.placebo import PlaceboRun, make_search, placebo_run, search_key
from alphafoundry.research.placebo_report import build_report
from alphafoundry.research.seal import Seal
from alphafoundry.settings import FoundrySettings, load_settings
from alphafoundry.store import open_store, read_simulations
from tests.library.research.searches import make_market, with_other_sealed_days


def settings_in(home: Path, **flags: object) -> FoundrySettings:
    return load_settings(environment={}, **{"home": home, "simulations": 8, "seed": 3, **flags})


@pytest.fixture
def market(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small market with one strong effect."""
    panel = make_market(3, reversal=0.08)
    monkeypatch.setattr(module, "simulated_market", lambda *_: panel)


@pytest.mark.long
async def test_searches_are_kept_and_made_once(market: None, tmp_path: Path) -> None:
    settings = settings_in(tmp_path, placebo={"runs": 2})
    async with placebo_run(settings) as run:
        assert isinstance(run.seal, Seal)
        assert run.panel.dates[-1] == np.datetime64(run.seal.search_to)
        assert run.missing() == [0, 1, 2]
        await make_search(run, 0)
        await make_search(run, 1)
        report = build_report(run)
        assert (report.made, report.wanted) == (1, 2)
        assert "1 searches are still to be made" in report.notes[0]
    async with placebo_run(settings) as run:
        assert run.missing() == [2]
        await make_search(run, 2)
        report = build_report(run)
        rows = run.made()
    assert not report.notes
    assert [row.number for row in rows] == [0, 1, 2]
    assert [row.mirror for row in rows] == ["none", "all", "all"]
    assert len({row.best_sharpe for row in rows}) == 3
    assert report.best.p is not None and report.best.p >= 1 / 3
    assert all(row.trials <= 8 and row.unlike <= 10 for row in rows)
    # More placebos go on with those that are there; the market of the run holds no trial of them.
    async with placebo_run(settings_in(tmp_path, placebo={"runs": 3})) as run:
        assert run.missing() == [3]
    # Another mirror needs placebos of its own, not another search of the true prices.
    other = settings_in(tmp_path, placebo={"runs": 1, "mirror": "residual"})
    async with placebo_run(other) as run:
        assert run.missing() == [1]
    with open_store(home=tmp_path) as store:
        assert read_simulations(store) == []


@pytest.mark.long
async def test_the_same_search_gives_the_same_numbers(market: None, tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        async with placebo_run(settings_in(tmp_path / name)) as run:
            await make_search(run, 1)
            found += [(row.best_sharpe, row.unlike_sharpe, row.trials) for row in run.made()]
    assert found[0] == found[1]


@pytest.mark.long
async def test_sealed_days_change_no_search(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    panel = make_market(3, reversal=0.08)
    found = []
    for name, one in (
        ("a", panel),
        ("b", with_other_sealed_days(panel, len(panel.dates) - 330, seed=5)),
    ):
        monkeypatch.setattr(module, "simulated_market", lambda *_, one=one: one)
        async with placebo_run(settings_in(tmp_path / name)) as run:
            await make_search(run, 0)
            await make_search(run, 1)
            found.append([(row.best_sharpe, row.unlike_sharpe) for row in run.made()])
    assert found[0] == found[1]


async def test_a_search_that_was_stopped_is_not_kept(market: None, tmp_path: Path) -> None:
    async with placebo_run(settings_in(tmp_path)) as run:
        run.stop.set()
        with pytest.raises(RunStopped):
            await make_search(run, 0)
        assert run.made() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("simulations", "runs", "p"), [(12, 1, 0.5), pytest.param(24, 4, 0.2, marks=pytest.mark.long)]
)
async def test_a_strong_effect_is_beyond_every_placebo(
    market: None, tmp_path: Path, simulations: int, runs: int, p: float
) -> None:
    given = settings_in(tmp_path, simulations=simulations, placebo={"runs": runs})
    async with placebo_run(given) as run:
        for number in run.missing():
            await make_search(run, number)
        report = build_report(run)
    assert report.best.p == report.unlike.p == p
    told = dict(report.summary())
    assert f"p = {p:.2f}" in told["best"] and "DSR" in told["best"] and "trials" in told["best"]
    assert f"no placebo reached it, but {runs} cannot give less than p = {p:.2f}" in told["so"]


def test_what_a_search_depends_on_is_in_its_key(tmp_path: Path) -> None:
    panel = make_market(3)
    base = settings_in(tmp_path)
    keys = {
        search_key(one, market)
        for one, market in (
            (base, panel),
            (base, replace(panel, fingerprint="0" * 16)),
            (base.model_copy(update={"seed": 4}), panel),
            (base.model_copy(update={"simulations": 9}), panel),
            (settings_in(tmp_path, mining={"share": 0.2}), panel),
        )
    }
    assert len(keys) == 5
    assert search_key(settings_in(tmp_path / "other", placebo={"runs": 7}), panel) in keys


def test_a_p_value_counts_the_placebos_that_are_at_least_as_good() -> None:
    assert Compared.of(1.0, [0.5, 1.0, 2.0, None]).p == 3 / 5
    assert Compared.of(3.0, [0.5, 1.0]).p == 1 / 3
    assert Compared.of(None, [0.5]).p is None
    assert compare([]) == (Compared(None, None, None, None),) * 2 + (0,)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"brain": "worldquant"}, "cannot be mirrored; choose brain local"),
        ({"generator": "ollama"}, "choose generator grammar"),
    ],
)
def test_what_cannot_be_mirrored_is_refused(
    tmp_path: Path, flags: dict[str, object], text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text):
        check_placebo(settings_in(tmp_path, **flags))


def test_a_mirrored_market_warns_as_the_true_one_does(tmp_path: Path) -> None:
    panel = replace(make_market(3), synthetic=False, truth={"effect": np.ones((1, 1))})
    run = PlaceboRun(None, settings_in(tmp_path), panel.market_id, panel, "none", "key")  # type: ignore[arg-type]
    mirrored = run.market(2)
    assert mirrored.synthetic is False
    assert not mirrored.truth
    assert mirrored.market_id != panel.market_id
