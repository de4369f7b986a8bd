from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from alphafoundry.errors import MarketError
from alphafoundry.market import known_sources, load_market, market_of
from alphafoundry.settings import FLAGS


def test_the_sample_has_close_and_returns_only(tmp_path: Path) -> None:
    datasets = pytest.importorskip("skfolio.datasets")
    panel = load_market("sample", cache_dir=tmp_path)
    closes = datasets.load_sp500_dataset()
    assert set(panel.fields) == {"close", "returns"}
    assert set(panel.groups) == {"market"}
    assert panel.symbols.tolist() == closes.columns.tolist()
    assert "close only" in panel.label
    assert not panel.synthetic
    known = ~np.isnan(panel.fields["close"])
    assert np.array_equal(panel.fields["close"][known], closes.to_numpy()[known])
    silent: list[str] = []
    again = load_market("sample", cache_dir=tmp_path, progress=silent.append)
    assert silent == []
    assert again.fingerprint == panel.fingerprint


def test_without_skfolio_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_: str) -> str:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", absent)
    monkeypatch.setitem(sys.modules, "skfolio.datasets", None)
    with pytest.raises(MarketError) as error:
        load_market("sample", cache_dir=tmp_path)
    assert "make install EXTRAS=sample" in str(error.value)
    assert "\n" not in str(error.value)


def test_known_sources_say_what_they_are() -> None:
    sources = known_sources()
    assert list(sources) == ["calibration", "sample", "yfinance"]
    assert "SYNTHETIC" in sources["calibration"]
    assert ", ".join(sources) in FLAGS["market"].help


def test_each_source_has_an_identity_that_does_not_depend_on_the_working_folder() -> None:
    for source in known_sources():
        assert "/" not in market_of(source).source, source
