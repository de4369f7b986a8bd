"""`python -m alphafoundry simulate` as a person meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from alphafoundry.command_line import main


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> None:
    patch = pytest.MonkeyPatch()
    patch.setenv("FOUNDRY_HOME", str(tmp_path_factory.mktemp("home")))
    yield
    patch.undo()


def test_prints_statistics_years_and_checks(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = tmp_path / "out.png"
    assert main(["simulate", "rank(-ts_delta(close, 5))", "--plot", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert "sharpe" in shown
    assert "2020" in shown or "20" in shown
    assert "LOW_SHARPE" in shown
    assert "SYNTHETIC" in shown
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_mistake_is_one_line_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "rank(clsoe)"]) == 2
    problem = capsys.readouterr().err.strip().splitlines()[-1]
    assert problem.startswith("error: ")
    assert "did you mean 'close'?" in problem


def test_switches_are_flags_and_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    switches = ["--convention", "rank_ties=lowest", "--neutralization-first", "--decay", "3"]
    assert main(["simulate", "rank(-ts_delta(close, 5))", *switches]) == 0
    shown = capsys.readouterr().out
    assert "rank_ties is lowest, neutralization comes before decay" in shown
    assert main(["simulate", "close", "--convention", "ties=lowest"]) == 2
    problem = capsys.readouterr().err.strip().splitlines()[-1]
    assert problem.startswith("error: convention 'ties=lowest': unknown; write NAME=CHOICE")


def test_too_short_a_market_is_told_with_its_days(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bars = tmp_path / "months.csv"
    rows = [
        f"{2000 + n // 12}-{n % 12 + 1:02d}-28,{name},{5 + n % 7 + place}"
        for n in range(60)
        for place, name in enumerate("ABC")
    ]
    bars.write_text("\n".join(["date,symbol,close", *rows]))
    assert main(["simulate", "rank(close)", "--market", str(bars), "--neutralization", "none"]) == 2
    problem = capsys.readouterr().err.strip().splitlines()[-1]
    assert problem == (
        "error: Simulation length is below cutoff of 500 days (months.csv: 3 names, 2000-01-28 to "
        "2004-12-28 (60 days))"
    )
