"""Names of results by what they depend on: configuration, data, code."""

from __future__ import annotations

import hashlib
import json
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


@cache
def code_version() -> str:
    """Return 16 hex digits of the source that results depend on and of the packages' versions."""
    found = hashlib.sha256()
    root = Path(alphafoundry.__file__).parent
    for name in SOURCES:
        for path in sorted({root / name, *(root / name).rglob("*")}):
            if path.suffix in (".py", ".lark"):
                found.update(f"{path.relative_to(root)}\0".encode())
                found.update(path.read_bytes())
    found.update(canonical(package_versions()).encode())
    return found.hexdigest()[:16]


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
