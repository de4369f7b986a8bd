"""Bars in files that every worker process maps into memory instead of receiving a copy."""

from __future__ import annotations

import json
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from alphafoundry.backtest import Bars
from alphafoundry.errors import BacktestError

_FIELDS = ("open", "high", "low", "close", "volume")


def save_bars(bars: Bars, folder: Path) -> Path:
    """Keep bars in `folder`/FINGERPRINT and return that; what is there already is kept."""
    target = folder / bars.fingerprint[:32]
    if (target / "about.json").exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".bars-", dir=folder))
    np.save(draft / "days.npy", bars.days.astype("datetime64[D]").astype(np.int64))
    for name in _FIELDS:
        np.save(draft / f"{name}.npy", getattr(bars, name))
    for name, codes in bars.groups.items():
        np.save(draft / f"group_{name}.npy", codes)
    about = {
        "groups": list(bars.groups),
        "symbols": list(bars.symbols),
        "label": bars.label,
        "synthetic": bars.synthetic,
    }
    (draft / "about.json").write_text(json.dumps(about))
    try:
        draft.replace(target)
    except OSError:
        # Another process was first, with the same content.
        for path in draft.iterdir():
            path.unlink()
        draft.rmdir()
        if not (target / "about.json").exists():
            raise
    return target


@lru_cache(maxsize=4)
def load_bars(folder: str) -> Bars:
    """Return the bars that `save_bars` kept; this process keeps the last four.

    Raises BacktestError where the folder is absent or damaged.
    """
    path = Path(folder)
    try:
        about = json.loads((path / "about.json").read_text())
        days = np.load(path / "days.npy", allow_pickle=False).astype("datetime64[D]")
        fields = {
            name: np.load(path / f"{name}.npy", allow_pickle=False, mmap_mode="r")
            for name in _FIELDS
        }
        groups = {
            name: np.load(path / f"group_{name}.npy", allow_pickle=False, mmap_mode="r")
            for name in about.get("groups", ())
        }
    except (OSError, ValueError) as problem:
        raise BacktestError(
            f"{path}: the bars of this workflow cannot be read ({problem}); remove the folder, "
            f"and on another machine share {path.parent}"
        ) from None
    return Bars(
        days=days,
        symbols=tuple(about["symbols"]),
        label=about["label"],
        synthetic=about["synthetic"],
        groups=groups,
        **fields,
    )


@lru_cache(maxsize=8)
def load_part(folder: str, start: int, end: int) -> Bars:
    """Return rows start to end (not included) of the bars in a folder."""
    bars = load_bars(folder)
    return bars if (start, end) == (0, bars.shape[0]) else bars.between(start, end)
