"""Check generated code before it is run: what it may name, and that it has the right signature.

This is the first wall and the one that explains itself, line by line. It is not the one that
holds: code that finds a way past it meets the process of `sandbox`.
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from typing import Final

from alphafoundry.algorithms.contract import (
    ARGUMENTS,
    Refusal,
    RefusedCode,
    Signature,
    Validated,
)
from alphafoundry.algorithms.contract_surface import (
    BUILTINS,
    GIVEN,
    HIDDEN_NAMES,
    MODULES,
    hidden,
    is_dunder,
)
from alphafoundry.algorithms.contract_syntax import compile_check, parse

MOST_BYTES: Final = 64 * 1024
MOST_NODES: Final = 20_000
FUNCTION: Final = "execute_trade"

_METHODS: Final = frozenset(
    {
        "__init__",
        "__post_init__",
        "__call__",
        "__repr__",
        "__str__",
        "__len__",
        "__getitem__",
        "__setitem__",
        "__contains__",
        "__iter__",
        "__next__",
        "__eq__",
        "__lt__",
        "__le__",
        "__gt__",
        "__ge__",
        "__hash__",
        "__bool__",
        "__ne__",
        "__add__",
        "__radd__",
        "__sub__",
        "__rsub__",
        "__mul__",
        "__rmul__",
        "__truediv__",
        "__neg__",
        "__abs__",
        "__float__",
        "__int__",
    }
)
_SIDE: Final = re.compile(r"\s*(?:buy|sell)\b", re.IGNORECASE)
_PRIVATE_OF_TUPLES: Final = frozenset({"_asdict", "_replace", "_fields", "_make"})
_CLOCK: Final = frozenset({"now", "today", "utcnow"})
_REASONS: Final = {
    "open": "files cannot be opened",
    "eval": "code cannot be made from text",
    "exec": "code cannot be made from text",
    "compile": "code cannot be made from text",
    "globals": "globals() is not available; use a module-level variable",
    "locals": "locals() is not available",
    "vars": "vars() is not available",
    "input": "there is nobody to ask",
    "type": "type() is not available; use isinstance",
    "delattr": "delattr() is not available",
    "exit": "an algorithm cannot end its process",
    "quit": "an algorithm cannot end its process",
    "breakpoint": "there is no debugger",
}


def validate(source: str) -> Validated:
    """Return the source with its signature; raises `RefusedCode` with every refusal by line.

    Refused are a wrong or missing execute_trade, one that cannot trade, imports outside
    `contract_surface.MODULES`, names outside `contract_surface.BUILTINS`, dunder names, attributes
    that lead to files, processes, frames or dynamic code, formats that read attributes, random
    numbers, the clock, coroutines, names that nothing defines, and more than 64 KiB or 20,000
    syntax nodes.
    """
    tree = _parse(source)
    if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
        raise RefusedCode([Refusal(0, f"more than {MOST_NODES} syntax nodes")])
    refusals = set(_Check(tree).refusals())
    signature: Signature = "simple"
    try:
        signature = _signature(tree)
    except RefusedCode as error:
        refusals.update(error.refusals)
    if refusals:
        raise RefusedCode(sorted(refusals))
    return Validated(source, signature)


def argument_order(algorithm: Validated) -> tuple[int, ...]:
    """Return which argument of the contract stands at each position of execute_trade.

    Where the names are those of the contract in another order, each is passed by its name;
    names of the model's own choice stand for the contract's by their position.
    """
    known = ARGUMENTS[algorithm.signature]
    functions = (n for n in parse(algorithm.source).body if isinstance(n, ast.FunctionDef))
    names = [_positional(each) for each in functions if each.name == FUNCTION][-1][: len(known)]
    if set(names) == set(known):
        return tuple(known.index(name) for name in names)
    return tuple(range(len(known)))


def _positional(function: ast.FunctionDef) -> list[str]:
    return [each.arg for each in (*function.args.posonlyargs, *function.args.args)]


def _parse(source: str) -> ast.Module:
    if len(source.encode("utf-8", "replace")) > MOST_BYTES:
        raise RefusedCode([Refusal(0, f"more than {MOST_BYTES // 1024} KiB of code")])
    try:
        tree = parse(source)
        compile_check(source)
    except SyntaxError as error:
        raise RefusedCode([Refusal(error.lineno or 0, f"syntax: {error.msg}")]) from None
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        reason = str(error) or type(error).__name__
        raise RefusedCode([Refusal(0, f"cannot be parsed: {reason}")]) from None
    return tree


def _signature(tree: ast.Module) -> Signature:
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == FUNCTION]
    if not found:
        nested = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        inside = any(n.name == FUNCTION for n in nested)
        reason = "execute_trade is not at the top level" if inside else "execute_trade is missing"
        raise RefusedCode([Refusal(0, reason)])
    function = found[-1]
    if len(found) > 1:
        raise RefusedCode([Refusal(function.lineno, "execute_trade is defined twice")])
    if _is_empty(function):
        raise RefusedCode([Refusal(function.lineno, "execute_trade is empty")])
    documentation = set(_documentation(tree))
    texts = (
        n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and n not in documentation
    )
    members = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    answers = members & {"BUY", "SELL", "Buy", "Sell"}
    if not answers and not any(isinstance(text, str) and _SIDE.match(text) for text in texts):
        raise RefusedCode([Refusal(function.lineno, "never answers BUY or SELL")])
    own = list(_own_nodes(function))
    if any(isinstance(n, ast.Yield | ast.YieldFrom) for n in own):
        raise RefusedCode([Refusal(function.lineno, "execute_trade yields; let it return")])
    if not any(isinstance(n, ast.Return) and n.value is not None for n in own):
        raise RefusedCode([Refusal(function.lineno, "execute_trade never returns an order")])
    arguments = function.args
    names = _positional(function)
    required = len(names) - len(arguments.defaults)
    strict = [d for d in arguments.kw_defaults if d is None]
    if strict:
        names, required = [], -1
    forms: dict[Signature, int] = {"simple": 3, "full": 5}
    for form, count in forms.items():
        named = required < count and tuple(names[:count]) == ARGUMENTS[form]
        if required == count or named or (required < count and len(names) == count):
            _check_names(function, names[:count], ARGUMENTS[form])
            return form
    raise RefusedCode(
        [
            Refusal(
                function.lineno,
                "execute_trade takes (ticker, cash_balance, shares_held) or "
                "(ticker, price, tick, cash_balance, shares_held)",
            )
        ]
    )


def _own_nodes(function: ast.FunctionDef) -> Iterator[ast.AST]:
    """Yield the nodes of a function, without those of functions and classes inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def _check_names(function: ast.FunctionDef, names: list[str], known: tuple[str, ...]) -> None:
    """Refuse a name of the contract at another one's place, unless all of them are there."""
    if set(names) == set(known):
        return
    every = ARGUMENTS["full"]
    for name, own in zip(names, known, strict=True):
        if name in every and name != own:
            reason = (
                f"the argument {name!r} stands where {own!r} is passed; "
                f"write execute_trade({', '.join(known)})"
            )
            raise RefusedCode([Refusal(function.lineno, reason)])


