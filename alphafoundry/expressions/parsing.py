"""From FASTEXPR text to an Expression.

Most texts are read by `plain_reading`, all others by the grammar. It is LALR, so time is linear in
the text; depth and size of the tree are bounded while it is built, so no text can exhaust the stack
or memory.
"""

from __future__ import annotations

import copyreg
import math
from dataclasses import replace
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, v_args

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions.expression import Expression
from alphafoundry.expressions.operators import OPERATORS
from alphafoundry.expressions.plain_reading import plain_tree
from alphafoundry.expressions.registry import KeywordKind
from alphafoundry.expressions.tree import (
    MAX_DEPTH,
    MAX_NODES,
    Boolean,
    Call,
    Field,
    Node,
    Number,
    Position,
    Text,
    opposite,
    walk_once,
)

MAX_LENGTH = 100_000
"""Characters of the longest text that is read, and of the longest canonical text."""

MAX_WORD = 1_000
"""Characters of the longest name or string."""

_INFIX = {
    "||": "or",
    "&&": "and",
    "==": "equal",
    "!=": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
    "+": "add",
    "-": "subtract",
    "*": "multiply",
    "/": "divide",
    "^": "power",
}


_TIGHTNESS = {
    "OR": 1,
    "AND": 2,
    "EQUALITY": 3,
    "COMPARISON": 4,
    "PLUS": 5,
    "MINUS": 5,
    "STAR": 6,
    "SLASH": 6,
}
"""How tightly the binary operators of the grammar bind, by token."""

_STATISTIC = "."
"""Stands for `x.pnl` until it is known what x is."""

_TOO_MUCH = "The simulation requires more resources than are available"


MAX_REMEMBERED = 1_000
"""Characters of the longest text whose Expression is remembered, so that memory stays small."""

TEXTS_REMEMBERED = 2_048
"""A search asks again and again for the texts of one run, some hundreds."""


class _RefusedError(Exception):
    def __init__(self, message: str, position: Position) -> None:
        self.message = message
        self.position = position
        super().__init__(message)


def parse(text: str) -> Expression:
    """Read a FASTEXPR text.

    Operators and fields need not exist: `check` says whether they do. Raises ExpressionError
    with the place of the offending token, and nothing else, for any text that is not FASTEXPR.

    Names may be written in any case; the tree has them in lower case.

    An Expression cannot change, so a text that was read lately gives the same one again.
    """
    return _remembered(text) if len(text) <= MAX_REMEMBERED else _read(text)


def _read(text: str) -> Expression:
    try:
        tree = plain_tree(text)
        expression = Expression(text, tree, (tree,)) if tree is not None else _by_grammar(text)
        if len(expression.canonical) > MAX_LENGTH:
            raise _RefusedError(_TOO_MUCH, expression.root.position)
        return expression
    except _RefusedError as refusal:
        place = refusal.position
        raise ExpressionError(
            refusal.message,
            expression=text,
            line=place.line,
            column=place.column,
            end_column=place.end_column,
        ) from None


def _by_grammar(text: str) -> Expression:
    """Read any text, as the grammar says."""
    statements = _statements(text)
    return Expression(text, *_inline(statements, pointed="." in text), unused=_unused(statements))


@lru_cache(maxsize=TEXTS_REMEMBERED)
def _remembered(text: str) -> Expression:
    return _read(text)


def _pickled(expression: Expression) -> tuple[object, tuple[str]]:
    return parse, (expression.text,)


# Not a method of Expression, which would have to know the parser that makes it.
copyreg.pickle(Expression, _pickled)  # type: ignore[arg-type]


