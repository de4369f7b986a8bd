"""The pages: their links lead somewhere, and the site is built without a warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.working_folder import ROOT, TIMEOUT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
MADE_BY_MKDOCS = "reference/index.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
    targets = [one.split("#")[0] for one in re.findall(r"\]\(([^)\s]+)\)", prose)]
    local = [one for one in targets if one and not re.match(r"\w+:", one)]
    assert [one for one in local if not (page.parent / one).exists()] in ([], [MADE_BY_MKDOCS])


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_a_guide_names_exist(page: str) -> None:
    named = re.findall(
        r"(?<![\w/.])((?:a|alphafoundry|tasks|flows|tests|examples|docs)/[\w/-]*[\w/](?:\.\w+)?)"
        r"((?:, \w+\.py)*)",
        (ROOT / page).read_text("utf-8"),
    )
    paths = [
        re.sub("^a/", "alphafoundry/", path)
        for first, others in named
        for path in (first, *(str(Path(first).parent / one) for one in others.split(", ")[1:]))
        if not re.search("NAME|ROOM", path)
    ]
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_commands_of_make_that_the_pages_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    known = set(re.findall(r"^([a-z0-9-]+):", makefile, flags=re.M))
    named = {
        name
        for page in PAGES
        for name in re.findall(r"^make ([a-z][a-z0-9-]+)|`make ([a-z][a-z0-9-]+)", page.read_text())
        for name in name
        if name
    }
    assert named - known <= {"bench-NAME"}


def test_no_benchmark_is_run_by_two_commands_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    run = Counter(re.findall(r"-m (benchmarks\.\w+)", makefile))
    assert run and set(run.values()) == {1}, run.most_common(3)


@pytest.mark.long
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rooms = {path.parent.name for path in (ROOT / "alphafoundry").glob("*/__init__.py")}
    built = {path.name for path in (tmp_path / "site" / "reference").iterdir() if path.is_dir()}
    assert rooms <= built
