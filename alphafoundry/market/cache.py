"""Panels on disk: one folder of memory-mapped arrays per source and state of the source.

A folder is written beside its final place and renamed, so a reader sees all of it or nothing.
Its name holds a digest of what the panel was built from and of the code of this room; a folder
that is truncated or altered is noticed by size and checksum, and built anew.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.issues import ReadingNote, SeriesIssue
from alphafoundry.market.panel import Panel
from alphafoundry.market.revisions import LevelBreak, Revisions

_MANIFEST = "panel.json"
_DRAFT = ".draft-"
_ABANDONED_SECONDS = 3600.0


class UnusableCacheError(Exception):
    """A cached panel is absent, incomplete or altered."""


def cached_panel(
    directory: Path,
    *,
    name: str,
    state: Mapping[str, object],
    build: Callable[[], Panel],
    progress: Callable[[str], None],
) -> Panel:
    """Return the panel in the cache, or build it and keep it there.

    Parameters
    ----------
    directory : folder of all cached panels; made where absent
    name : what the panel is of. A new state of the same name replaces the older one
    state : everything that the panel's content depends on (paths, sizes, times, seeds)
    build : makes the panel; its errors pass through

    A cache that cannot be written costs a line of progress, not the panel.
    """
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(name).name)[:60]
    home = directory / f"{readable}-{_digest(name)[:8]}"
    place = home / _digest(json.dumps(dict(state), sort_keys=True), _code_version())
    try:
        return _read(place)
    except UnusableCacheError as reason:
        if place.exists():
            progress(f"cached panel {place} is unusable ({reason}), building it again")
    panel = build()
    try:
        _write(panel, place)
        _keep_only(place)
    except OSError as error:
        progress(f"cannot keep the panel in {directory} ({error.strerror or error})")
    return panel


def forget_unused(directory: Path, before: float) -> tuple[int, int]:
    """Remove the cached panels that were last used before a time; return how many, and bytes.

    before : seconds since 1970, by the clock that stamps files

    Who has one open keeps what it has mapped. Whatever is no cached panel stays.
    """
    count = size = 0
    for manifest in list(directory.rglob(_MANIFEST)) if directory.is_dir() else ():
        if manifest.stat().st_mtime < before and (manifest.parent / "0.npy").exists():
            files = [path for path in manifest.parent.iterdir() if path.is_file()]
            size += sum(path.stat().st_size for path in files)
            count += 1
            shutil.rmtree(manifest.parent, ignore_errors=True)
    return count, size


def state_of(path: Path | None) -> str | None:
    """Return a digest of a file's content: touched or copied it is the same, altered it is not."""
    if path is None:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]


def _read(place: Path) -> Panel:
    try:
        manifest = json.loads((place / _MANIFEST).read_text(encoding="utf-8"))
        with suppress(OSError):
            # The time of its last use; a cache that cannot be written is used all the same.
            (place / _MANIFEST).touch()
        arrays = {
            key: _map_array(place / f"{index}.npy", expected)
            for index, (key, expected) in enumerate(manifest["arrays"].items())
        }
        return _panel_of(manifest, arrays)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError) as error:
        raise UnusableCacheError(f"{type(error).__name__}: {error}") from None


def _panel_of(manifest: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Panel:
    def part(kind: str) -> dict[str, NDArray[Any]]:
        start = f"{kind}/"
        return {
            key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)
        }

    meta = manifest["panel"]
    return Panel(
        dates=arrays["dates"],
        symbols=arrays["symbols"],
        fields=part("fields"),
        groups=part("groups"),
        truth=part("truth"),
        raw=part("raw"),
        notes=tuple(
            ReadingNote(note["kind"], note["detail"], tuple(note["items"]))
            for note in meta["notes"]
        ),
        members=arrays["members"].view(bool) if "members" in arrays else None,
        revisions=Revisions(
            rows=arrays["revision_rows"],
            columns=arrays["revision_columns"],
            known_at=arrays["revision_known_at"],
            before=part("before"),
            breaks=tuple(LevelBreak(**found) for found in meta["breaks"]),
        ),
        source=meta["source"],
        label=meta["label"],
        synthetic=meta["synthetic"],
        fingerprint=meta["fingerprint"],
        group_names={name: tuple(names) for name, names in meta["group_names"].items()},
        issues=tuple(SeriesIssue(**issue) for issue in meta["issues"]),
        descriptions=meta["descriptions"],
    )


