"""The sample market: 20 large US stocks that the package skfolio carries."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np

from alphafoundry.errors import MarketError
from alphafoundry.market.assembly import Progress, build_panel
from alphafoundry.market.bars import Bars
from alphafoundry.market.groups import read_sectors
from alphafoundry.market.panel import Panel

_INSTALL = "market 'sample' needs the package skfolio; run: make install EXTRAS=sample"


def sample_version() -> str:
    """Return the version of skfolio. Raises MarketError where it is not installed."""
    try:
        return metadata.version("skfolio")
    except metadata.PackageNotFoundError:
        raise MarketError(_INSTALL) from None


def load_sample(*, sectors: Path | None, progress: Progress) -> Panel:
    """Return the panel of the sample: adjusted closes from 1990 to 2022, so close and returns.

    Raises MarketError where skfolio is not installed.
    """
    progress("sample: reading the closes that skfolio carries")
    try:
        from skfolio.datasets import load_sp500_dataset
    except ImportError:
        raise MarketError(_INSTALL) from None
    closes = load_sp500_dataset()
    bars = Bars(
        dates=closes.index.to_numpy().astype("datetime64[D]"),
        symbols=np.array(closes.columns, dtype=np.str_),
        values={"close": np.ascontiguousarray(closes.to_numpy(dtype=np.float64))},
    )
    return build_panel(
        bars,
        source="sample",
        name="skfolio sample of large US stocks, close only",
        groupings=read_sectors(sectors, bars.symbols, bars.dates) if sectors else {},
        progress=progress,
    )
