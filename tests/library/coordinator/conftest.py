"""Small documents and bars."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphafoundry.backtest import Bars
from alphafoundry.coordinator.bars_folder import save_bars
from alphafoundry.coordinator.batches import Setting, execution_to_json
from alphafoundry.coordinator.identity import code_version
from alphafoundry.coordinator.loading import load_workflow
from alphafoundry.coordinator.workflow import Workflow


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Write a document and return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "flow.yaml"
        path.write_text(textwrap.dedent(text))
        return path

    return write


@pytest.fixture
def load(write: Callable[[str], Path]) -> Callable[[str], Workflow]:
    """Write a document and return the workflow."""
    return lambda text: load_workflow(write(text))


@pytest.fixture(scope="session")
def bars() -> Bars:
    """Bars of 4 instruments over 300 days, a random walk."""
    draws = np.random.default_rng(5)
    close = 50 * np.exp(np.cumsum(draws.normal(0.0003, 0.015, (300, 4)), axis=0))
    return Bars(
        days=np.arange("2020-01-01", "2020-10-27", dtype="datetime64[D]")[:300],
        symbols=("A", "B", "C", "D"),
        open=close * 0.999,
        high=close * 1.01,
        low=close * 0.99,
        close=close,
        volume=np.full(close.shape, 1e6),
        label="random walk",
        synthetic=True,
    )


def keep_prices(bars: Bars, path: Path) -> None:
    """Write bars to a file as a market is read from."""
    days, names = bars.shape
    table = {"date": bars.days.astype(str).repeat(names), "symbol": list(bars.symbols) * days}
    for name in ("open", "high", "low", "close", "volume"):
        table[name] = getattr(bars, name).ravel()
    pd.DataFrame(table).to_csv(path, index=False)


@pytest.fixture
def place(tmp_path: Path, bars: Bars, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with prices in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOUNDRY_HOME", str(tmp_path / "home"))
    keep_prices(bars, tmp_path / "prices.csv")
    return tmp_path


@pytest.fixture
def setting(bars: Bars, tmp_path: Path) -> Setting:
    """A setting on `bars` in a folder of its own."""
    from alphafoundry.backtest import Execution

    return Setting(
        bars=str(save_bars(bars, tmp_path / "bars")),
        fingerprint=bars.fingerprint,
        signals=str(tmp_path / "signals"),
        returns=str(tmp_path / "returns"),
        execution=execution_to_json(Execution()),
        code=code_version(),
    )
