"""A reference page for each room of the library, for mkdocs: what the room exports."""

from __future__ import annotations

import ast
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

LIBRARY = Path(__file__).resolve().parent.parent / "alphafoundry"


def rooms() -> dict[str, str]:
    """Return the packages of the library, and the first line of what each says of itself."""
    found = {}
    for init in sorted(LIBRARY.glob("*/__init__.py")):
        said = ast.get_docstring(ast.parse(init.read_text("utf-8"))) or ""
        found[init.parent.name] = said.split("\n")[0]
    return found


def page(room: str, summary: str) -> str:
    """Return the Markdown of one room's page."""
    return (
        f"# alphafoundry.{room}\n\n{summary}\n\n::: alphafoundry.{room}\n    options:\n      "
        + ("show_root_heading: false\n      show_root_toc_entry: false\n      heading_level: 2\n")
    )


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to the site; mkdocs calls this once the written pages are known."""
    listed = [f"- [{room}]({room}.md): {summary}" for room, summary in rooms().items()]
    pages = {"index": "# Reference\n\nThe library, room by room.\n\n" + "\n".join(listed) + "\n"}
    pages |= {room: page(room, summary) for room, summary in rooms().items()}
    for name, text in pages.items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files
