"""No module needs itself: not at import, not later within a function, not for its types."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from tests.some_cases import one_in

PACKAGES = ("alphafoundry", "tasks", "flows", "deployments")


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Return modules that need each other, the first one again at the end; empty without."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def test_no_module_imports_itself_through_others() -> None:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    imports = {each: graph.find_modules_directly_imported_by(each) for each in graph.modules}
    assert len(imports) > 200
    found = circle(imports)
    assert not found, f"a circle of imports: {' -> '.join(found)}"


@pytest.mark.parametrize(
    "closing",
    one_in(
        3,
        [
            "import {0}.a",
            "def later():\n    from {0} import a",
            "if TYPE_CHECKING:\n    import {0}.a",
        ],
    ),
)
def test_a_circle_is_found_however_it_is_closed(
    closing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"circular{abs(hash(closing))}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "a.py").write_text(f"import {name}.b")
    text = f"from typing import TYPE_CHECKING\n{closing.format(name)}\n"
    (folder / "b.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    graph = grimp.build_graph(name, cache_dir=None)
    imports = {each: graph.find_modules_directly_imported_by(each) for each in graph.modules}
    assert sorted(set(circle(imports))) == [f"{name}.a", f"{name}.b"]
