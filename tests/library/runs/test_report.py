"""A report as a page: nothing is left out, and nothing in it can become Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alphafoundry.runs import Figure, Passage, Table, to_markdown, to_text


@dataclass(frozen=True)
class Small:
    kind: str = "small"
    version: int = 1
    key: str = "small-report"
    title: str = "small: run 1"
    headline: str = "SYNTHETIC prices"
    notes: Sequence[str] = ("look <here>",)
    cell: str = "a|b"

    def summary(self) -> list[tuple[str, str]]:
        return [("tried", "3 | 4")]

    def tables(self) -> list[Table]:
        rows = [{"name": self.cell, "value": "1.5"}, {"name": "x", "value": ""}]
        return [
            Table("On the page", rows, caption="measured"),
            Table("Elsewhere", rows, places=frozenset({"terminal"})),
            Table("Empty", []),
        ]

    def figures(self) -> list[Figure]:
        return [Figure("Equity", lambda: b"png")]

    def passages(self) -> list[Passage]:
        return [Passage("Prompt", ["*as it is*"], verbatim=True), Passage("List", ["one"])]

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "version": self.version}


def test_the_page_holds_every_part() -> None:
    page = to_markdown(Small(), {"Equity": "plots/equity.png"})
    for part in (
        "## small: run 1",
        "**SYNTHETIC prices**",
        "| **tried** | 3 \\| 4 |",
        "![Equity](plots/equity.png)",
        "### On the page",
        "| name | value |\n|---|--:|\n| a\\|b | 1.5 |",
        "measured",
        "    *as it is*",
        "- one",
        "- look &lt;here>",
    ):
        assert part in page
    assert "Elsewhere" not in page and "Empty" not in page


def test_text_of_generated_code_stays_text() -> None:
    page = to_markdown(Small(cell="[x](http://evil) `c` *b*\n| new <img>"))
    (line,) = [line for line in page.splitlines() if "evil" in line]
    assert line == "| \\[x\\](http://evil) \\`c\\` \\*b\\* \\| new &lt;img> | 1.5 |"


def test_a_picture_is_drawn_only_where_it_is_shown() -> None:
    page = to_markdown(Small())
    assert "Equity" not in page


def test_as_text_it_holds_what_the_terminal_shows() -> None:
    assert to_text(Small(cell="two\nlines")).splitlines() == [
        "SYNTHETIC prices",
        "tried  3 | 4",
        "",
        "On the page",
        "name       value",
        "two lines    1.5",
        "x",
        "measured",
        "",
        "Elsewhere",
        "name       value",
        "two lines    1.5",
        "x",
        "",
        "look <here>",
    ]
