"""The FASTEXPR language: parse, check and evaluate alpha expressions."""

from __future__ import annotations

from alphafoundry.expressions.checking import check
from alphafoundry.expressions.conventions import Conventions
from alphafoundry.expressions.evaluator import Evaluator, evaluate
from alphafoundry.expressions.expression import Expression
from alphafoundry.expressions.operators import OPERATORS
from alphafoundry.expressions.parsing import parse
from alphafoundry.expressions.registry import Operator
from alphafoundry.expressions.units import DEFAULT_FIELDS, FieldInfo
from alphafoundry.expressions.vectors import VectorField
from alphafoundry.expressions.warm_up import warm_up

__all__ = [
    "DEFAULT_FIELDS",
    "OPERATORS",
    "Conventions",
    "Evaluator",
    "Expression",
    "FieldInfo",
    "Operator",
    "VectorField",
    "check",
    "evaluate",
    "parse",
    "warm_up",
]
