"""From an expression and a panel to a matrix of values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions import buffers
from alphafoundry.expressions.batch import Batch
from alphafoundry.expressions.binding import read_keyword
from alphafoundry.expressions.cache import ValueCache
from alphafoundry.expressions.canonical import CanonicalForm
from alphafoundry.expressions.checking import check
from alphafoundry.expressions.conventions import USUAL, Conventions
from alphafoundry.expressions.expression import Expression
from alphafoundry.expressions.frames import arrays_of
from alphafoundry.expressions.fused import Step, calculate
from alphafoundry.expressions.graph import Graph
from alphafoundry.expressions.inputs import FloatPanel, GroupPanel, Inputs
from alphafoundry.expressions.instructions import NAN_OF_EITHER
from alphafoundry.expressions.operators import OPERATORS
from alphafoundry.expressions.parsing import parse
from alphafoundry.expressions.registry import Input, Kind, Operator
from alphafoundry.expressions.threads import at_most
from alphafoundry.expressions.tree import Call, Field, Node, Number
from alphafoundry.expressions.units import DEFAULT_FIELDS, FieldInfo
from alphafoundry.expressions.vectors import VectorField

Precision: TypeAlias = Literal["float64", "float32"]


class Evaluator:
    """Evaluates expressions on one panel; safe to share among threads.

    Parameters
    ----------
    fields : name to float array of shape (n_days, n_instruments); NaN is missing
    groups : name to integer array of that shape; negative is unknown
    vectors : name to VectorField of that shape
    mask : boolean array of that shape. Where it is False inputs are NaN, operators that read
        across instruments do not see the cell, and the result is NaN (pasteurization)
    nan_handling : True gives 0 where the whole window of a time-series operator is NaN, and
        gives a group's value also to members with NaN
    cache_bytes : bound of the kept sub-expressions, least recently used ones go first
    threads : most threads that one expression uses; None is one per core. Many evaluations side
        by side run best with 1
    precision : "float32" keeps fields, sub-expressions and results in half the memory. Every
        operator still calculates in float64, so a value is off by what rounding its inputs to 24
        bits does: 6e-8 of their size, more where an operator cancels, and values that differ by
        less than that are alike to ranks and comparisons
    conventions : how operators are read whose definition is open

    Values of a day depend on that day and earlier ones only. The arrays are read, not copied
    where they are float64 in C order: do not change them afterwards. Raises ValueError where
    shapes differ or a name is given twice.
    """

    def __init__(
        self,
        fields: Mapping[str, FloatPanel],
        groups: Mapping[str, GroupPanel] | None = None,
        *,
        vectors: Mapping[str, VectorField] | None = None,
        mask: NDArray[np.bool_] | None = None,
        nan_handling: bool = False,
        cache_bytes: int = 256 * 2**20,
        threads: int | None = None,
        precision: Precision = "float64",
        conventions: Conventions = USUAL,
    ) -> None:
        self._kept_as = np.float32 if precision == "float32" else np.float64
        self._inputs = Inputs(fields, groups or {}, vectors or {}, mask, self._kept_as)
        self._cache = ValueCache(cache_bytes)
        self._threads = threads
        self.nan_handling = nan_handling
        self.conventions = conventions

    @property
    def shape(self) -> tuple[int, int]:
        """(n_days, n_instruments)."""
        return self._inputs.shape

    @property
    def infos(self) -> Mapping[str, FieldInfo]:
        """What is known of the fields, groups and vectors, for `check`."""
        return self._inputs.infos

    def evaluate(self, expression: Expression | str) -> FloatPanel:
        """Return the values, a read-only array of shape (n_days, n_instruments).

        Raises ExpressionError where the expression cannot run on these fields.
        """
        form = self._form(expression)
        with at_most(self._threads):
            return self._finish(self._run(form), form)

    def evaluate_many(
        self, expressions: Iterable[Expression | str]
    ) -> Iterator[tuple[int, FloatPanel]]:
        """Yield (place, values) of every expression; places count from 0 in the order given.

        Sub-expressions that several expressions share are calculated once and kept, within
        `cache_bytes`, until the last one that reads them is done; so related expressions come
        one after another, not in the order given. Values are as of `evaluate`. Raises
        ExpressionError before anything is calculated.
        """
        forms = [self._form(expression) for expression in expressions]
        batch = Batch(Graph(forms), self._cache.limit)
        for place in batch.order:
            with at_most(self._threads):
                values = self._compute(batch.graph, batch.graph.roots[place], batch)
                values = self._finish(values, forms[place])
            batch.done()
            yield place, values

    def _form(self, expression: Expression | str) -> CanonicalForm:
        parsed = parse(expression) if isinstance(expression, str) else expression
        check(parsed, self.infos)
        return parsed.canonical_form

    def _finish(self, found: Any, form: CanonicalForm) -> FloatPanel:
        values = self._expand(_unpacked(found))
        if not self._shows_gaps(form.root):
            values = self._inputs.hide(values)
        result: FloatPanel = self._pack(values).view()
        result.flags.writeable = False
        return result

    def _pack(self, value: Any) -> Any:
        """Return the value as it is kept."""
        if isinstance(value, np.ndarray) and value.dtype == np.float64:
            return value.astype(self._kept_as, copy=False)
        return value

    def _run(self, form: CanonicalForm) -> Any:
        graph = Graph([form])
        return self._compute(graph, graph.roots[0], self._cache)

    def _compute(self, graph: Graph, root: str, kept: ValueCache | Batch) -> Any:
        """Compute what is not kept, inputs first; drop values after their last use.

        kept : has values that are there already, and is given those that are calculated
        """
        values: dict[str, Any] = {}
        needed = self._plan(graph, root, values, kept)
        sources = {text: graph.sources(text) for text in needed}
        uses = Counter(source for text in needed for source in sources[text])
        uses[root] += 1
        for text in needed:
            node = graph.node(text)
            if isinstance(node, Call):
                read = {name: _unpacked(values[name]) for name in sources[text]}
                values[text] = self._pack(self._call(graph, text, node, read))
                kept.put(text, values[text])
            else:
                values[text] = self._leaf(node)
            for source in sources[text]:
                uses[source] -= 1
                if uses[source] == 0:
                    del values[source]
        return values[root]

    def _plan(
        self, graph: Graph, root: str, values: dict[str, Any], kept: ValueCache | Batch
    ) -> list[str]:
        """Return what to compute in order; add to values what is kept of the rest."""
        order: dict[str, None] = {}
        stack = [(root, False)]
        while stack:
            text, opened = stack.pop()
            if opened:
                order[text] = None
                continue
            if text in order or text in values:
                continue
            found = kept.get(text)
            if found is not None:
                values[text] = found
                continue
            stack.append((text, True))
            stack.extend((source, False) for source in graph.sources(text))
        return list(order)

    def _leaf(self, node: Node) -> Any:
        match node:
            case Number(value):
                return value
            case Field(name):
                return self._inputs.read(name)
        return None

    def _call(self, graph: Graph, text: str, node: Call, values: Mapping[str, Any]) -> Any:
        operator = OPERATORS[node.operator]
        if operator.elementwise:
            steps = [_step(graph, step) for step in graph.steps(text)]
            return calculate(
                steps, {name: values[name] for name in graph.sources(text)}, self.shape
            )
        inputs = [
            self._input(
                operator, operator.input_at(index, len(node.arguments)), child, values[name]
            )
            for index, (child, name) in enumerate(
                zip(node.arguments, graph.inputs[text], strict=True)
            )
        ]
        inputs.extend(map(self._inputs.read, operator.reads))
        options = _options(operator, node)
        if operator.spreads:
            options["spread"] = self.nan_handling
        with np.errstate(all="ignore"):
            result = operator.kernel_under(self.conventions)(*inputs, **options)
        if self.nan_handling and operator.category == "Time Series" and operator.has_lookback:
            return _zero_where_window_is_missing(operator, inputs, result)
        return result

    def _input(self, operator: Operator, item: Input, node: Node, value: Any) -> Any:
        kind = item.kind
        if kind is Kind.LOOKBACK:
            return min(int(value), self.shape[0] + 1)
        if kind is Kind.NUMBER:
            return value if operator.has_lookback else self._expand(value)
        if kind is not Kind.MATRIX:
            return value
        panel = self._expand(value)
        if operator.reads_across and not self._shows_gaps(node):
            panel = self._inputs.hide(panel)
        return panel

    def _shows_gaps(self, node: Node) -> bool:
        """Whether the node's values are NaN already wherever the mask hides a cell."""
        stack, seen = [node], set()
        while stack:
            node = stack.pop()
            if isinstance(node, Field):
                return True
            if not isinstance(node, Call) or id(node) in seen:
                continue
            seen.add(id(node))
            operator = OPERATORS[node.operator]
            instruction = operator.instruction
            if instruction and instruction.code in NAN_OF_EITHER and not node.keywords:
                stack.extend(node.arguments)
                continue
            zeroed = self.nan_handling and operator.category == "Time Series"
            if zeroed or not operator.keeps_nan:
                continue
            if operator.reads_across:  # and so was given its input with the gaps in it
                return True
            stack.extend(node.arguments[:1])
        return False

    def _expand(self, value: Any) -> FloatPanel:
        if isinstance(value, np.ndarray):
            return value
        panel = buffers.empty(self.shape)
        panel.fill(float(value))
        return panel


