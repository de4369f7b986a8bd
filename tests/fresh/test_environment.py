"""`scripts/environment.sh`: with real interpreters and pip, on a project without dependencies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.working_folder import ROOT

COMMANDS = ("sh", "cat", "dirname", "basename", "sha256sum", "head", "tail", "grep", "tr", "rm")
COMMANDS += ("mkdir", "ls", "flock")
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = '''
"""Builds this project's editable wheel with nothing but the standard library."""
import pathlib, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    requires = pathlib.Path("requires.txt").read_text()
    files = {
        "tiny.pth": str(pathlib.Path.cwd()),
        "tiny-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n"
        "Provides-Extra: sample\\nProvides-Extra: dev\\n" + requires,
        "tiny-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n"
        "Tag: py3-none-any\\n",
    }
    files["tiny-1.dist-info/RECORD"] = "".join(f"{name},,\\n" for name in files)
    with zipfile.ZipFile(pathlib.Path(folder, "tiny-1-py3-none-any.whl"), "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return "tiny-1-py3-none-any.whl"
'''


class Checkout:
    """A checkout of a tiny project, with the real script."""

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        self.folder = folder
        self.env = {"PATH": str(bin_folder), "HOME": str(folder.parent), "PIP_NO_INDEX": "1"}
        (folder / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts/environment.sh", folder / "scripts")
        (folder / "pyproject.toml").write_text(PYPROJECT)
        (folder / "backend.py").write_text(BACKEND)
        (folder / "requires.txt").write_text("")
        (folder / "constraints.txt").write_text("")
        (folder / "tiny_module.py").write_text("")

    def make(self, *extras: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", str(self.folder / "scripts/environment.sh"), *extras],
            env=self.env | env,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
            cwd=self.folder.parent,
        )

    def finds(self, venv: Path | None = None) -> str:
        """Return the file of the project's module, as the environment sees it."""
        return subprocess.run(
            [
                venv or self.folder / ".venv/bin/python",
                "-c",
                "import tiny_module; print(tiny_module.__file__)",
            ],
            capture_output=True,
            text=True,
            check=True,
            cwd="/",
        ).stdout.strip()


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """A PATH of its own: what the script calls, an interpreter, and neither uv nor another one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in COMMANDS:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    base = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    (folder / "python3").symlink_to(base)
    (folder / "apt-get").symlink_to("/bin/true")
    return folder


@pytest.fixture
def checkout(tmp_path: Path, bin_folder: Path) -> Checkout:
    return Checkout(tmp_path / "a folder" / "checkout", bin_folder)


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    return done.stderr.splitlines()


@pytest.mark.long
def test_made_once_and_remade_where_it_is_not_whole(checkout: Checkout, tmp_path: Path) -> None:
    venv = checkout.folder / ".venv"
    venv.mkdir()  # as venv leaves it where ensurepip is missing
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\n")

    first = checkout.make(PIP_FIND_LINKS="/no/such/folder")
    assert first.returncode == 0, first
    assert first.stderr == ""  # what pip says of this machine's settings stays in the log
    assert len(first.stdout.splitlines()) == 1
    assert "/no/such/folder" in (venv / "install.log").read_text()
    assert checkout.finds() == str(checkout.folder / "tiny_module.py")
    made = (venv / "pyvenv.cfg").stat().st_mtime_ns

    again = checkout.make()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    assert "(dev)" in checkout.make("dev").stdout
    assert checkout.make("dev").stdout == checkout.make().stdout == ""
    (checkout.folder / "constraints.txt").write_text("# changed\n")
    assert "(sample)" in checkout.make().stdout
    assert "(dev)" in checkout.make("dev").stdout
    assert (venv / "pyvenv.cfg").stat().st_mtime_ns == made

    second = tmp_path / "second"
    shutil.copytree(checkout.folder, second, symlinks=True)
    other = Checkout.__new__(Checkout)
    other.folder, other.env = second, checkout.env
    assert other.make().returncode == 0
    assert other.finds() == str(second / "tiny_module.py")


def test_without_ensurepip_one_line_says_what_to_install(
    checkout: Checkout, tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "ensurepip.py").write_text("raise ImportError")
    for _ in range(2):
        done = checkout.make(PYTHONPATH=str(blocked))
        assert done.returncode == 1 and done.stdout == ""
        assert len(said(done)) == 1
        assert done.stderr.endswith(": sudo apt install python3-venv\n")


@pytest.mark.long
def test_a_failed_installation_ends_with_our_line_and_is_tried_again(checkout: Checkout) -> None:
    (checkout.folder / "requires.txt").write_text("Requires-Dist: no-such-distribution\n")
    for _ in range(2):
        done = checkout.make()
        assert done.returncode == 1
        assert "no-such-distribution" in done.stderr
        assert said(done)[-1].startswith("error: the installation failed")
    (checkout.folder / "requires.txt").write_text("")
    assert checkout.make().returncode == 0
    assert checkout.make().stdout == ""


@pytest.mark.long
def test_a_checkout_that_cannot_be_written(checkout: Checkout, tmp_path: Path) -> None:
    venv = tmp_path / "elsewhere" / "venv"
    done = checkout.make(VENV=str(venv))
    assert done.returncode == 0, done
    assert not (checkout.folder / ".venv").exists()
    assert checkout.finds(venv / "bin/python") == str(checkout.folder / "tiny_module.py")


def test_another_folder_is_never_taken_for_a_half_made_environment(
    checkout: Checkout, tmp_path: Path
) -> None:
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "thesis.txt").write_text("years of work")
    done = checkout.make(VENV=str(treasure))
    assert done.returncode == 1 and len(said(done)) == 1
    assert "is no virtual environment" in done.stderr
    assert (treasure / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("version", "message"),
    [("3.9.2", "Python 3.11 or newer is needed"), (None, "no command 'python3.99'")],
)
def test_an_interpreter_that_does_not_do(
    checkout: Checkout, bin_folder: Path, version: str | None, message: str
) -> None:
    if version is not None:
        old = bin_folder / "python3.99"
        old.write_text(f'#!/bin/sh\n[ "$1" = -V ] && echo Python {version}\nexit 1\n')
        old.chmod(0o755)
    done = checkout.make(PYTHON="python3.99")
    assert done.returncode == 1 and len(said(done)) == 1
    assert message in done.stderr


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")
def test_uv_is_used_where_it_is_installed(checkout: Checkout, bin_folder: Path) -> None:
    (bin_folder / "uv").symlink_to(shutil.which("uv") or "")
    assert checkout.make(UV_OFFLINE="1", PYTHONPATH="").returncode == 0
    assert "uv = " in (checkout.folder / ".venv/pyvenv.cfg").read_text()
    assert os.access(checkout.folder / ".venv/bin/python", os.X_OK)
