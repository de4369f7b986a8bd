"""Signals on disk: one small file per strategy, parameters and bars.

A file holds where a signal changes and to what, or every value where it changes most days. It is
written beside its place and renamed, so that a reader sees all of it or nothing.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.backtest.strategy import Strategy
from alphafoundry.backtest.trials import signals_of
from alphafoundry.errors import BacktestError, CannotKeep
from alphafoundry.finance.bars import Bars
from alphafoundry.whole_file import replace_file

VERSION = 1
"""Part of every key: raise it when a strategy's signals change."""

_log = logging.getLogger(__name__)
_MARK = b"signals1"
_KEY = re.compile(r"[0-9a-f]{16}")


class SignalStore:
    """Signals in a folder, found by their content's key; safe for several processes.

    Parameters
    ----------
    folder : made where absent
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotKeep(
                f"{self.folder}: cannot keep signals here ({error.strerror}); give another folder"
            ) from None

    def __repr__(self) -> str:
        return f"SignalStore({str(self.folder)!r})"

    @staticmethod
    def key(bars: Bars, strategy: Strategy, parameters: Mapping[str, object]) -> str:
        """Return 16 hex digits of SHA-256 over bars, strategy and complete parameters."""
        identity = json.dumps(
            {
                "version": VERSION,
                "bars": bars.fingerprint,
                "strategy": strategy.identity,
                "parameters": strategy.complete(parameters),
            },
            sort_keys=True,
        )
        return hashlib.sha256(identity.encode()).hexdigest()[:16]

    def has(self, key: str) -> bool:
        """Return whether signals are there under that key, whole or damaged."""
        return self._path(key).exists()

    def put(self, key: str, signals: NDArray[np.float64]) -> Path:
        """Keep signals, float64 array of shape (n_days, n_instruments); return the file.

        Raises BacktestError where they hold NaN, CannotKeep where the file cannot be written.
        """
        if signals.ndim != 2 or not np.isfinite(signals).all():
            raise BacktestError(f"signals {key}: give days x instruments without NaN")
        path = self._path(key)
        content = _packed(np.asarray(signals, dtype=np.float64))
        try:
            replace_file(path, content)
        except OSError as error:
            raise CannotKeep(
                f"{path}: cannot write signals ({error.strerror}); free space or move the folder"
            ) from None
        return path

    def get(self, key: str) -> NDArray[np.float64] | None:
        """Return the signals, bit for bit as they were put, or None where there are none.

        A damaged file counts as none: it is removed, with a warning in the log.
        """
        path = self._path(key)
        try:
            return _unpacked(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError) as error:
            _log.warning("%s is damaged (%s); its signals will be computed again", path, error)
            path.unlink(missing_ok=True)
            return None

    def signals(
        self, bars: Bars, strategy: Strategy, parameters: Mapping[str, object]
    ) -> NDArray[np.float64]:
        """Return what `signals_of` returns, from disk where it is, and keep it there."""
        key = self.key(bars, strategy, parameters)
        found = self.get(key)
        if found is not None and found.shape == bars.shape:
            return found
        made = signals_of(bars, strategy, parameters)
        self.put(key, made)
        return made

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise BacktestError(f"{key!r} is not a signal's key; a key is 16 hex digits")
        return self.folder / f"{key}.signals"


def _packed(signals: NDArray[np.float64]) -> bytes:
    days, instruments = signals.shape
    # -0.0 and 0.0 are equal but not the same bits, and a stored signal is the same bits.
    bits = np.ascontiguousarray(signals).view(np.int64)
    columns = bits.T
    changed = np.ones(columns.shape, dtype=bool)
    changed[:, 1:] = columns[:, 1:] != columns[:, :-1]
    arrays: dict[str, NDArray[Any]]
    if 2 * np.count_nonzero(changed) > changed.size:
        arrays = {"values": np.ascontiguousarray(signals)}
    else:
        column, row = np.nonzero(changed)
        levels, codes = np.unique(columns[changed], return_inverse=True)
        arrays = {
            "rows": row.astype(np.uint16 if days < 2**16 else np.uint32),
            "counts": np.bincount(column, minlength=instruments).astype(np.uint32),
            "levels": levels,
            "codes": codes.astype(np.uint8 if len(levels) < 2**8 else np.uint32),
        }
    arrays["shape"] = np.array(signals.shape, dtype=np.int64)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    body = buffer.getvalue()
    return _MARK + hashlib.sha256(body).digest() + body


def _unpacked(content: bytes) -> NDArray[np.float64]:
    mark, digest, body = content[:8], content[8:40], content[40:]
    if mark != _MARK or hashlib.sha256(body).digest() != digest:
        raise ValueError("its checksum does not match its content")
    with np.load(io.BytesIO(body), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    days, instruments = (int(length) for length in arrays["shape"])
    if "values" in arrays:
        return np.asarray(arrays["values"], dtype=np.float64).reshape(days, instruments)
    starts = arrays["rows"].astype(np.int64) + np.repeat(
        np.arange(instruments) * days, arrays["counts"]
    )
    lengths = np.diff(np.append(starts, days * instruments))
    flat = np.repeat(arrays["levels"][arrays["codes"]], lengths)
    return np.ascontiguousarray(flat.view(np.float64).reshape(instruments, days).T)