def _is_empty(function: ast.FunctionDef) -> bool:
    for statement in function.body:
        if isinstance(statement, ast.Pass):
            continue
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        return (
            isinstance(statement, ast.Return)
            and (statement.value is None or isinstance(statement.value, ast.Constant))
            and statement is function.body[-1]
        )
    return True


class _Check:
    """All refusals of a tree, node by node."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.documentation = set(_documentation(tree))
        self.private = _own_attributes(tree)
        self.bound = _bound_names(tree)
        self.known = self.bound | _other_bound_names(tree) | BUILTINS | frozenset(GIVEN)
        self.unread = set(_names_never_read(tree))
        self.format_calls = {
            id(node.func)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and _constant_format(node.func) is not None
        }
        self.attribute_calls = {
            id(node.func)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("getattr", "hasattr", "setattr")
            and _constant_attribute(node) is not None
        }

    def refusals(self) -> Iterator[Refusal]:
        for node in ast.walk(self.tree):
            line = getattr(node, "lineno", 0)
            for reason in self._reasons(node):
                yield Refusal(line, reason)

    def _reasons(self, node: ast.AST) -> Iterator[str]:  # noqa: PLR0912 - one case per node
        match node:
            case ast.Import(names=names):
                for alias in names:
                    yield from self._import(alias.name)
                    yield from self._dunder(alias.asname or "")
            case ast.ImportFrom(module=module, names=names, level=level):
                yield from self._import_from(module or "", names, level)
            case ast.Name(id=name):
                yield from self._name(node)
            case ast.Attribute(attr=name):
                yield from self._attribute(node)
            case ast.Constant(value=str() as text) if node not in self.documentation:
                yield from self._text(text)
            case ast.Constant(value=bytes() as text) if b"__" in text:
                yield "a text with a dunder name"
            case ast.FunctionDef(name=name):
                if name not in _METHODS:
                    yield from self._dunder(name)
            case ast.ClassDef(name=name, keywords=keywords):
                yield from self._dunder(name)
                if keywords:
                    yield "a metaclass or class keyword"
            case ast.arg(arg=name) | ast.keyword(arg=str() as name):
                yield from self._dunder(name)
            case ast.Global(names=listed) | ast.Nonlocal(names=listed):
                for name in listed:
                    yield from self._dunder(name)
            case ast.MatchClass(kwd_attrs=listed):
                for name in listed:
                    if hidden(name):
                        yield f"attribute {name!r}"
            case ast.ExceptHandler(name=str() as name):
                yield from self._dunder(name)
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                yield "coroutines are not available"
            case ast.Call():
                yield from self._call(node)
            case _:
                pass

    @staticmethod
    def _dunder(name: str) -> Iterator[str]:
        if is_dunder(name):
            yield f"dunder name {name!r}"

    @staticmethod
    def _import(name: str) -> Iterator[str]:
        if name not in MODULES:
            yield f"import of {name!r}; choose from {_listed()}"

    def _import_from(self, module: str, names: list[ast.alias], level: int) -> Iterator[str]:
        if level:
            yield "relative import"
            return
        if module not in MODULES:
            yield from self._import(module)
            return
        shown = MODULES[module]
        for alias in names:
            whole = f"{module}.{alias.name}"
            if alias.name == "*":
                yield f"import of everything from {module!r}; name what is used"
            elif hidden(alias.name) or alias.name.startswith("_"):
                yield f"import of {whole!r}"
            elif shown is not None and alias.name not in shown and whole not in MODULES:
                yield f"import of {whole!r}; {module} has {', '.join(sorted(shown))}"
            yield from self._dunder(alias.asname or "")

    def _name(self, node: ast.Name) -> Iterator[str]:
        name = node.id
        if is_dunder(name):
            if name != "__slots__" or not isinstance(node.ctx, ast.Store):
                yield f"dunder name {name!r}"
        elif not isinstance(node.ctx, ast.Load) or name in self.bound:
            return
        elif name in _REASONS:
            yield _REASONS[name]
        elif name in _ALL_BUILTINS and name not in BUILTINS:
            yield f"{name!r} is not available"
        elif name in ("getattr", "hasattr", "setattr"):
            if id(node) not in self.attribute_calls:
                yield f"{name} needs the attribute's name as a plain text"
        elif name not in self.known and id(node) not in self.unread:
            yield f"{name!r} is not defined"

    def _attribute(self, node: ast.Attribute) -> Iterator[str]:
        name = node.attr
        if name == "random":
            yield "random numbers; a run must repeat exactly"
        elif name in _CLOCK and name not in self.private:
            yield f"the clock ({name!r}); a run must repeat exactly"
        elif name == "format" and id(node) not in self.format_calls:
            yield "format of a text that is not written out; use an f-string"
        elif hidden(name):
            yield f"attribute {name!r}"
        elif name.startswith("_") and name not in self.private and name not in _PRIVATE_OF_TUPLES:
            yield f"private attribute {name!r}"

    @staticmethod
    def _text(text: str) -> Iterator[str]:
        words = text.replace(".", " ").split()
        if any(is_dunder(word) and len(word) > 4 for word in words):
            yield "a text with a dunder name"
        elif text in HIDDEN_NAMES and text.startswith(("to_", "gi_", "tb_", "f_")):
            yield f"a text that names the attribute {text!r}"

    @staticmethod
    def _call(node: ast.Call) -> Iterator[str]:
        template = _constant_format(node.func)
        if template is not None and _reads_attributes(template):
            yield "a format that reads attributes"
        attribute = _constant_attribute(node)
        if attribute is not None and (hidden(attribute) or attribute.startswith("_")):
            yield f"attribute {attribute!r}"


_ALL_BUILTINS: Final = frozenset(dir(__import__("builtins"))) | {"exit", "quit", "copyright"}


def _listed() -> str:
    return ", ".join(name for name in MODULES if "." not in name and name != "__future__")


def _documentation(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def _own_attributes(tree: ast.Module) -> set[str]:
    own = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own.add(node.attr)
        elif isinstance(node, ast.ClassDef):
            own.update(n.name for n in node.body if isinstance(n, ast.FunctionDef))
            for statement in node.body:
                targets = statement.targets if isinstance(statement, ast.Assign) else []
                if isinstance(statement, ast.AnnAssign):
                    targets = [statement.target]
                own.update(t.id for t in targets if isinstance(t, ast.Name))
    return own


def _bound_names(tree: ast.Module) -> set[str]:
    bound: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                bound.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                bound.add(name)
            case _:
                pass
    return bound - {"getattr", "setattr", "hasattr"}


def _other_bound_names(tree: ast.Module) -> set[str]:
    """Return the names that imports, handlers and patterns bind."""
    bound: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                bound.update((alias.asname or alias.name).partition(".")[0] for alias in names)
            case (
                ast.ExceptHandler(name=str() as name)
                | ast.MatchAs(name=str() as name)
                | ast.MatchStar(name=str() as name)
                | ast.MatchMapping(rest=str() as name)
            ):
                bound.add(name)
            case _:
                pass
    return bound


def _names_never_read(tree: ast.Module) -> Iterator[int]:
    """Yield the ids of the names in annotations that Python does not evaluate."""
    future = any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree.body)
    for node in ast.walk(tree) if future else ():
        for field in ("annotation", "returns"):
            annotation = getattr(node, field, None)
            if isinstance(annotation, ast.AST):
                yield from (id(n) for n in ast.walk(annotation))


def _constant_format(function: ast.expr) -> str | None:
    match function:
        case ast.Attribute(value=ast.Constant(value=str() as text), attr="format"):
            return text
    return None


def _reads_attributes(template: str) -> bool:
    try:
        fields = list(string.Formatter().parse(template))
    except ValueError:
        return True
    for _, field, specification, _ in fields:
        if field is not None and ("." in field or "[" in field):
            return True
        if specification and _reads_attributes(specification):
            return True
    return False


def _constant_attribute(call: ast.Call) -> str | None:
    match call:
        case ast.Call(
            func=ast.Name(id="getattr" | "hasattr" | "setattr"),
            args=[_, ast.Constant(value=str() as name), *_],
        ):
            return name
    return None
