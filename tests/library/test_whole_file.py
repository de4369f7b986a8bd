"""Files that are replaced whole."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from alphafoundry.whole_file import replace_file


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_made_with_its_folder_and_replaced(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "deep" / "file.json"
    for content in (b"one", b"", b"three" * 1000):
        replace_file(path, content, durable=durable)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_permissions_are_those_of_any_new_file_or_of_the_one_before(tmp_path: Path) -> None:
    plain, ours = tmp_path / "plain", tmp_path / "ours"
    plain.touch()
    replace_file(ours, b"x")
    assert ours.stat().st_mode == plain.stat().st_mode
    ours.chmod(0o640)
    replace_file(ours, b"y")
    assert ours.stat().st_mode & 0o777 == 0o640


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.mkdir()  # a file cannot take the place of a folder
    (path / "kept").touch()
    with pytest.raises(IsADirectoryError):
        replace_file(path, b"x")
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
    assert (path / "kept").exists()


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    texts = [bytes([letter]) * 300_000 for letter in b"abc"]
    replace_file(path, texts[0])
    over = threading.Event()

    def write() -> None:
        for number in range(60):
            replace_file(path, texts[number % 3])
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not over.is_set():
        seen.add(path.read_bytes())
    writer.join()
    assert seen <= set(texts)
    assert list(tmp_path.iterdir()) == [path]
