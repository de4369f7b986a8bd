"""A parsed FASTEXPR text and what can be said of it without data."""

from __future__ import annotations

from functools import cached_property

from alphafoundry.expressions.binding import bind, read_keyword
from alphafoundry.expressions.canonical import CanonicalForm
from alphafoundry.expressions.operators import OPERATORS
from alphafoundry.expressions.registry import Keyword, Kind
from alphafoundry.expressions.tree import Call, Field, Node, Number, children, walk, walk_once


class Expression:
    """A parsed FASTEXPR text; compares and hashes by meaning, pickles as text (see `parsing`).

    Attributes
    ----------
    text : as written
    root : typed tree of the alpha, assigned names replaced by what they stand for
    statements : trees of all statements in order; the last one is `root`
    unused : assigned names that the alpha does without, in the order written
    """

    def __init__(
        self,
        text: str,
        root: Node,
        statements: tuple[Node, ...],
        *,
        unused: tuple[str, ...] = (),
    ) -> None:
        self.text = text
        self.unused = unused
        self.root = root
        self.statements = statements

    @cached_property
    def canonical_form(self) -> CanonicalForm:
        """The canonical tree; it is what is evaluated."""
        return CanonicalForm(self.root)

    @cached_property
    def canonical(self) -> str:
        """One text for all ways of writing the same expression; reads back as itself.

        Ignores white space, comments, aliases, infix or function form, assigned names,
        parameters at their defaults, order of commutative inputs and spelling of numbers.
        """
        return self.canonical_form.text(self.canonical_form.root)

    @cached_property
    def operator_count(self) -> int:
        """Number of operators, each use counted: rank(close) has 1, -close + 1 has 2."""
        return sum(isinstance(node, Call) for node in walk(self.canonical_form.root))

    @cached_property
    def fields(self) -> frozenset[str]:
        """Names of the data fields and groups used, those that operators read by themselves too."""
        written = {node.name for node in self._nodes if isinstance(node, Field)}
        read = {
            name
            for operator in self.operators
            if operator in OPERATORS
            for name in OPERATORS[operator].reads
        }
        return frozenset(written | read)

    @cached_property
    def operators(self) -> frozenset[str]:
        """Canonical names of the operators used."""
        return frozenset(node.operator for node in self._nodes if isinstance(node, Call))

    @cached_property
    def lookback(self) -> int:
        """Days of history that the alpha needs; nested ones add up.

        ts_rank(ts_mean(close, 20), 20) needs 40. Operators that remember without limit, such as
        hump and trade_when, add nothing.
        """
        root = self.canonical_form.root
        return lookbacks(root)[id(root)]

    @property
    def _nodes(self) -> list[Node]:
        return list(walk_once(self.canonical_form.root))

    def __repr__(self) -> str:
        return f"Expression({self.canonical!r})"

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.canonical == other.canonical

    def __hash__(self) -> int:
        return hash(self.canonical)


def lookbacks(root: Node) -> dict[int, int]:
    """Return the days of history that each node needs, by the id of the node; nested ones add up.

    Children come before their parents.
    """
    needed: dict[int, int] = {}
    for node in walk_once(root):
        own = _own_lookback(node) if isinstance(node, Call) else 0
        needed[id(node)] = own + max((needed[id(child)] for child in children(node)), default=0)
    return needed


def _own_lookback(call: Call) -> int:
    operator = OPERATORS.get(call.operator)
    if operator is None:
        return 0
    days = float(operator.extra_days)
    bound = bind(operator, call)
    count = len(bound.arguments)
    for index, node in enumerate(bound.arguments):
        lookback = operator.input_at(index, count).kind is Kind.LOOKBACK
        if lookback and isinstance(node, Number):
            days += node.value
    for name, node in bound.keywords:
        keyword = operator.keyword(name)
        if keyword is not None and keyword.days:
            days += _keyword_days(keyword, node)
    return int(days) if 0 <= days < 1e12 else 0


def _keyword_days(keyword: Keyword, node: Node) -> float:
    """Return how many days a keyword adds, 0 where its value is wrong."""
    try:
        value = read_keyword(keyword, node)
    except ValueError:
        return 0.0
    if isinstance(value, tuple):
        return max(len(value) - 1.0, 0.0)
    return value if isinstance(value, float) else 0.0