def _unpacked(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        return value.astype(np.float64)
    return value


def evaluate(
    expression: Expression | str, data: Any, *, conventions: Conventions = USUAL
) -> FloatPanel:
    """Evaluate one expression on a panel, or on a mapping of name to wide table or array.

    Tables are as `arrays_of` takes them: pandas, polars or arrow, brought into the order of the
    first. In a mapping, integer arrays under a name that is not a known field are groups,
    VectorField are vectors, everything else is a field. conventions : how operators are read
    whose definition is open. Returns a read-only float64 array of shape (n_days, n_instruments).
    Raises ExpressionError, and MarketError where `data` is no such mapping.
    """
    if hasattr(data, "fields") and hasattr(data, "groups"):
        return Evaluator(data.fields, data.groups, conventions=conventions).evaluate(expression)
    fields: dict[str, FloatPanel] = {}
    groups: dict[str, GroupPanel] = {}
    vectors: dict[str, VectorField] = {}
    if isinstance(data, Mapping):
        vectors = {name: value for name, value in data.items() if isinstance(value, VectorField)}
        data = {name: value for name, value in data.items() if name not in vectors}
    for name, array in arrays_of(data).items():
        known = DEFAULT_FIELDS.get(name)
        if array.dtype.kind in "iu" and (known is None or known.type == "GROUP"):
            groups[name] = array
        else:
            fields[name] = array
    return Evaluator(fields, groups, vectors=vectors, conventions=conventions).evaluate(expression)


def _step(graph: Graph, text: str) -> Step:
    node = graph.node(text)
    assert isinstance(node, Call)
    operator = OPERATORS[node.operator]
    return Step(
        text, operator.kernel, graph.inputs[text], _options(operator, node), operator.instruction
    )


def _options(operator: Operator, node: Call) -> dict[str, Any]:
    """Return every keyword's value in declared order."""
    given = dict(node.keywords)
    options: dict[str, Any] = {}
    for keyword in operator.keywords:
        written = given.get(keyword.name)
        value = keyword.default if written is None else read_keyword(keyword, written)
        options[keyword.name] = value
    return options


def _zero_where_window_is_missing(
    operator: Operator, inputs: list[Any], result: FloatPanel
) -> FloatPanel:
    """Put 0 for NaN where all of the first input's window is NaN."""
    kinds = [operator.input_at(index, len(inputs)).kind for index in range(len(inputs))]
    days: int = inputs[kinds.index(Kind.LOOKBACK)]
    data: FloatPanel = inputs[kinds.index(Kind.MATRIX)]
    window = days + 1 if operator.name in ("ts_delay", "ts_delta") else days
    if window > len(data):
        return result
    missing = np.zeros((len(data) + 1, data.shape[1]), np.int32)
    np.cumsum(np.isnan(data), axis=0, out=missing[1:])
    late = result[window - 1 :]
    late[(missing[window:] - missing[:-window] == window) & np.isnan(late)] = 0.0
    return result
