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
from alphafoundry.measures import FACTOR, Text, plus_one

@kernel
def scaled(value):
    return FACTOR * plus_one(value)

def described(value: Text) -> Text:
    return Text(value)
"""
MEASURES = """
from alphafoundry.compilation import kernel
from alphafoundry.sizes import SIZE
from alphafoundry.texts import Text

FACTOR = SIZE

@kernel
def plus_one(value):
    return value + 1.0
"""
SIZES = "SIZE = 2.0\n"
TEXTS = "class Text(str): ...\n"
CALL = """
import sys
from pathlib import Path

for folder in sys.argv[1:]:
    for name in [name for name in sys.modules if name.startswith("alphafoundry")]:
        del sys.modules[name]
    sys.path[0] = folder
    from alphafoundry.compilation import is_compiled
    from alphafoundry.some_kernels import scaled
    known = is_compiled(scaled)
    value = scaled(3.0)
    assert is_compiled(scaled)
    assert sum(scaled.stats.cache_hits.values()) == known
    print(Path(folder).name, value, "found" if known else "compiled", sep=":")
"""


@pytest.fixture
def caches(tmp_path: Path) -> Path:
    return tmp_path / "caches"


def checkout(folder: Path, **changed: str) -> Path:
    """Make a checkout of as much of the library as a kernel needs.

    changed : module to its text
    """
    package = folder / "alphafoundry"
    package.mkdir(parents=True)
    for name in LIBRARY:
        shutil.copy(ROOT / "alphafoundry" / name, package)
    files = {"some_kernels": KERNELS, "measures": MEASURES, "sizes": SIZES, "texts": TEXTS}
    for module, text in (files | changed).items():
        (package / f"{module}.py").write_text(text)
    return folder


def called(*folders: Path, **variables: str) -> list[str]:
    """Return for each checkout its name, what its kernel gives, and whether it was compiled."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NUMBA_", "XDG_", "FOUNDRY_", "PYTHON"))
    }
    done = subprocess.run(
        [sys.executable, "-c", CALL, *map(str, folders)],
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_second_checkout_finds_what_the_first_has_compiled(tmp_path: Path, caches: Path) -> None:
    first = checkout(tmp_path / "first")
    second = checkout(tmp_path / "second")
    assert called(first, second, XDG_CACHE_HOME=str(caches)) == [
        "first:8.0:compiled",
        "second:8.0:found",
    ]


@pytest.mark.long
def test_a_version_that_differs_anywhere_is_compiled_beside_the_first(
    tmp_path: Path, caches: Path
) -> None:
    first = checkout(tmp_path / "first")
    own = checkout(tmp_path / "own", some_kernels=KERNELS.replace("FACTOR *", "3.0 * FACTOR *"))
    callee = checkout(tmp_path / "callee", measures=MEASURES.replace("+ 1.0", "+ 2.0"))
    constant = checkout(tmp_path / "constant", sizes=SIZES.replace("2.0", "4.0"))
    unused = checkout(tmp_path / "unused", texts=TEXTS.replace("str", "bytes"))
    options = checkout(tmp_path / "options")
    file = options / "alphafoundry" / "compilation.py"
    file.write_text(file.read_text().replace("nogil=True", "nogil=False"))
    folders = (first, own, callee, constant, unused, options, first)
    assert called(*folders, XDG_CACHE_HOME=str(caches)) == [
        "first:8.0:compiled",
        "own:24.0:compiled",
        "callee:10.0:compiled",
        "constant:16.0:compiled",
        "unused:8.0:found",
        "options:8.0:compiled",
        "first:8.0:found",
    ]


@pytest.mark.long
def test_where_kernels_lie_without_the_users_cache_folder(tmp_path: Path) -> None:
    """Beside their source where it cannot be written; where `NUMBA_CACHE_DIR` says, before all."""
    first = checkout(tmp_path / "first")
    other = checkout(tmp_path / "other", sizes=SIZES.replace("2.0", "4.0"))
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    for what in ("compiled", "found"):
        assert called(first, XDG_CACHE_HOME=str(blocked)) == [f"first:8.0:{what}"]
    assert list(first.glob("alphafoundry/__pycache__/*/*.nbi"))
    asked = tmp_path / "asked"
    assert called(first, other, NUMBA_CACHE_DIR=str(asked)) == [
        "first:8.0:compiled",
        "other:16.0:compiled",
    ]
    assert list(asked.glob("*/*.nbi"))


THREADS = """
import gc
import threading
import time

import alphafoundry.expressions.kernels as kernels
from pathlib import Path
from alphafoundry import compilation

# Another thread goes on whenever garbage is collected, in the middle of reading a file.
gc.set_threshold(300, 5, 5)
gc.callbacks.append(lambda *_: time.sleep(0.0001))
files = sorted(Path(kernels.__file__).parent.glob("*.py"))
failed = []

def read(part):
    try:
        for file in part:
            compilation._digest(file)
    except SystemError as problem:
        failed.append(problem)

threads = [threading.Thread(target=read, args=(files[n::4],)) for n in range(4)]
for one in threads:
    one.start()
for one in threads:
    one.join()
print(len(failed), "failed")
"""


@pytest.mark.long
def test_several_threads_may_need_their_first_kernels_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", THREADS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "0 failed\n"
