"""Write docs/benchmarks.md from benchmarks/results: `python -m benchmarks.report`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results_file import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
Row = dict[str, Any]

TITLES = {
    "population": "A population, one by one and as one batch",
    "what": "Simulation on top of evaluation",
    "kernel": "Bandwidth of each kernel, two threads",
    "batch on": "Threads and processes",
    "precision": "Peak memory, the 20 alphas one after another",
    "start": "First and later starts",
}
NOTES = {
    "population": "Values over distinct values is the most that sharing can save. `cache` keeps "
    "values between single evaluations, `batch` knows all expressions beforehand.",
    "kernel": "Bytes of the inputs and the answer over the time, and the same for a copy. What is "
    "far below the copy is bound by arithmetic, not by memory.",
    "precision": "`panel_gib` is the memory of the process with its synthetic panel, `peak_gib` "
    "the most during the evaluations.",
}
OURS_FIRST = ("alpha", "ours", "ours_1_thread")


def table(rows: Sequence[Row]) -> list[str]:
    """Return a Markdown table of rows with the same keys."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(key.replace("_", " ") for key in keys) + " |"]
    lines.append("|" + "---|" * len(keys))
    lines += ["| " + " | ".join(str(row.get(key, "")) for key in keys) + " |" for row in rows]
    return [*lines, ""]


def _without(row: Row, *names: str) -> Row:
    return {key: value for key, value in row.items() if key not in names}


def _engines(rows: Sequence[Row]) -> list[str]:
    lines = ["## The alpha engine", ""]
    for panel in dict.fromkeys(row["panel"] for row in rows if "alpha" in row):
        several = [row for row in rows if row.get("panel") == panel and "alpha" in row]
        (summary,) = (row for row in several if row["alpha"] == "all")
        lines += [
            f"### {panel}",
            "",
            "Milliseconds for one alpha, medians; ours on two threads.",
            "",
        ]
        lines += table([_without(row, "panel") for row in several if row["alpha"] != "all"])
        names = [key.removesuffix("_ms") for key in summary if key.endswith("_ms")]
        lines += table(
            [
                {
                    "engine": name,
                    "sum of the 20, ms": summary[f"{name}_ms"],
                    "times ours, median": summary[f"{name}_median_ratio"],
                    "least": summary[f"{name}_least_ratio"],
                }
                for name in names
                if name != "ours"
            ]
        )
        lines += [f"Ours: {summary['ours_ms']} ms for the 20.", ""]
    for key, title in TITLES.items():
        several = [row for row in rows if key in row and "alpha" not in row]
        if several:
            lines += [f"### {title}", ""]
            lines += [NOTES[key], ""] if key in NOTES else []
            lines += table(several)
    return lines


def _section(result: Row) -> list[str]:
    versions = ", ".join(f"{name} {found}" for name, found in result["versions"].items())
    machine = result["machine"]
    where = (
        f"`make bench-{result['benchmark']}`, {result['date']}, {machine['cores']} cores "
        f"{machine['architecture']}, {machine['system']}; {versions}."
    )
    rows = result["rows"]
    if result["benchmark"] == "engine":
        lines = _engines(rows)
    else:
        lines = [f"## {result['benchmark'].capitalize()}", ""]
        kinds = [tuple(row) if "what" not in row else () for row in rows]
        for kind in dict.fromkeys(kinds):
            lines += table([row for row, own in zip(rows, kinds, strict=True) if own == kind])
    return [*lines[:2], where, "", *lines[2:]]


def main() -> None:
    """Write the page."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `python -m benchmarks.report` from `benchmarks/results`, which the commands",
        "named here write. Competitors run in the same process, in interleaved rounds.",
        "",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        lines += _section(json.loads(path.read_text()))
    PAGE.write_text("\n".join(lines).rstrip() + "\n")
    print(f"written to {PAGE}")


if __name__ == "__main__":
    main()
