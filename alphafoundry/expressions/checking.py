"""Whether an expression can run: names, counts and kinds of inputs, and units."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions.binding import Bound, bind, read_keyword
from alphafoundry.expressions.expression import Expression, lookbacks
from alphafoundry.expressions.operators import OPERATORS
from alphafoundry.expressions.parsing import parse
from alphafoundry.expressions.registry import Input, Kind, Operator, Option
from alphafoundry.expressions.tree import Call, Field, Node, Number, Text, walk_once
from alphafoundry.expressions.units import (
    FieldInfo,
    Unit,
    UnitInputs,
    format_unit,
    parse_unit,
)

LONGEST_LOOKBACK = 1_000_000
"""Days; more is refused as a mistake."""


def check(
    expression: Expression | str,
    fields: Mapping[str, FieldInfo],
    *,
    operators: Collection[str] | None = None,
    history: int | None = None,
) -> tuple[str, ...]:
    """Check that an expression can run on these fields, and return its unit warnings.

    Parameters
    ----------
    fields : what is known of every field and group by name
    operators : canonical names that the account may use; None allows all registered
    history : days that the market has; an expression whose lookbacks add up to more is refused.
        None allows any, each up to 1,000,000. (One official page says that a lookback is less
        than 512, official examples use 1000.)

    Warnings have BRAIN's text and do not stop a simulation. Raises ExpressionError with BRAIN's
    text and the place of the offending token where the expression cannot run.
    """
    parsed = parse(expression) if isinstance(expression, str) else expression
    checker = _Checker(parsed.text, fields, operators)
    for statement in parsed.statements:
        checker.check(statement)
    if checker.kinds[id(parsed.root)] is Kind.GROUP:
        checker.refuse("Grouping data used outside of group operator", parsed.root)
    if checker.kinds[id(parsed.root)] is Kind.VECTOR:
        checker.refuse("Got invalid input at index 0, must be an expression", parsed.root)
    if history is not None:
        checker.check_history(parsed.root, history)
    return tuple(dict.fromkeys(checker.warnings))


@dataclass
class _Checker:
    text: str
    fields: Mapping[str, FieldInfo]
    allowed: Collection[str] | None

    def __post_init__(self) -> None:
        self.warnings: list[str] = []
        self.kinds: dict[int, Kind | None] = {}
        self.units: dict[int, Unit | None] = {}

    def refuse(self, message: str, node: Node) -> NoReturn:
        place = node.position
        raise ExpressionError(
            message,
            expression=self.text,
            line=place.line,
            column=place.column,
            end_column=place.end_column,
        ) from None

    def check(self, root: Node) -> None:
        for node in walk_once(root):
            if id(node) in self.kinds:
                continue
            kind, unit = self._call(node) if isinstance(node, Call) else self._leaf(node)
            self.kinds[id(node)] = kind
            self.units[id(node)] = unit

    def check_history(self, root: Node, days: int) -> None:
        """Refuse the innermost operator from which on more than `days` of history are needed."""
        needed = lookbacks(root)
        for node in walk_once(root):
            if needed[id(node)] > days:
                self.refuse("Cumulative lookback of expression exceeds available history", node)

    def _leaf(self, node: Node) -> tuple[Kind | None, Unit | None]:
        match node:
            case Number():
                return Kind.NUMBER, None
            case Field(name):
                info = self.fields.get(name)
                if info is None:
                    hint = _suggestion(name, self.fields)
                    self.refuse(f'Attempted to use unknown variable "{name}"{hint}', node)
                return Kind(info.type.lower()), parse_unit(info.unit)
        return None, None

    def _call(self, node: Call) -> tuple[Kind, Unit | None]:
        operator = OPERATORS.get(node.operator)
        if operator is None or (self.allowed is not None and operator.name not in self.allowed):
            names = OPERATORS if self.allowed is None else self.allowed
            hint = _suggestion(node.operator, names)
            self.refuse(
                f'Attempted to use inaccessible or unknown operator "{node.operator}"{hint}', node
            )
        bound = bind(operator, node)
        if bound.missing is not None:
            attribute = "lookback" if bound.missing.kind is Kind.LOOKBACK else bound.missing.name
            self.refuse(f'Required attribute "{attribute}" must have a value', node)
        if not bound.fits:
            self.refuse(_wrong_count(operator, len(node.arguments)), node)
        count = len(bound.arguments)
        for index, child in enumerate(bound.arguments):
            self._input(operator, operator.input_at(index, count), index, child)
        for name in operator.reads:
            if name not in self.fields:
                self.refuse(f'Attempted to use unknown variable "{name}"', node)
        keywords = self._keywords(operator, bound, node)
        return operator.output, self._unit(operator, bound, keywords)

    def _input(self, operator: Operator, item: Input, index: int, node: Node) -> None:
        kind = self.kinds[id(node)]
        if item.constant:
            self._constant(item, node)
        elif item.kind is Kind.GROUP:
            if kind is not Kind.GROUP:
                self.refuse(f"Got invalid input at index {index}, must be a group", node)
        elif item.kind is Kind.VECTOR:
            if kind is not Kind.VECTOR:
                self.refuse(f"Got invalid input at index {index}, must be an event data", node)
        elif kind is Kind.GROUP:
            self.refuse("Grouping data used outside of group operator", node)
        elif kind is Kind.VECTOR:
            self.refuse(f"Operator {operator.name} does not support event inputs", node)
        elif isinstance(node, Text):
            self.refuse(f"Got invalid input at index {index}, must be an expression", node)

    def _constant(self, item: Input, node: Node) -> None:
        name = "lookback" if item.kind is Kind.LOOKBACK else item.name
        wrong = f'Got invalid value for attribute "{name}", '
        if not isinstance(node, Number) or math.isnan(node.value):
            self.refuse(wrong + "must be constant or string", node)
        if node.value < item.minimum or node.value != math.floor(node.value):
            self.refuse(f"{wrong}must be a whole number of at least {item.minimum:g}", node)
        if node.value > LONGEST_LOOKBACK:
            self.refuse(f"{wrong}must be at most {LONGEST_LOOKBACK}", node)

    def _keywords(self, operator: Operator, bound: Bound, node: Call) -> dict[str, Option]:
        values: dict[str, Option] = {keyword.name: keyword.default for keyword in operator.keywords}
        for name, given in bound.keywords:
            keyword = operator.keyword(name)
            if keyword is None:
                hint = _suggestion(name, values)
                self.refuse(f'Operator {operator.name} has no attribute "{name}"{hint}', given)
            try:
                value = read_keyword(keyword, given)
            except ValueError as reason:
                self.refuse(f'Got invalid value for attribute "{name}", {reason}', given)
            if keyword.days and isinstance(value, float) and value > LONGEST_LOOKBACK:
                most = f"must be at most {LONGEST_LOOKBACK}"
                self.refuse(f'Got invalid value for attribute "{name}", {most}', given)
            values[name] = value
        wrong = operator.check(values) if operator.check else None
        if wrong is not None:
            self.refuse(wrong, node)
        return values

    def _unit(
        self, operator: Operator, bound: Bound, keywords: Mapping[str, Option]
    ) -> Unit | None:
        units = [
            self.units[id(node)] if self.kinds[id(node)] in (Kind.MATRIX, Kind.VECTOR) else None
            for node in bound.arguments
        ]
        constants = [node.value if isinstance(node, Number) else None for node in bound.arguments]
        places: Iterable[int] = range(len(units)) if operator.agree is None else operator.agree
        expected: Unit | None = None
        for index in places:
            found = units[index]
            if expected is None:
                expected = found
            elif found is not None and found != expected:
                self.warnings.append(
                    f'Incompatible unit for input of "{operator.name}" at index {index}, '
                    f'expected "{format_unit(expected)}", found "{format_unit(found)}"'
                )
        return operator.unit(UnitInputs(units, constants, keywords))


def _wrong_count(operator: Operator, given: int) -> str:
    least = len(operator.inputs)
    how = "at least" if operator.many else "exactly"
    return f"Invalid number of inputs : {given}, should be {how} {least} input(s)."


def _suggestion(name: str, known: Iterable[str]) -> str:
    lowered = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower()[:64], lowered, n=1, cutoff=0.6)
    return f"; did you mean '{lowered[close[0]]}'?" if close else ""
