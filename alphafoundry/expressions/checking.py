"""Whether an expression can run: names, counts and kinds of inputs, and units."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NoReturn

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

Scope = Literal["REGULAR", "COMBO", "SELECTION"]
"""What is written: a regular alpha, or one of the two texts of a SUPER alpha."""

_ACROSS = ("Cross Sectional", "Group")

_NO_VALUE = {
    Kind.GROUP: "Grouping data used outside of group operator",
    Kind.VECTOR: "Got invalid input at index 0, must be an expression",
    Kind.TEXT: "Got invalid input at index 0, must be an expression",
    Kind.COLLECTION: "A collection is no value; ask for what it holds with in(collection, value)",
    Kind.ALPHAS: "alpha is no value; ask for its statistics with generate_stats(alpha)",
    Kind.STATISTICS: "Statistics are no value; choose one, such as generate_stats(alpha).returns",
    Kind.PAIRS: "There is a value per pair of alphas; make one per alpha with a reduce operator",
}
"""What is wrong where something stands that is no number per cell."""

COMPARES_LEVELS = (
    "Compares price or volume levels between names, which are adjusted for what came later; "
    "divide by an earlier value of the same name instead"
)

_MUST_BE = {
    Kind.TEXT: "a text",
    Kind.COLLECTION: "a collection of texts, such as tags",
    Kind.ALPHAS: "alpha",
}


def check(
    expression: Expression | str,
    fields: Mapping[str, FieldInfo],
    *,
    operators: Collection[str] | None = None,
    scope: Scope = "REGULAR",
    history: int | None = None,
    levels: bool = False,
) -> tuple[str, ...]:
    """Check that an expression can run on these fields, and return its unit warnings.

    Parameters
    ----------
    fields : what is known of every field and group by name
    operators : canonical names that the account may use; None allows all registered
    scope : operators that belong elsewhere are refused
    history : days that the market has; an expression whose lookbacks add up to more is refused.
        None allows any, each up to 1,000,000. (One official page says that a lookback is less
        than 512, official examples use 1000.)

    levels : warn also of an alpha that compares levels of price or volume between names. Prices
        are adjusted for splits and dividends that came later, so their levels know the future:
        what is cheap today was often split afterwards. No rule of BRAIN's

    Warnings have BRAIN's text and do not stop a simulation. Raises ExpressionError with BRAIN's
    text and the place of the offending token where the expression cannot run.
    """
    parsed = parse(expression) if isinstance(expression, str) else expression
    checker = _Checker(parsed.text, fields, operators, scope)
    for statement in parsed.statements:
        checker.check(statement)
    ends_in = checker.kinds[id(parsed.root)]
    if isinstance(parsed.root, Text):
        ends_in = Kind.TEXT
    if ends_in in _NO_VALUE:
        checker.refuse(_NO_VALUE[ends_in], parsed.root)
    if history is not None:
        checker.check_history(parsed.root, history)
    if levels and checker.compares_levels(parsed.root):
        checker.warnings.append(COMPARES_LEVELS)
    return tuple(dict.fromkeys(checker.warnings))


@dataclass
class _Checker:
    text: str
    fields: Mapping[str, FieldInfo]
    allowed: Collection[str] | None
    scope: Scope

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

    def compares_levels(self, root: Node) -> bool:
        """Return whether a level reaches the alpha's value or an operator across names."""
        if self._is_level(root):
            return True
        for node in walk_once(root):
            if isinstance(node, Call) and OPERATORS[node.operator].category in _ACROSS:
                bound = bind(OPERATORS[node.operator], node)
                if any(self._is_level(child) for child in bound.arguments):
                    return True
        return False

    def _is_level(self, node: Node) -> bool:
        """Return whether a value is one that a later split would have scaled.

        Dollar volume is none: what a split does to the price it undoes in the shares. A function
        of a single level, such as its logarithm, orders names as the level does.
        """
        if self.kinds.get(id(node)) is not Kind.MATRIX:
            return False
        powers = dict(self.units.get(id(node)) or ())
        if powers.get("CSPrice", 0.0) != powers.get("CSShare", 0.0):
            return True
        if not isinstance(node, Call) or not OPERATORS[node.operator].elementwise:
            return False
        inputs = [
            child
            for child in bind(OPERATORS[node.operator], node).arguments
            if self.kinds.get(id(child)) is Kind.MATRIX
        ]
        return len(inputs) == 1 and self._is_level(inputs[0])

    def _leaf(self, node: Node) -> tuple[Kind | None, Unit | None]:
        match node:
            case Number():
                return Kind.NUMBER, None
            case Text() if self.scope == "SELECTION":
                return Kind.TEXT, None
            case Field(name):
                info = self.fields.get(name) or self._other_case(name)
                if info is None:
                    hint = _suggestion(name, self.fields)
                    self.refuse(f'Attempted to use unknown variable "{name}"{hint}', node)
                return Kind(info.type.lower()), parse_unit(info.unit)
        return None, None

    def _other_case(self, name: str) -> FieldInfo | None:
        """Return the field whose name in lower case this is."""
        return next((info for key, info in self.fields.items() if key.lower() == name), None)

    def _call(self, node: Call) -> tuple[Kind, Unit | None]:
        operator = OPERATORS.get(node.operator)
        if operator is None or not self._may_use(operator):
            hint = self._operator_hint(node.operator, operator)
            self.refuse(
                f'Attempted to use inaccessible or unknown operator "{node.operator}"{hint}', node
            )
        bound = bind(operator, node)
        if bound.missing is not None:
            attribute = "lookback" if bound.missing.kind is Kind.LOOKBACK else bound.missing.name
            self.refuse(f'Required attribute "{attribute}" must have a value', node)
        if not bound.fits:
            self.refuse(_wrong_count(operator, len(node.arguments)), node)
        texts = operator.compares_texts and any(
            self.kinds[id(child)] is Kind.TEXT for child in bound.arguments
        )
        count = len(bound.arguments)
        for index, child in enumerate(bound.arguments):
            item = operator.input_at(index, count)
            self._input(operator, replace(item, kind=Kind.TEXT) if texts else item, index, child)
        for name in operator.reads:
            if name not in self.fields:
                self.refuse(f'Attempted to use unknown variable "{name}"', node)
        keywords = self._keywords(operator, bound, node)
        return self._output(operator, bound, keywords), self._unit(operator, bound, keywords)

    def _operator_hint(self, name: str, elsewhere: Operator | None) -> str:
        if elsewhere is not None and self.scope not in elsewhere.scope:
            places = {"REGULAR": "regular alphas", "COMBO": "a combo", "SELECTION": "a selection"}
            return f"; it is for {' or '.join(places[scope] for scope in elsewhere.scope)}"
        usable = [known.name for known in OPERATORS.values() if self._may_use(known)]
        return _suggestion(name, usable)

    def _may_use(self, operator: Operator) -> bool:
        return self.scope in operator.scope and (
            self.allowed is None or operator.name in self.allowed
        )

    def _output(self, operator: Operator, bound: Bound, keywords: Mapping[str, Option]) -> Kind:
        if operator.output is Kind.STATISTICS and keywords["statistic"] is not None:
            return Kind.MATRIX
        if operator.elementwise:
            given = [(node, self.kinds[id(node)]) for node in bound.arguments]
            if any(kind is Kind.PAIRS for _, kind in given):
                for index, (node, kind) in enumerate(given):
                    if kind is Kind.MATRIX:
                        self.refuse(
                            f"Got invalid input at index {index}, must have a value per pair of "
                            "alphas as the other input has",
                            node,
                        )
                return Kind.PAIRS
        return operator.output

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
        elif item.kind in _MUST_BE:
            if kind is not item.kind:
                wanted = _MUST_BE[item.kind]
                self.refuse(f"Got invalid input at index {index}, must be {wanted}", node)
        elif kind is Kind.GROUP:
            self.refuse("Grouping data used outside of group operator", node)
        elif kind is Kind.VECTOR:
            self.refuse(f"Operator {operator.name} does not support event inputs", node)
        elif isinstance(node, Text) or kind is Kind.TEXT:
            self.refuse(f"Got invalid input at index {index}, must be an expression", node)
        elif kind in _NO_VALUE and not (kind is Kind.PAIRS and _takes_pairs(operator)):
            self.refuse(_NO_VALUE[kind], node)

    def _constant(self, item: Input, node: Node) -> None:
        name = "lookback" if item.kind is Kind.LOOKBACK else item.name
        wrong = f'Got invalid value for attribute "{name}", '
        if not isinstance(node, Number) or math.isnan(node.value):
            self.refuse(wrong + "must be constant or string", node)
        if not item.whole:
            return
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


def _takes_pairs(operator: Operator) -> bool:
    return operator.elementwise or operator.category == "Reduce"


def _wrong_count(operator: Operator, given: int) -> str:
    least = len(operator.inputs)
    how = "at least" if operator.many else "exactly"
    return f"Invalid number of inputs : {given}, should be {how} {least} input(s)."


def _suggestion(name: str, known: Iterable[str]) -> str:
    lowered = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower()[:64], lowered, n=1, cutoff=0.6)
    return f"; did you mean '{lowered[close[0]]}'?" if close else ""
