"""Reading the texts that are written most, several times faster than by the grammar.

A text is plain where it is one expression on one line, of calls, names, numbers, texts, parentheses
and signs between them, without anything wrong. `plain_tree` gives the tree that the grammar gives;
where it gives none, the grammar reads the text, or says what is wrong with it.
"""

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple

from alphafoundry.expressions.operators import OPERATORS
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
)

MAX_PLAIN = 1_000
"""Characters of the longest text that is read here."""

DEEPEST = 40
"""Levels of calls, parentheses and signs; what is nested deeper is left to the grammar."""

_TOKEN: Final = re.compile(
    r"(?P<NAME>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<NUMBER>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<SIGN>\|\||&&|==|!=|<=|>=|[-+*/^<>!(),=])"
    r"|(?P<STRING>\"[^\"\n]*\"|'[^'\n]*')"
    r"|(?P<SPACE>[ \t]+)"
)

_INFIX: Final = {
    "||": ("or", 1),
    "&&": ("and", 2),
    "==": ("equal", 3),
    "!=": ("not_equal", 3),
    "<": ("less", 4),
    "<=": ("less_equal", 4),
    ">": ("greater", 4),
    ">=": ("greater_equal", 4),
    "+": ("add", 5),
    "-": ("subtract", 5),
    "*": ("multiply", 6),
    "/": ("divide", 6),
}
"""Operator, and how tightly it binds, by sign."""


class _Token(NamedTuple):
    kind: str
    text: str
    start: int

    @property
    def place(self) -> Position:
        return Position(1, self.start + 1, self.start + 1 + len(self.text))


_END: Final = _Token("END", "", 0)


class _NotPlainError(Exception):
    pass


def plain_tree(text: str) -> Node | None:
    """Return the tree of a plain text, None where the grammar has to read it."""
    if len(text) > MAX_PLAIN or "/*" in text:
        return None
    try:
        return _Reader(text).whole()
    except _NotPlainError:
        return None


class _Reader:
    """Reads one text by recursive descent, as in grammar.lark."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._next = 0
        self._depth = 0

    def whole(self) -> Node:
        """Return the tree of all tokens."""
        tree = self._expression()
        if self._tokens[self._next] is not _END:
            raise _NotPlainError
        return tree

    def _expression(self) -> Node:
        """Read operands with signs between them; what binds tighter first, equals from the left."""
        operands = [self._operand()]
        waiting: list[tuple[str, int, _Token]] = []
        while (infix := self._infix()) is not None:
            while waiting and waiting[-1][1] >= infix[1]:
                _group(operands, waiting)
            waiting.append(infix)
            operands.append(self._operand())
        while waiting:
            _group(operands, waiting)
        return operands[0]

    def _infix(self) -> tuple[str, int, _Token] | None:
        token = self._tokens[self._next]
        if token.kind != "SIGN" or (found := _INFIX.get(token.text)) is None:
            return None
        self._next += 1
        return (*found, token)

    def _operand(self) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise _NotPlainError
        token = self._tokens[self._next]
        if token.kind == "SIGN" and token.text in "-+!":
            self._next += 1
            node = _signed(token, self._operand())
        else:
            node = self._raised()
        self._depth -= 1
        return node

    def _raised(self) -> Node:
        base = self._atom()
        if not self._is_next("^"):
            return base
        caret = self._tokens[self._next]
        self._next += 1
        return _call("power", (base, self._operand()), (), caret.place)

    def _atom(self) -> Node:
        token = self._tokens[self._next]
        self._next += 1
        if token.kind == "NAME":
            return self._called(token) if self._is_next("(") else _named(token)
        if token.kind == "NUMBER":
            value = float(token.text)
            if math.isinf(value):
                raise _NotPlainError
            return Number(value, token.place)
        if token.kind == "STRING":
            return Text(token.text[1:-1], token.place)
        if token.text != "(":
            raise _NotPlainError
        inner = self._expression()
        self._require(")")
        return inner

    def _called(self, name: _Token) -> Node:
        operator = OPERATORS.resolve(name.text)
        self._next += 1
        arguments: list[Node] = []
        keywords: dict[str, Node] = {}
        while not self._is_next(")"):
            if arguments or keywords:
                self._require(",")
            if self._tokens[self._next].kind == "NAME" and self._is_next("=", after=1):
                keyword, value = self._keyword(operator)
                if keyword in keywords:
                    raise _NotPlainError
                keywords[keyword] = value
            elif keywords:
                raise _NotPlainError
            else:
                arguments.append(self._expression())
        self._next += 1
        return _call(operator, tuple(arguments), tuple(keywords.items()), name.place)

    def _keyword(self, operator: str) -> tuple[str, Node]:
        written = self._tokens[self._next].text
        self._next += 2
        value = self._expression()
        known = OPERATORS.get(operator)
        if known is None:
            return written, value
        name = known.spelled(written)
        declared = known.keyword(name)
        if declared and declared.kind is KeywordKind.TEXT and isinstance(value, Field):
            value = Text(value.name, value.position)
        return name, value

    def _is_next(self, sign: str, *, after: int = 0) -> bool:
        token = self._tokens[self._next + after]
        return token.text == sign and token.kind == "SIGN"

    def _require(self, sign: str) -> None:
        if not self._is_next(sign):
            raise _NotPlainError
        self._next += 1


def _tokens(text: str) -> list[_Token]:
    """Return the tokens of a text and two ends, so that one may be looked at beyond the last."""
    found: list[_Token] = []
    match, read = _TOKEN.match, 0
    while read < len(text):
        token = match(text, read)
        if token is None:
            raise _NotPlainError
        if (kind := token.lastgroup) is not None and kind != "SPACE":
            found.append(_Token(kind, token[0], read))
        read = token.end()
    return [*found, _END, _END]


def _group(operands: list[Node], waiting: list[tuple[str, int, _Token]]) -> None:
    operator, _, token = waiting.pop()
    right, left = operands.pop(), operands.pop()
    operands.append(_call(operator, (left, right), (), token.place))


def _signed(sign: _Token, operand: Node) -> Node:
    if sign.text == "+":
        return operand
    if sign.text == "!":
        return _call("not", (operand,), (), sign.place)
    if isinstance(operand, Number):
        end = max(sign.place.end_column, operand.position.end_column)
        return Number(opposite(operand.value), Position(1, sign.start + 1, end))
    return _call("reverse", (operand,), (), sign.place)


def _named(token: _Token) -> Node:
    lowered = token.text.lower()
    if lowered in ("true", "false"):
        return Boolean(lowered == "true", token.place)
    if lowered == "nan":
        return Number(math.nan, token.place)
    return Field(lowered, token.place)


def _call(
    operator: str,
    arguments: tuple[Node, ...],
    keywords: tuple[tuple[str, Node], ...],
    position: Position,
) -> Call:
    call = Call(operator, arguments, keywords, position)
    if call.depth > MAX_DEPTH or call.size > MAX_NODES:
        raise _NotPlainError
    return call
