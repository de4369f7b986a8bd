"""What a run tells when it ends: one form for every kind of work, one page for all of them.

A report holds texts for people, which the terminal and Prefect's artifacts show, and JSON values
for programs. Whoever shows one knows nothing of what ran.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Place = Literal["terminal", "page", "artifact"]

EVERYWHERE: frozenset[Place] = frozenset({"terminal", "page", "artifact"})


@dataclass(frozen=True)
class Table:
    """Rows of texts with the same headings.

    Attributes
    ----------
    title : heading
    rows : heading to text
    key : of an artifact of its own; needed where `places` has "artifact"
    places : where it is shown
    caption : a line about the whole table
    description : of the artifact; empty is title and headline
    wide : heading of the column that takes the rest of the line; the others are not wrapped
    marked : positions of the rows that stand out
    """

    title: str
    rows: Sequence[Mapping[str, str]]
    key: str | None = None
    places: frozenset[Place] = EVERYWHERE
    caption: str = ""
    description: str = ""
    wide: str | None = None
    marked: frozenset[int] = frozenset()

    @property
    def headings(self) -> tuple[str, ...]:
        """The headings, left to right; none without a row."""
        return tuple(self.rows[0]) if self.rows else ()

    def is_numeric(self, heading: str) -> bool:
        """Return whether every text of a column is a number, or none."""
        texts = [row[heading].strip() for row in self.rows]
        return any(texts) and all(_is_number(text) for text in texts)


@dataclass(frozen=True)
class Figure:
    """A picture, drawn when somebody shows it.

    Attributes
    ----------
    title : heading
    draw : returns PNG bytes; may take seconds
    """

    title: str
    draw: Callable[[], bytes]


@dataclass(frozen=True)
class Passage:
    """Lines that only the page shows.

    Attributes
    ----------
    verbatim : shown as they are, letter by letter; otherwise as a list
    """

    title: str
    lines: Sequence[str]
    verbatim: bool = False


def data_table(rows: Sequence[tuple[str, str]]) -> Table:
    """Return the data screen of a market, (word, sentence) by row, as a table of a report."""
    return Table(
        "Data",
        [{"data": word, "what is known": text} for word, text in rows],
        places=frozenset({"terminal", "page"}),
        wide="what is known",
    )


class Report(Protocol):
    """What a run did.

    Attributes
    ----------
    kind : what was done: "alphas", "algorithms", "workflow"
    version : of the form of `to_json`
    key : of the page among the artifacts: lower-case letters, digits and dashes
    title : names the run
    headline : one line on what it was done with; starts with SYNTHETIC where prices were generated
    notes : lines for the end
    """

    @property
    def kind(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def key(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def headline(self) -> str: ...
    @property
    def notes(self) -> Sequence[str]: ...

    def summary(self) -> Sequence[tuple[str, str]]:
        """Return (subject, sentence) pairs that tell the run at a glance."""
        ...

    def tables(self) -> Sequence[Table]:
        """Return the tables, the most important first."""
        ...

    def figures(self) -> Sequence[Figure]:
        """Return the pictures."""
        ...

    def passages(self) -> Sequence[Passage]:
        """Return what the page shows besides."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, "kind" and "version" among them."""
        ...


def to_markdown(report: Report, pictures: Mapping[str, str] | None = None) -> str:
    """Return a report as a page of Markdown.

    Texts may come from generated code or from a service; what could be Markdown or HTML in them
    is escaped.

    Parameters
    ----------
    pictures : title of a figure to the address of its picture; a figure left out is not shown
    """
    parts = [f"## {_escaped(report.title)}", "", f"**{_escaped(report.headline)}**", ""]
    parts += ["| | |", "|---|---|"]
    parts += [f"| **{_escaped(name)}** | {_escaped(text)} |" for name, text in report.summary()]
    for title, address in (pictures or {}).items():
        parts += ["", f"### {_escaped(title)}", "", f"![{_escaped(title)}]({address})"]
    for table in report.tables():
        if "page" in table.places and table.rows:
            parts += ["", *_table(table)]
    for passage in report.passages():
        parts += ["", f"### {_escaped(passage.title)}", ""]
        if passage.verbatim:
            parts += [f"    {line}" for line in passage.lines]
        else:
            parts += [f"- {_escaped(line)}" for line in passage.lines]
    if report.notes:
        parts += ["", *(f"- {_escaped(note)}" for note in report.notes)]
    return "\n".join(parts) + "\n"


def to_text(report: Report) -> str:
    """Return a report as plain text: what the terminal shows, without its frames and colours."""
    parts = [report.headline, *_aligned([list(pair) for pair in report.summary()], ("", ""))]
    for table in report.tables():
        if "terminal" in table.places and table.rows:
            numeric = ["number" if table.is_numeric(one) else "" for one in table.headings]
            rows = [list(table.headings), *([*row.values()] for row in table.rows)]
            parts += ["", table.title, *_aligned(rows, numeric)]
            parts += [table.caption] if table.caption else []
    if report.notes:
        parts += ["", *report.notes]
    return "\n".join(parts)


def _aligned(rows: Sequence[Sequence[str]], kinds: Sequence[str]) -> list[str]:
    """Return the rows as lines, columns two blanks apart; those of kind "number" to the right."""
    rows = [[cell.replace("\n", " ") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if kind else cell.ljust(width)
            for cell, width, kind in zip(row, widths, kinds, strict=True)
        ).rstrip()
        for row in rows
    ]


def _table(table: Table) -> list[str]:
    lines = [f"### {_escaped(table.title)}", ""]
    lines.append("| " + " | ".join(map(_escaped, table.headings)) + " |")
    rules = ("--:" if table.is_numeric(heading) else "---" for heading in table.headings)
    lines.append("|" + "|".join(rules) + "|")
    lines += [
        "| " + " | ".join(_escaped(row[heading]) for heading in table.headings) + " |"
        for row in table.rows
    ]
    return [*lines, "", _escaped(table.caption)] if table.caption else lines


def _escaped(text: str) -> str:
    for character in "\\`*_[]|":
        text = text.replace(character, "\\" + character)
    return text.replace("<", "&lt;").replace("\n", " ")


def _is_number(text: str) -> bool:
    return not text.strip("0123456789.,+-/% s$") or text == "nan"
