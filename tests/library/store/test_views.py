"""The JSON files of the documents."""

from __future__ import annotations

import json
import math
import stat
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.errors import StoreError
from alphafoundry.store import (
    AlphaRecord,
    HopefulEntry,
    RunRow,
    Store,
    hopeful_alphas,
    intend_submission,
    json_file,
    merge_hopeful,
    merge_submission_results,
    read_hopeful,
    read_submission_log,
    read_submissions,
    record_alpha,
    settle_submission,
    write_hopeful,
    write_submission_log,
)
from tests.library.store.conftest import SERVICE
from tests.library.store.processes import race

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def entry(alpha_id: str, **more) -> HopefulEntry:
    return HopefulEntry.model_validate(
        {"expression": "rank(close)", "timestamp": 1, "alpha_id": alpha_id, "fitness": 0.7, **more}
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "hopeful_alphas.json"


def test_the_format_of_the_document(store: Store, file: Path) -> None:
    record_alpha(
        store,
        SERVICE,
        AlphaRecord(
            "a1",
            "rank(close)",
            {},
            sharpe=1.5,
            fitness=0.9,
            turnover=0.3,
            returns=0.1,
            checks=[{"name": "LOW_SHARPE", "result": "PASS"}],
            hopeful=True,
        ),
        now=NOON,
    )
    write_hopeful(file, hopeful_alphas(store, SERVICE))
    assert json.loads(file.read_text()) == [
        {
            "expression": "rank(close)",
            "timestamp": int(NOON.timestamp()),
            "alpha_id": "a1",
            "fitness": 0.9,
            "sharpe": 1.5,
            "turnover": 0.3,
            "returns": 0.1,
            "grade": None,
            "checks": [{"name": "LOW_SHARPE", "result": "PASS"}],
        }
    ]


def test_a_missing_file_is_empty(file: Path) -> None:
    assert read_hopeful(file).entries == ()
    assert list(file.parent.iterdir()) == []


numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
entries = st.builds(
    HopefulEntry,
    expression=st.text(),
    timestamp=st.integers(0, 2**53),
    alpha_id=st.text(min_size=1),
    fitness=numbers,
    sharpe=numbers,
    grade=st.none() | st.text(),
    checks=st.lists(st.dictionaries(st.text(), st.text() | st.integers(), max_size=2), max_size=2),
)


@given(st.lists(entries, max_size=5))
def test_entries_survive_the_file(tmp_path_factory, given_entries) -> None:
    file = tmp_path_factory.mktemp("views") / "hopeful_alphas.json"
    write_hopeful(file, given_entries)
    found = read_hopeful(file)
    assert list(found.entries) == given_entries
    assert found.problems == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[{",
        b'[{"alpha_id": "a1"},',
        b'{"alphas": []}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"null",
        b"[1" + b"0" * 5000 + b"]",
    ],
    ids=["empty", "cut", "cut later", "no list", "no text", "deep", "null", "huge number"],
)
def test_a_corrupt_file_is_set_aside(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    found = read_hopeful(file, now=NOON)
    assert found.entries == ()
    (problem,) = found.problems
    aside = file.with_name("hopeful_alphas.json.corrupt-20240301T120000Z")
    assert aside.name in problem
    assert str(file) in problem
    assert aside.read_bytes() == content
    assert not file.exists()


def test_corrupt_files_of_the_same_second_are_all_kept(file: Path) -> None:
    for content in ("one", "two", "three"):
        file.write_text(content)
        assert merge_hopeful(file, [entry("a1")], now=NOON) is not None
    kept = {path.read_text() for path in file.parent.glob("*.corrupt-*")}
    assert kept == {"one", "two", "three"}
    assert [found.alpha_id for found in read_hopeful(file).entries] == ["a1"]


def test_entries_of_a_wrong_shape_are_named_and_kept(file: Path) -> None:
    good = entry("a1").model_dump()
    given_items = [good, 5, {"expression": "x"}, {**good, "fitness": "high", "alpha_id": "a2"}]
    file.write_text(json.dumps(given_items))
    found = read_hopeful(file)
    assert [one.alpha_id for one in found.entries] == ["a1"]
    assert len(found.problems) == 3
    assert "entry 2 left out" in found.problems[0]
    assert "entry 4 left out: fitness" in found.problems[2]
    merge_hopeful(file, [entry("a3")])
    assert json.loads(file.read_text())[:4] == given_items


def test_files_of_the_original_program_are_read(file: Path) -> None:
    file.write_text(
        '[{"expression": "rank(close)", "timestamp": 1718000000.25, "alpha_id": "XYZ", '
        '"fitness": NaN, "sharpe": 1, "turnover": 0.3, "returns": 0.1, "grade": null, '
        '"checks": [], "comment": "mine"}]'
    )
    (found,) = read_hopeful(file).entries
    assert found.timestamp == 1718000000
    assert found.fitness is not None
    assert math.isnan(found.fitness)
    merge_hopeful(file, [entry("XYZ", fitness=0.8)])
    (item,) = json.loads(file.read_text())
    assert (item["comment"], item["fitness"]) == ("mine", 0.8)


def test_merge_adds_renews_and_drops(file: Path) -> None:
    write_hopeful(file, [entry("a1"), entry("a2"), entry("a3")])
    merge_hopeful(file, [entry("a2", fitness=2.0), entry("a4")], drop=["a1", "a4"])
    found = read_hopeful(file).entries
    assert [(one.alpha_id, one.fitness) for one in found] == [
        ("a2", 2.0),
        ("a3", 0.7),
        ("a4", 0.7),
    ]


def test_processes_lose_no_entries(file: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'foundry.sqlite'}"
    race("hopeful", url, tmp_path / "go", ("a",), ("b",), ("c",))
    found = read_hopeful(file).entries
    assert {one.alpha_id for one in found} == {
        f"{name}{number}" for name in "abc" for number in range(25)
    }


def test_a_failed_write_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_hopeful(file, [entry("a1")])
    before = file.read_bytes()

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json_file.os, "fsync", no_space)
    with pytest.raises(StoreError, match="cannot be written: No space left"):
        write_hopeful(file, [entry("a2")])
    assert file.read_bytes() == before
    assert not list(file.parent.glob("*.new"))


def test_what_a_killed_writer_left_does_not_matter(file: Path) -> None:
    file.with_name(".hopeful_alphas.json.new").write_text('[{"half": ')
    write_hopeful(file, [entry("a1")])
    assert [one.alpha_id for one in read_hopeful(file).entries] == ["a1"]


def test_mode_and_links_are_kept(file: Path, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere" / "real.json"
    write_hopeful(real, [])
    real.chmod(0o640)
    file.symlink_to(real)
    write_hopeful(file, [entry("a1")])
    assert file.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert len(json.loads(real.read_text())) == 1


def test_submission_log(tmp_path: Path) -> None:
    file = tmp_path / "submission_log.json"
    assert read_submission_log(file) is None
    write_submission_log(file, date(2024, 3, 1), now=NOON)
    assert json.loads(file.read_text()) == {
        "last_submission_date": "2024-03-01",
        "updated_at": "2024-03-01T12:00:00+00:00",
    }
    assert read_submission_log(file) == date(2024, 3, 1)
    write_submission_log(file, None, now=NOON)
    assert read_submission_log(file) is None
    file.write_text("[]")
    assert read_submission_log(file) is None
    assert list(tmp_path.glob("*.corrupt-*"))


def test_submission_results(store: Store, run: RunRow, tmp_path: Path) -> None:
    file = tmp_path / "submission_results.json"
    for alpha_id in ("a1", "a2", "a3", "a4"):
        intend_submission(store, SERVICE, alpha_id, date(2024, 3, 1), daily_limit=9, run_id=run.id)
    settle_submission(store, SERVICE, "a1", "accepted", now=NOON)
    settle_submission(store, SERVICE, "a2", "rejected", detail="too similar", now=NOON)
    settle_submission(store, SERVICE, "a3", "failed", now=NOON)
    for _ in range(2):
        assert merge_submission_results(file, read_submissions(store, SERVICE)) is None
    found = json.loads(file.read_text())
    assert [(item["alpha_id"], item["result"]["status"]) for item in found] == [
        ("a1", "success"),
        ("a2", "failed"),
        ("a3", "error"),
    ]
    assert found[1] == {
        "alpha_id": "a2",
        "timestamp": int(NOON.timestamp()),
        "datetime": "2024-03-01T12:00:00+00:00",
        "result": {"status": "failed", "checks": [], "message": "too similar"},
    }


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(StoreError, match="folder cannot be created"):
        write_hopeful(tmp_path / "taken" / "hopeful_alphas.json", [])


def test_reading_needs_no_writable_folder(file: Path) -> None:
    write_hopeful(file, [entry("a1")])
    lock = file.with_name(".hopeful_alphas.json.lock")
    lock.unlink()
    assert len(read_hopeful(file).entries) == 1
    assert not lock.exists()