def _map_array(path: Path, expected: dict[str, Any]) -> NDArray[Any]:
    array: NDArray[Any] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    if _checksum(array) != expected["checksum"] or list(array.shape) != expected["shape"]:
        raise ValueError(f"{path.name} does not hold what was written")
    return array


def _write(panel: Panel, place: Path) -> None:
    arrays: dict[str, NDArray[Any]] = {"dates": panel.dates, "symbols": panel.symbols}
    for kind, members in (
        ("fields", panel.fields),
        ("groups", panel.groups),
        ("truth", panel.truth),
        ("before", panel.revisions.before),
        ("raw", panel.raw),
    ):
        arrays.update({f"{kind}/{name}": array for name, array in members.items()})
    if panel.members is not None:
        arrays["members"] = panel.members.view(np.uint8)
    arrays["revision_rows"] = panel.revisions.rows
    arrays["revision_columns"] = panel.revisions.columns
    arrays["revision_known_at"] = panel.revisions.known_at
    manifest = {
        "panel": {
            "source": panel.source,
            "label": panel.label,
            "synthetic": panel.synthetic,
            "fingerprint": panel.fingerprint,
            "group_names": dict(panel.group_names),
            "issues": [asdict(issue) for issue in panel.issues],
            "notes": [asdict(note) for note in panel.notes],
            "breaks": [asdict(found) for found in panel.revisions.breaks],
            "descriptions": dict(panel.descriptions),
        },
        "arrays": {
            key: {"shape": array.shape, "checksum": _checksum(array)}
            for key, array in arrays.items()
        },
    }
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=place.parent))
    try:
        for index, array in enumerate(arrays.values()):
            np.save(draft / f"{index}.npy", array, allow_pickle=False)
        (draft / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        _put(draft, place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _put(draft: Path, place: Path) -> None:
    """Move `draft` to `place`, unless another process was faster with the same panel."""
    try:
        draft.rename(place)
    except OSError:
        if not place.exists():
            raise
        if _is_whole(place):
            return
        aside = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=place.parent))
        with suppress(FileNotFoundError):
            place.rename(aside / place.name)
        shutil.rmtree(aside, ignore_errors=True)
        with suppress(FileExistsError):
            draft.rename(place)


def _is_whole(place: Path) -> bool:
    try:
        _read(place)
    except UnusableCacheError:
        return False
    return True


def _keep_only(place: Path) -> None:
    """Remove older states of the same panel, and drafts that a killed process left behind.

    A process that has a removed array mapped keeps its pages.
    """
    for other in place.parent.iterdir():
        draft = other.name.startswith(_DRAFT)
        if other != place and (not draft or _age_seconds(other) > _ABANDONED_SECONDS):
            shutil.rmtree(other, ignore_errors=True)


def _age_seconds(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _checksum(array: NDArray[Any]) -> int:
    """Return the sum of the array's bits, taken as unsigned words, modulo 2**64."""
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.dtype.itemsize == 1:
        return int(flat.sum(dtype=np.uint64))
    size = 8 if flat.dtype.itemsize % 8 == 0 else 4
    return int(flat.view(f"u{size}").sum(dtype=np.uint64)) if flat.size else 0


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


@lru_cache(maxsize=1)
def _code_version() -> str:
    """Return a digest of this room's source, so that no panel outlives the rules it came from."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return _digest(*(f"{path.name}\n{path.read_text(encoding='utf-8')}" for path in sources))
