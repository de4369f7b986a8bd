"""Formulas that are known: the 101 Formulaic Alphas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import Expression, FieldInfo, check, parse

FORMULAS = Path(__file__).with_name("alpha101.txt")


def alpha101() -> dict[int, str]:
    """Return number to expression of Kakushadze (2015), with the mean volumes written out.

    Windows are cut to whole days, and the levels of industries are the groups of a market.
    """
    found: dict[int, str] = {}
    for line in FORMULAS.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            number, _, text = line.partition(": ")
            found[int(number)] = re.sub(r"\badv(\d+)\b", r"ts_mean(volume, \1)", text)
    return found


def usable_formulas(
    fields: Mapping[str, FieldInfo], operators: Iterable[str]
) -> dict[int, Expression]:
    """Return number to formula for those that need nothing else and compare no price levels."""
    allowed = frozenset(operators)
    found: dict[int, Expression] = {}
    for number, text in alpha101().items():
        try:
            expression = parse(text)
            if not check(expression, fields, operators=allowed, levels=True):
                found[number] = expression
        except ExpressionError:
            continue
    return found
