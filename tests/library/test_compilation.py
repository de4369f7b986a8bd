"""Compiled kernels are shared by checkouts, and are never those of another version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.working_folder import ROOT

LIBRARY = ("__init__.py", "compilation.py")
KERNELS = """
from alphafoundry.compilation import kernel

@kernel
def doubled(value):
    return 2.0 * value
"""
CALL = """
from alphafoundry.some_kernels import doubled
print(doubled(3.0), sum(doubled.stats.cache_hits.values()))
"""


@pytest.fixture
def caches(tmp_path: Path) -> Path:
    return tmp_path / "caches"


def checkout(folder: Path, kernels: str = KERNELS) -> Path:
    """Make a checkout of as much of the library as a kernel needs."""
    package = folder / "alphafoundry"
    package.mkdir(parents=True)
    for name in LIBRARY:
        shutil.copy(ROOT / "alphafoundry" / name, package)
    (package / "some_kernels.py").write_text(kernels)
    return folder


def called(folder: Path, **variables: str) -> list[str]:
    """Return what the kernel of a checkout gives, and how often it was found compiled."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NUMBA_", "XDG_", "FOUNDRY_", "PYTHON"))
    }
    done = subprocess.run(
        [sys.executable, "-c", CALL],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(folder)} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_second_checkout_finds_what_the_first_has_compiled(tmp_path: Path, caches: Path) -> None:
    first = checkout(tmp_path / "first")
    second = checkout(tmp_path / "second")
    assert called(first, XDG_CACHE_HOME=str(caches)) == ["6.0", "0"]
    assert called(second, XDG_CACHE_HOME=str(caches)) == ["6.0", "1"]


def test_another_version_is_compiled_beside_the_first(tmp_path: Path, caches: Path) -> None:
    first = checkout(tmp_path / "first")
    changed = checkout(tmp_path / "changed", KERNELS.replace("2.0", "4.0"))
    assert called(first, XDG_CACHE_HOME=str(caches)) == ["6.0", "0"]
    assert called(changed, XDG_CACHE_HOME=str(caches)) == ["12.0", "0"]
    assert called(first, XDG_CACHE_HOME=str(caches)) == ["6.0", "1"]


def test_without_a_cache_folder_kernels_lie_beside_their_source(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "only")
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    for times in ("0", "1"):
        assert called(folder, XDG_CACHE_HOME=str(blocked)) == ["6.0", times]
    assert list(folder.glob("alphafoundry/__pycache__/*.nbi"))
