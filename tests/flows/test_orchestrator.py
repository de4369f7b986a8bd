"""The orchestrator's command line takes every flag in every mode."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from flows import orchestrator
from tests.working_folder import ROOT

FLAGS = {
    "--max-concurrent": "5",
    "--mining-interval": "4",
    "--batch-size": "2",
    "--credentials": "./other.txt",
    "--ollama-url": "http://localhost:1",
}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what the process would have become."""
    found: list[Any] = []

    def become(*what: Any) -> None:
        found.extend(what)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", become)
    return found


@pytest.mark.parametrize("mode", orchestrator.MODES)
def test_every_flag_in_every_mode(mode: str, started: list[Any]) -> None:
    words = [word for pair in FLAGS.items() for word in pair]
    with pytest.raises(SystemExit):
        orchestrator.main(["--mode", mode, *words, "--market", "sample"])
    _, command, variables = started
    assert command == [sys.executable, "-m", orchestrator.MODES[mode], "--market", "sample"]
    assert variables["FOUNDRY_MAX_CONCURRENT"] == "5"
    assert variables["FOUNDRY_OLLAMA__URL"] == "http://localhost:1"


def test_continuous_is_the_mode_where_none_is_named(started: list[Any]) -> None:
    with pytest.raises(SystemExit):
        orchestrator.main([])
    assert started[1][-1] == "flows.continuous"


def test_a_wrong_value_is_told_by_its_flag(
    started: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        orchestrator.main(["--mode", "miner", "--batch-size", "none"])
    assert ended.value.code == 2 and not started
    assert "--batch-size" in capsys.readouterr().err


def test_the_help_shows_the_caps_of_the_limits_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = (ROOT / "config" / "limits.yaml").read_text()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "limits.yaml").write_text(
        limits.replace("simulation: 3", "simulation: 2")
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        orchestrator.main(["--help"])
    assert "(default: 2, the cap in config/limits.yaml)" in " ".join(
        capsys.readouterr().out.split()
    )
