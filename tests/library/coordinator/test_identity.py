"""What a stored result is named by."""

from __future__ import annotations

import grimp

from alphafoundry.coordinator.identity import SOURCES

WITHOUT_EFFECT_ON_NUMBERS = {
    *("clock", "configuration", "errors", "file_lock", "importing", "runs", "settings"),
    "store",
    *("retry_after", "sqlite_copy", "whole_file", "yaml_document"),
    *("evidence", "market"),  # bars, mirrored ones too, are known by their content
}


def test_whatever_the_workflows_use_counts_as_code_that_results_depend_on() -> None:
    graph = grimp.build_graph("alphafoundry", cache_dir=None)
    rooms = {source.removesuffix(".py") for source in SOURCES}
    used = {
        module.split(".")[1]
        for room in rooms
        for module in graph.find_upstream_modules(f"alphafoundry.{room}", as_package=True)
        if "." in module
    }
    assert "finance" in used
    assert used - rooms <= WITHOUT_EFFECT_ON_NUMBERS