def _statements(text: str) -> list[tuple[Token | None, Node]]:
    if len(text) > MAX_LENGTH:
        raise _RefusedError(
            f"Expression is too long: {len(text)} characters, at most {MAX_LENGTH} are read",
            _position_of(text, MAX_LENGTH),
        )
    try:
        found: list[tuple[Token | None, Node]] = _grammar().parse(text)  # type: ignore[assignment]
    except UnexpectedCharacters as error:
        raise _RefusedError(_unreadable(text, error.pos_in_stream or 0), _at(error)) from None
    except UnexpectedInput as error:
        token = getattr(error, "token", None)
        if token is None or token.type == "$END":
            raise _RefusedError("Unexpected end of input", _position_of(text, len(text))) from None
        raise _RefusedError(f'Unexpected "{token}"', _place(token)) from None
    if not found or found[-1][0] is not None:
        raise _RefusedError("Expression cannot be empty", _position_of(text, len(text)))
    return found


def _unreadable(text: str, offset: int) -> str:
    if text.startswith("/*", offset):
        return "Comment is not closed"
    character = text[offset]
    if character in "\"'":
        return "String is not closed"
    return f"Unexpected character {character!a}"


def _at(error: UnexpectedCharacters) -> Position:
    return Position(error.line, error.column, error.column + 1)


def _position_of(text: str, offset: int) -> Position:
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    return Position(line, column, column + 1)


def _word(token: Token) -> str:
    if len(token) > MAX_WORD:
        raise _RefusedError(f"Word is longer than {MAX_WORD} characters", _place(token))
    return str(token)


def _place(token: Token) -> Position:
    line, column = token.line or 1, token.column or 1
    return Position(line, column, token.end_column or column + 1)


def _inline(
    statements: list[tuple[Token | None, Node]], *, pointed: bool
) -> tuple[Node, tuple[Node, ...]]:
    """Return the alpha and all statements, with assigned names replaced by what they stand for.

    pointed : there may be statistics such as `stats.pnl`, to be put in their final form
    """
    assigned: dict[str, Node] = {}
    inlined: list[Node] = []
    for name, written in statements:
        node = _substitute(written, assigned) if assigned or pointed else written
        inlined.append(node)
        if name is None:
            continue
        lowered = name.lower()
        if lowered in ("true", "false", "nan"):
            raise _RefusedError(f'"{name}" cannot be assigned', _place(name))
        if lowered in assigned:
            raise _RefusedError(
                f'Re-assignment of variable "{name}" is not permitted', _place(name)
            )
        assigned[lowered] = node
    return inlined[-1], tuple(inlined)


def _unused(statements: list[tuple[Token | None, Node]]) -> tuple[str, ...]:
    """Return the assigned names that the alpha does without, in the order written."""
    needed: set[str] = set()
    unused: list[str] = []
    for name, written in reversed(statements):
        if name is None or name.lower() in needed or written is statements[-1][1]:
            needed.update(node.name for node in walk_once(written) if isinstance(node, Field))
        else:
            unused.append(str(name))
    return tuple(reversed(unused))


def _substitute(root: Node, assigned: dict[str, Node]) -> Node:
    made: dict[int, Node] = {}
    for node in walk_once(root):
        if isinstance(node, Field):
            made[id(node)] = assigned.get(node.name, node)
        elif isinstance(node, Call):
            arguments = tuple(made[id(child)] for child in node.arguments)
            keywords = tuple((name, made[id(child)]) for name, child in node.keywords)
            made[id(node)] = (
                _statistic(arguments[0], keywords, node.position)
                if node.operator == _STATISTIC
                else _call(node.operator, arguments, keywords, node.position)
            )
        else:
            made[id(node)] = node
    return made[id(root)]


def _statistic(source: Node, chosen: tuple[tuple[str, Node], ...], position: Position) -> Call:
    """Return `generate_stats(alpha, statistic="pnl")` for `generate_stats(alpha).pnl`."""
    if not (
        isinstance(source, Call) and source.operator == "generate_stats" and not source.keywords
    ):
        raise _RefusedError(
            'Only the result of generate_stats(alpha) has statistics such as ".pnl"', position
        )
    return _call(source.operator, source.arguments, chosen, position)


def _call(
    operator: str,
    arguments: tuple[Node, ...],
    keywords: tuple[tuple[str, Node], ...],
    position: Position,
) -> Call:
    call = Call(operator, arguments, keywords, position)
    if call.depth > MAX_DEPTH:
        raise _RefusedError(f"Expression is nested more than {MAX_DEPTH} levels deep", position)
    if call.size > MAX_NODES:
        raise _RefusedError(_TOO_MUCH, position)
    return call


