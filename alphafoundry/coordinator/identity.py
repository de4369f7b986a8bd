"""Names of results by what they depend on: configuration, data, code."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import alphafoundry

SOURCES = (
    "backtest",
    "coordinator",
    "expressions",
    "finance",
    "simulation",
    "compilation.py",
    "seeds.py",
)
"""Rooms and files of the library that every result depends on; a market is known by its content."""

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "pandas",
    "scikit-learn",
    "hmmlearn",
    "skfolio",
    "cvxpy-base",
    "clarabel",
    "optuna",
)
"""Packages that can change a number."""


def canonical(value: Any) -> str:
    """Return JSON that is the same for equal values: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)


def digest(value: Any) -> str:
    """Return SHA-256 of the canonical JSON, 64 hex digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def sources_on_disk() -> dict[str, str]:
    """Return each file of the library's source, as a path below it, with the digest of its text."""
    root = Path(alphafoundry.__file__).parent
    found = {}
    for folder, _, names in os.walk(root, followlinks=True):
        for name in names:
            if name.endswith((".py", ".lark")):
                path = Path(folder, name)
                text = hashlib.sha256(path.read_bytes()).hexdigest()
                found[path.relative_to(root).as_posix()] = text
    return found


@cache
def sources() -> dict[str, str]:
    """Return what `sources_on_disk` did when this process first asked.

    A process runs what the files held when it imported them, so whatever answers for its code asks
    as it starts.
    """
    return sources_on_disk()


def source_digest() -> str:
    """Return 16 hex digits of the source of the library that this process runs."""
    return digest(sources())[:16]


@cache
def code_version() -> str:
    """Return 16 hex digits of the source that results depend on and of the packages' versions."""
    read = {path: text for path, text in sources().items() if path.split("/")[0] in SOURCES}
    return digest([read, package_versions()])[:16]


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that can change a number."""
    found = {"python": platform.python_version(), "alphafoundry": alphafoundry.__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Return the commit of the code, with "-changed" where files differ; None outside of git."""
    root = Path(alphafoundry.__file__).parent.parent
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=-changed"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
