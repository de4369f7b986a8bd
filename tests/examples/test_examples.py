"""Each program in examples/ runs, in a process of its own, and prints what it is about."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.piped_commands import run_forked
from tests.some_cases import one_in
from tests.working_folder import ROOT, plain_environment

PRINTS = {
    "own_prices": "SYNTHETIC random walks",
    "own_strategy": "sharpe",
    "own_workflow": "search",
    "use_the_library": "fitness",
}


def test_each_example_is_run() -> None:
    programs = {
        path.stem
        for path in (ROOT / "examples").glob("*.py")
        if "__main__" in path.read_text("utf-8")
    }
    assert programs == set(PRINTS)


@pytest.mark.parametrize("name", one_in(2, PRINTS))
def test_it_runs(name: str, tmp_path: Path, market_cache: Path) -> None:
    (tmp_path / ".foundry").mkdir()
    (tmp_path / ".foundry" / "cache").symlink_to(market_cache)
    environment = plain_environment() | {"PYTHONPATH": os.fspath(ROOT)}
    done = run_forked(f"examples.{name}", [], cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert PRINTS[name] in done.stdout
