"""The operator reference, written from the registry: `docs/operators.md`.

python -m alphafoundry.expressions.documentation [docs/operators.md]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from alphafoundry.expressions.conventions import Conventions
from alphafoundry.expressions.operators import OPERATORS
from alphafoundry.expressions.registry import Keyword, Operator

_HEAD = """# Operators

Written by `python -m alphafoundry.expressions.documentation`; change the registry in
`alphafoundry/expressions/operators`, not this page.

Inputs come in the order shown; keywords are given by name. Underscores may be left out of names.
Tier **base** is open to every account, **ext** where granted, **legacy** comes from older lists;
**super** is for the combo or the selection of SUPER alphas ([super.md](super.md)). A combo may also
use every operator that needs no event data, a selection those that work cell by cell.
Where the official texts are silent or disagree, the definition says what is done here, and where
it names a convention, `alphafoundry.expressions.Conventions` has a switch for the other reading.
A lookback may be as long as the market's history: one official page says less than 512, official
examples use 1000.

Names of operators, fields, keywords and variables may be written in any case; two variables whose
names differ only in case are one.

## NaN, infinity and the range of numbers

What a definition does not say otherwise:

- Cell by cell, NaN in one input gives NaN; a comparison with NaN is NaN, not false.
- A window of days is full or NaN: NaN until d days are there, and as long as one of them is NaN.
  After a NaN exactly d days are NaN.
- Across a day and inside groups, NaN cells are left out and stay NaN. So are infinite ones, but
  `rank` and `group_rank` put them first or last.
- Division by zero gives inf, -inf or (0/0) NaN. There is one zero: -0 is 0 where it is written, and
  1 / -0 is inf. A computed zero may have a sign, as IEEE 754 says.
- An alpha's infinite values take no position, as NaN takes none.
- With `nanHandling` on, a time-series operator gives 0 where its whole window is NaN, and a group
  operator gives the group's value to members with NaN.
- Values that rounding alone keeps apart are equal to ranks. `==`, `ts_arg_max`, `ts_arg_min` and
  `kth_element` compare exactly.
- Moments, deviations, correlations and regressions do not lose digits at a high level: adding 1e6
  to the data leaves 1e-9 of the answer. What needs the square of a number beyond 1e140, or below
  1e-140, is computed in other units or NaN, with two exceptions: a standard deviation over days
  below 1e-160 is 0, and so is a weighted group mean whose products are below 1e-308.
"""


def operators_page() -> str:
    """Return the reference as Markdown: one table per category, operators in registry order."""
    parts = [_HEAD]
    for category in dict.fromkeys(operator.category for operator in OPERATORS.values()):
        chosen = [found for found in OPERATORS.values() if found.category == category]
        parts.append(f"\n## {category}\n\n| Operator | Tier | Definition |\n|---|---|---|\n")
        parts.extend(map(_row, chosen))
    parts.append(_conventions())
    return "".join(parts)


def _conventions() -> str:
    rows = [
        f"| `{name}` | {', '.join(choices)} | {', '.join(f'`{found}`' for found in _ruled(name))} |"
        for name, choices in Conventions.choices().items()
    ]
    head = (
        "\n## Conventions\n\nThe first choice is the usual one.\n\n| Name | Choices | Changes |\n"
    )
    return head + "|---|---|---|\n" + "\n".join(rows) + "\n"


def _ruled(convention: str) -> list[str]:
    """Return the operators that have another kernel for another choice."""
    return [
        name
        for name, operator in OPERATORS.items()
        if operator.under is not None and convention in operator.conventions
    ]


def _row(operator: Operator) -> str:
    definition = operator.definition
    if operator.aliases:
        definition += f" Also called {', '.join(f'`{name}`' for name in operator.aliases)}."
    limits = [text for keyword in operator.keywords if (text := _limits(keyword))]
    if limits:
        definition += f" Keywords: {'; '.join(limits)}."
    cells = (f"`{operator.signature}`", operator.tier, definition)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _limits(keyword: Keyword) -> str:
    """Return what a keyword's value may be, "" where its default says it all."""
    if keyword.choices:
        return f"{keyword.name} is one of {', '.join(keyword.choices)}"
    bounds = [
        *([] if keyword.minimum is None else [f"at least {keyword.minimum:g}"]),
        *([] if keyword.maximum is None else [f"at most {keyword.maximum:g}"]),
    ]
    return f"{keyword.name} is {' and '.join(bounds)}" if bounds else ""


def main() -> None:
    """Write the page to the path given, or to docs/operators.md."""
    parser = argparse.ArgumentParser(
        prog="python -m alphafoundry.expressions.documentation",
        description="Write the operator reference from the registry.",
        allow_abbrev=False,
    )
    parser.add_argument("page", nargs="?", type=Path, default=Path("docs/operators.md"))
    path: Path = parser.parse_args().page
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(operators_page(), encoding="utf-8")
    sys.stdout.write(f"{path}: {len(OPERATORS)} operators\n")


if __name__ == "__main__":
    main()