@v_args(inline=True)
class _Builder(Transformer[Token, Any]):
    """Builds nodes while the parser reduces; keeps no state, so parsers may be shared."""

    def start(self, *statements: tuple[Token | None, Node] | None) -> list[Any]:
        return [statement for statement in statements if statement is not None]

    def assignment(self, name: Token, value: Node) -> tuple[Token, Node]:
        return name, value

    def result(self, value: Node) -> tuple[None, Node]:
        return None, value

    def conditional(self, condition: Node, mark: Token, yes: Node, no: Node) -> Node:
        return _call("if_else", (condition, yes, no), (), _place(mark))

    def chain(self, first: Node, *rest: Any) -> Node:
        """Group `a + b * c < d`: what binds tighter first, and equals from the left."""
        operands: list[Node] = [first]
        waiting: list[Token] = []

        def group() -> None:
            token, right, left = waiting.pop(), operands.pop(), operands.pop()
            operands.append(_call(_INFIX[str(token)], (left, right), (), _place(token)))

        for token, operand in zip(rest[::2], rest[1::2], strict=True):
            while waiting and _TIGHTNESS[waiting[-1].type] >= _TIGHTNESS[token.type]:
                group()
            waiting.append(token)
            operands.append(operand)
        while waiting:
            group()
        return operands[0]

    def raised(self, base: Node, caret: Token, exponent: Node) -> Node:
        return _call("power", (base, exponent), (), _place(caret))

    def signed(self, sign: Token, operand: Node) -> Node:
        if sign == "+":
            return operand
        if sign == "!":
            return _call("not", (operand,), (), _place(sign))
        if isinstance(operand, Number):
            place = _place(sign)
            position = replace(place, end_column=max(place.end_column, operand.position.end_column))
            return Number(opposite(operand.value), position)
        return _call("reverse", (operand,), (), _place(sign))

    def name(self, token: Token) -> Node:
        lowered = token.lower()
        if lowered in ("true", "false"):
            return Boolean(lowered == "true", _place(token))
        if lowered == "nan":
            return Number(math.nan, _place(token))
        return Field(_word(token).lower(), _place(token))

    def number(self, token: Token) -> Node:
        value = float(token)
        if math.isinf(value):
            raise _RefusedError(f"Number {token:.40} is too large", _place(token))
        return Number(value, _place(token))

    def text(self, token: Token) -> Node:
        return Text(_word(token)[1:-1], _place(token))

    def statistic(self, source: Node, name: Token) -> Node:
        chosen = Text(_word(name), _place(name))
        return _call(_STATISTIC, (source,), (("statistic", chosen),), _place(name))

    def argument(self, name: Token | None, value: Node) -> tuple[Token | None, Node]:
        return name, value

    def call(self, name: Token, *given: tuple[Token | None, Node] | None) -> Node:
        operator = OPERATORS.resolve(_word(name))
        known = OPERATORS.get(operator)
        arguments: list[Node] = []
        keywords: dict[str, Node] = {}
        for item in given:
            if item is None:
                continue
            keyword, value = item
            if keyword is None:
                if keywords:
                    raise _RefusedError(
                        "Inputs given by place stand before those given by name",
                        getattr(value, "position", _place(name)),
                    )
                arguments.append(value)
                continue
            spelled = known.spelled(_word(keyword)) if known else _word(keyword)
            if spelled in keywords:
                raise _RefusedError(f'Attribute "{keyword}" is given twice', _place(keyword))
            declared = known.keyword(spelled) if known else None
            if declared and declared.kind is KeywordKind.TEXT and isinstance(value, Field):
                value = Text(value.name, value.position)
            keywords[spelled] = value
        return _call(operator, tuple(arguments), tuple(keywords.items()), _place(name))


@cache
def _grammar() -> Lark:
    source = resources.files(__package__).joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(source, parser="lalr", lexer="contextual", transformer=_Builder())
