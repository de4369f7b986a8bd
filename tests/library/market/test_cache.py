from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphafoundry.market import Panel, load_market


def same(one: Panel, other: Panel) -> bool:
    for kind in ("fields", "groups", "truth"):
        ours, theirs = getattr(one, kind), getattr(other, kind)
        if list(ours) != list(theirs):
            return False
        if not all(
            np.array_equal(ours[name], theirs[name], equal_nan=kind != "groups") for name in ours
        ):
            return False
    return (
        np.array_equal(one.dates, other.dates)
        and np.array_equal(one.symbols, other.symbols)
        and (one.label, one.fingerprint, one.issues, one.source, one.synthetic)
        == (other.label, other.fingerprint, other.issues, other.source, other.synthetic)
        and one.group_names == other.group_names
        and one.descriptions == other.descriptions
    )


@pytest.fixture
def data(long_table: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "bars.csv"
    long_table.loc[3, "close"] = -1.0
    long_table.to_csv(path, index=False)
    (tmp_path / "bars_sectors.csv").write_text("symbol,sector\nAAA,Energy\nBBB,Banks\n")
    return path


def load(data: Path) -> tuple[Panel, list[str]]:
    lines: list[str] = []
    panel = load_market(str(data), cache_dir=data.parent / "cache", progress=lines.append)
    return panel, lines


def folder(data: Path) -> Path:
    (manifest,) = (data.parent / "cache").rglob("panel.json")
    return manifest.parent


def test_the_second_load_is_the_same_and_reads_no_source(data: Path) -> None:
    first, built = load(data)
    second, again = load(data)
    assert built
    assert again == []
    assert same(first, second)
    assert first.issues
    assert not second.fields["close"].flags.writeable


def test_a_changed_source_is_read_again_and_replaces_the_old(data: Path) -> None:
    first, _ = load(data)
    data.write_text(data.read_text().replace("CCC", "DDD"))
    second, lines = load(data)
    assert lines
    assert second.symbols.tolist() == ["AAA", "BBB", "DDD"]
    assert second.fingerprint != first.fingerprint
    folder(data)


def test_a_changed_sectors_file_is_noticed(data: Path) -> None:
    load(data)
    (data.parent / "bars_sectors.csv").write_text("symbol,sector\nAAA,Steel\n")
    assert load(data)[0].group_names["sector"] == ("Steel",)


def test_the_fingerprint_is_of_the_content_not_of_the_file(data: Path, tmp_path: Path) -> None:
    first, _ = load(data)
    os.utime(data, ns=(1, 1))
    touched, lines = load(data)
    assert lines == []
    assert touched.fingerprint == first.fingerprint
    assert len(first.fingerprint) == 16
    int(first.fingerprint, 16)
    elsewhere = tmp_path / "other" / "renamed.csv"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(data.read_bytes())
    groups = tmp_path / "bars_sectors.csv"
    copy = load_market(str(elsewhere), cache_dir=tmp_path / "cache", sectors=groups)
    assert copy.fingerprint == first.fingerprint


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "empty", "garbage"])
@pytest.mark.parametrize("target", ["first-array", "last-array", "manifest"])
def test_a_damaged_cache_is_built_again(data: Path, damage: str, target: str) -> None:
    first, _ = load(data)
    arrays = sorted(folder(data).glob("*.npy"), key=lambda path: int(path.stem))
    victim = {
        "first-array": arrays[0],
        "last-array": arrays[-1],
        "manifest": folder(data) / "panel.json",
    }[target]
    content = bytearray(victim.read_bytes())
    if damage == "truncate":
        victim.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        if target == "manifest":
            content = content.replace(b'"checksum": ', b'"checksum": 1')
        else:
            content[-1] ^= 0x10
        victim.write_bytes(content)
    elif damage == "remove":
        victim.unlink()
    elif damage == "empty":
        victim.write_bytes(b"")
    else:
        victim.write_bytes(os.urandom(len(content)))
    second, lines = load(data)
    assert any("unusable" in line for line in lines)
    assert same(first, second)
    assert load(data)[1] == []


def test_a_cache_that_cannot_be_written_costs_no_panel(data: Path) -> None:
    (data.parent / "cache").write_text("a file where the folder should be")
    panel, lines = load(data)
    assert panel.shape == (30, 3)
    assert any("cannot keep the panel" in line for line in lines)


def test_many_at_once_leave_one_whole_panel(data: Path) -> None:
    panels: list[Panel] = []
    threads = [threading.Thread(target=lambda: panels.append(load(data)[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(panels) == 8
    assert all(same(panels[0], panel) for panel in panels)
    leftovers = [path.name for path in folder(data).parent.iterdir()]
    assert leftovers == [folder(data).name]
    assert load(data)[1] == []


def test_a_process_killed_while_writing_leaves_nothing_that_is_read(data: Path) -> None:
    code = (
        "import os, signal; import numpy as np; from pathlib import Path\n"
        "from alphafoundry.market import load_market\n"
        "save, calls = np.save, []\n"
        "def dying(*args, **options):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    save(*args, **options)\n"
        "np.save = dying\n"
        f"load_market({str(data)!r}, cache_dir=Path({str(data.parent / 'cache')!r}))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], check=False)
    assert run.returncode == -9
    (draft,) = (data.parent / "cache").rglob(".draft-*")
    os.utime(draft, (1, 1))
    panel, lines = load(data)
    assert panel.shape == (30, 3)
    assert lines
    assert not draft.exists()
    assert load(data)[1] == []
