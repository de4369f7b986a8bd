"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder with real daily bars; skips where it is absent."""
    folder = Path(os.environ.get("FOUNDRY_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "us_equities_2016_2021.parquet").exists():
        pytest.skip(
            f"no real market data in {folder}; set FOUNDRY_TEST_DATA to a folder with "
            "us_equities_2016_2021.parquet and us_top3000_2012_2017.parquet"
        )
    return folder
