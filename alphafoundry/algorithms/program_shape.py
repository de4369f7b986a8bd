"""Bring a program whose meaning is plain into the shape of the contract.

Dropped is what nothing needs: unused imports of what an algorithm cannot have, warnings and
logging, numba's decorators, examples of use. A class with an execute_trade, a coroutine that
awaits nothing but itself, a lambda, another name for a function and arguments by keyword become a
function execute_trade. Everything else stays as it is, line by line, and is left for the check to
judge.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Final

from alphafoundry.algorithms.contract import ARGUMENTS
from alphafoundry.algorithms.contract_surface import MODULES, UNUSED_MODULES
from alphafoundry.algorithms.contract_syntax import parse
from alphafoundry.finance.bars import FIELDS

_FUNCTION: Final = "execute_trade"
_HISTORY: Final = "history"
_SILENT: Final = frozenset({"logging", "warnings"})
"""Modules whose calls change nothing that an algorithm answers."""

_ABOUT: Final = frozenset({"__all__", "__author__", "__version__"})
"""What a module says of itself, which nothing here reads."""

_CONTRACTS: Final = tuple(frozenset(names) for names in ARGUMENTS.values())

Function = ast.FunctionDef | ast.AsyncFunctionDef


def in_contract_shape(code: str) -> str:
    """Return the program with execute_trade as a function of its own; unparsable code unchanged."""
    for step in (
        _without_examples,
        _without_silent_calls,
        _without_silent_blocks,
        _without_unused_imports,
    ):
        code = _applied(step, code)
    code = _applied(_without_coroutines, code)
    code = _applied(_without_star, code)
    return _applied(_with_function, code)


def defines(tree: ast.Module) -> bool:
    """Return whether the program gives an execute_trade in a form that can be taken."""
    return any(
        (isinstance(n, Function) and n.name == _FUNCTION) or _assigned(n) is not None
        for n in tree.body
    ) or (_method(tree) is not None)


def _applied(step: Callable[[str, ast.Module], str], code: str) -> str:
    try:
        return step(code, parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return code


def _without_examples(code: str, tree: ast.Module) -> str:
    """Drop what only shows how execute_trade is called, and the part below __main__.

    A `history` of the program's own that stands in for the one that it is given goes too.
    """
    loaded = _loaded(tree)
    bound = {n.name for n in tree.body if isinstance(n, Function | ast.ClassDef)}
    stand_in = _reads_history(tree)
    drop: list[ast.stmt] = []
    for node in tree.body:
        match node:
            case ast.Expr(value=ast.Name(id=name)) if name not in bound:
                # A word of prose that stands alone on its line.
                drop.append(node)
            case ast.AnnAssign(target=ast.Name(id=name), value=None) if name not in loaded or (
                stand_in and name == _HISTORY
            ):
                drop.append(node)
            case (
                ast.Assign(targets=[ast.Name(id="history")], value=value)
                | ast.AnnAssign(target=ast.Name(id="history"), value=ast.expr() as value)
            ) if stand_in and isinstance(value, ast.Constant | ast.Call):
                drop.append(node)
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__")), orelse=[]):
                drop.append(node)
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if (
                name in _ABOUT and name not in loaded and _is_literal(value)
            ):
                drop.append(node)
            case ast.Expr(value=ast.Call()) | ast.Assert() if _calls_function(node):
                drop.append(node)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call()) if (
                name not in loaded and _calls_function(node)
            ):
                drop.append(node)
            case _:
                pass
    return _replaced(code, dict.fromkeys(drop, ""), tree)


def _reads_history(tree: ast.Module) -> bool:
    """Return whether the program reads the bars that it is given, and keeps none of its own."""
    of_history = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id == _HISTORY
    ]
    grown = any(
        isinstance(n, ast.Attribute) and n.attr in ("append", "extend") and n.value in of_history
        for n in ast.walk(tree)
    )
    stored = any(isinstance(n.ctx, ast.Store) for n in of_history)
    return not grown and not stored and any(n.attr in FIELDS for n in of_history)


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _calls_function(node: ast.AST) -> bool:
    return any(
        isinstance(n, ast.Call)
        and (
            (isinstance(n.func, ast.Name) and n.func.id == _FUNCTION)
            or (isinstance(n.func, ast.Attribute) and n.func.attr == _FUNCTION)
        )
        for n in ast.walk(node)
    )


def _without_silent_calls(code: str, tree: ast.Module) -> str:
    silent = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name, module in _imported(node)
        if module.partition(".")[0] in _SILENT
    }
    drop: list[ast.stmt] = []
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Call(func=seed)) if ast.unparse(seed).endswith("random.seed"):
                # Where nothing else draws a number, a seed changes nothing.
                drop.append(node)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call) if (
                _root(call.func) in silent
            ):
                silent.add(name)
                drop.append(node)
            case ast.Expr(value=ast.Call() as call) if _root(call.func) in silent:
                drop.append(node)
            case _:
                pass
    return _replaced(code, dict.fromkeys(drop, ""), tree)


def _without_silent_blocks(code: str, tree: ast.Module) -> str:
    """Let what stands in `with warnings.catch_warnings():` and below numba's decorators stay."""
    names = {
        name: module.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name, module in _imported(node)
    }
    lines = code.split("\n")
    for node in ast.walk(tree):
        match node:
            case ast.With(items=[ast.withitem(ast.Call() as call, None)], body=[first, *_]):
                alone = first.lineno > node.lineno == call.end_lineno
                if alone and names.get(_root(call.func)) in _SILENT:
                    lines[node.lineno - 1] = " " * node.col_offset + "if True:"
            case ast.FunctionDef(decorator_list=decorators):
                for each in decorators:
                    if names.get(_root(each)) == "numba":
                        end = each.end_lineno or each.lineno
                        lines[each.lineno - 1 : end] = [""] * (end - each.lineno + 1)
            case _:
                pass
    return "\n".join(lines)


def _without_unused_imports(code: str, tree: ast.Module) -> str:
    loaded = _loaded(tree)
    changes: dict[ast.stmt, str] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if isinstance(node, ast.ImportFrom) and (node.level or node.module == "__future__"):
            continue
        unused = [
            alias
            for alias, (name, module) in zip(node.names, _imported(node), strict=True)
            if name not in loaded
            and alias.name != "*"
            and not name.startswith("__")
            and _not_there(module, alias.name)
        ]
        if len(unused) == len(node.names):
            changes[node] = ""
        elif unused:
            node.names = [alias for alias in node.names if alias not in unused]
            changes[node] = ast.unparse(node)
    return _replaced(code, changes, tree)


def _not_there(module: str, name: str) -> bool:
    """Return whether an import is of something harmless that an algorithm cannot have."""
    if module.partition(".")[0] in UNUSED_MODULES:
        return True
    shown = MODULES.get(module)
    return shown is not None and name not in shown and f"{module}.{name}" not in MODULES


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """Yield the name that each part of an import binds, and its module."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            yield alias.asname or alias.name.partition(".")[0], alias.name
        else:
            yield alias.asname or alias.name, node.module or ""


def _loaded(tree: ast.AST) -> set[str]:
    names = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    }
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            annotation = getattr(node, field, None)
            if isinstance(annotation, ast.AST):
                # An annotation, or a part of it, may be a text.
                parts = [n.value for n in ast.walk(annotation) if isinstance(n, ast.Constant)]
                names.update(word for text in parts for word in re.findall(r"\w+", str(text)))
    return names


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _without_coroutines(code: str, tree: ast.Module) -> str:
    """Make functions of coroutines that await nothing but one another."""
    coroutines = [n for n in ast.walk(tree) if isinstance(n, ast.AsyncFunctionDef)]
    own = {each.name for each in coroutines}
    if _FUNCTION not in own:
        return code
    awaits = [n for n in ast.walk(tree) if isinstance(n, ast.Await)]
    for each in awaits:
        match each.value:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in own:
                continue
            case _:
                return code
    awaited = {id(each.value) for each in awaits}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in own and id(node) not in awaited:
                return code
            case _:
                pass
    lines = [line.encode() for line in code.split("\n")]
    words = [(n.lineno, n.col_offset, b"async") for n in coroutines]
    words += [(n.lineno, n.col_offset, b"await") for n in awaits]
    for number, at, word in sorted(words, reverse=True):
        line = lines[number - 1]
        if line[at : at + 5] != word:
            return code
        lines[number - 1] = line[:at] + line[at + 5 :].lstrip()
    return b"\n".join(lines).decode()


def _without_star(code: str, tree: ast.Module) -> str:
    """Write `execute_trade(*args)` that first takes its arguments apart with their names."""
    own = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == _FUNCTION]
    if len(own) != 1 or own[0].args.vararg is None or _names(own[0]) or own[0].args.kwonlyargs:
        return code
    star = own[0].args.vararg
    used = [n for n in ast.walk(own[0]) if isinstance(n, ast.Name) and n.id == star.arg]
    match own[0].body[ast.get_docstring(own[0]) is not None :]:
        case [
            ast.Assign(targets=[ast.Tuple(elts=parts)], value=ast.Name(id=star.arg)) as first,
            *_,
        ] if (
            len(used) == 1
            and all(isinstance(part, ast.Name) for part in parts)
            and len(parts) in map(len, ARGUMENTS.values())
        ):
            names = ", ".join(ast.unparse(part) for part in parts)
        case _:
            return _with_named_star(code, own[0], tree)
    lines = _replaced(code, {first: "pass"}, tree).split("\n")
    head = lines[star.lineno - 1]
    lines[star.lineno - 1] = re.sub(rf"\*\s*{star.arg}\b", names, head, count=1)
    return "\n".join(lines)


def _with_named_star(code: str, function: ast.FunctionDef, tree: ast.Module) -> str:
    """Call a function of `*args` that lists the names of what it is given, by those names."""
    for node in ast.walk(function):
        if isinstance(node, ast.Tuple | ast.List):
            listed = tuple(each.value for each in node.elts if isinstance(each, ast.Constant))
            for known in ARGUMENTS.values():
                if listed[: len(known)] == known:
                    return _behind(code, function, [*known], [*known], tree)
    return code


def _with_function(code: str, tree: ast.Module) -> str:
    """Give the program its execute_trade where a class, a lambda or another name has it."""
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    own = [n for n in functions if n.name == _FUNCTION]
    assigned = [n for n in tree.body if _assigned(n) is not None]
    if len(own) == 1 and not assigned:
        return _by_position(code, own[0], tree)
    if own or len(assigned) > 1:
        return code
    if assigned:
        return _with_assigned_function(code, assigned[0], tree)
    found = _method(tree)
    if found is None:
        return code
    kind, method, bound = found
    name = _free_name("_strategy", tree)
    instance = "" if bound == 0 else "()"
    text = f"\n\n{name} = {kind.name}{instance}\n\n\n"
    return code.rstrip("\n") + "\n" + text + _calling(f"{name}.{method.name}", method, bound) + "\n"


def _with_assigned_function(code: str, statement: ast.stmt, tree: ast.Module) -> str:
    """Write `execute_trade = something` as a function."""
    value = _assigned(statement)
    if isinstance(value, ast.Lambda):
        head = f"def {_FUNCTION}({ast.unparse(value.args)}):"
        return _replaced(code, {statement: f"{head}\n    return {ast.unparse(value.body)}"}, tree)
    target = _function_behind(value, tree)
    if value is None or target is None:
        return code
    name = _free_name("_decide", tree)
    text = f"{name} = {ast.unparse(value)}\n\n\n{_calling(name, *target)}"
    return _replaced(code, {statement: text}, tree)


def _assigned(node: ast.stmt) -> ast.expr | None:
    match node:
        case ast.Assign(targets=[ast.Name(id="execute_trade")], value=value):
            return value
        case ast.AnnAssign(target=ast.Name(id="execute_trade"), value=ast.expr() as value):
            return value
    return None


def _by_position(code: str, function: ast.FunctionDef, tree: ast.Module) -> str:
    """Let arguments that can only be given by name be given by position."""
    arguments = function.args
    given = [*arguments.posonlyargs, *arguments.args]
    required = [
        each
        for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    names = [each.arg for each in (*given, *required)]
    if not required or arguments.defaults or frozenset(names) not in _CONTRACTS:
        return code
    passed = [*(each.arg for each in given), *(f"{each.arg}={each.arg}" for each in required)]
    return _behind(code, function, names, passed, tree)


def _behind(
    code: str, function: ast.FunctionDef, names: list[str], passed: list[str], tree: ast.Module
) -> str:
    """Give the function another name, and call it from an execute_trade with these names."""
    inner = _free_name("_decide", tree)
    lines = code.split("\n")
    head = f"def {_FUNCTION}"
    if head not in lines[function.lineno - 1]:
        return code
    lines[function.lineno - 1] = lines[function.lineno - 1].replace(head, f"def {inner}", 1)
    text = f"\n\ndef {_FUNCTION}({', '.join(names)}):\n    return {inner}({', '.join(passed)})\n"
    return "\n".join(lines).rstrip("\n") + "\n" + text


def _function_behind(value: ast.expr | None, tree: ast.Module) -> tuple[Function, int] | None:
    """Return the function that an expression names, and how many arguments it has bound."""
    match value:
        case ast.Name(id=name):
            found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
            return (found[0], 0) if len(found) == 1 else None
        case ast.Call(
            func=ast.Name(id="partial") | ast.Attribute(attr="partial"),
            args=[ast.Name() as inner, *given],
            keywords=[],
        ):
            behind = _function_behind(inner, tree)
            return None if behind is None else (behind[0], len(given))
        case ast.Call(func=ast.Name(id=name)) if (made := _made_by(name, tree)) is not None:
            return made, 0
        case ast.Call(func=ast.Name()) | ast.Attribute():
            name = value.attr if isinstance(value, ast.Attribute) else "__call__"
            methods = [
                (each, _bound(each))
                for kind in tree.body
                if isinstance(kind, ast.ClassDef)
                for each in kind.body
                if isinstance(each, ast.FunctionDef) and each.name == name
            ]
            return methods[0] if len(methods) == 1 else None
    return None


def _made_by(name: str, tree: ast.Module) -> Function | None:
    """Return the inner function that a function of the module ends by returning."""
    makers = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    if len(makers) != 1:
        return None
    match makers[0].body[-1]:
        case ast.Return(value=ast.Name(id=inner)):
            found = [n for n in makers[0].body if isinstance(n, ast.FunctionDef)]
            named = [n for n in found if n.name == inner]
            return named[0] if len(named) == 1 else None
    return None


def _method(tree: ast.Module) -> tuple[ast.ClassDef, ast.FunctionDef, int] | None:
    """Return the one class that has the one method, where there is no doubt."""
    kinds = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    named = [
        (kind, each)
        for kind in kinds
        for each in kind.body
        if isinstance(each, ast.FunctionDef) and each.name == _FUNCTION
    ]
    if not named:
        named = [
            (kind, each)
            for kind in kinds
            for each in kind.body
            if isinstance(each, ast.FunctionDef)
            and frozenset(_names(each)[_bound(each) :]) in _CONTRACTS
        ]
        if any(
            isinstance(n, ast.FunctionDef) and frozenset(_names(n)) in _CONTRACTS for n in tree.body
        ):
            return None
    if len(named) != 1 or not _made_without_arguments(named[0][0]):
        return None
    kind, method = named[0]
    return kind, method, _bound(method)


def _made_without_arguments(kind: ast.ClassDef) -> bool:
    if any(isinstance(base, ast.Name) and base.id not in ("object",) for base in kind.bases):
        return False
    for node in kind.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            arguments = node.args
            given = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
            return given <= 1 and None not in arguments.kw_defaults
    if not kind.decorator_list:
        return True
    return all(n.value is not None for n in kind.body if isinstance(n, ast.AnnAssign))


def _bound(method: Function) -> int:
    """Return 1 where a method is given its object or class, 0 for a static one."""
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in method.decorator_list)
    return 0 if static else 1


def _names(function: Function) -> list[str]:
    return [each.arg for each in (*function.args.posonlyargs, *function.args.args)]


def _calling(callee: str, function: Function, bound: int) -> str:
    names = _names(function)[bound:]
    without_default = len(names) - len(function.args.defaults)
    for known in ARGUMENTS.values():
        if without_default < len(known) and tuple(names[: len(known)]) == known:
            without_default = len(known)
    names = names[:without_default] if without_default in (3, 5) else names
    listed = ", ".join(names)
    return f"def {_FUNCTION}({listed}):\n    return {callee}({listed})"


def _free_name(name: str, tree: ast.AST) -> str:
    taken = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    taken |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    while name in taken:
        name += "_"
    return name


def _replaced(code: str, changes: dict[ast.stmt, str], tree: ast.Module) -> str:
    """Put a text in the place of each statement; one of its own line, or it stays as it is.

    Where a block would be left empty, `pass` stands in it.
    """
    if not changes:
        return code
    lines = code.split("\n")
    emptied = {
        id(block[0])
        for node in ast.walk(tree)
        for field in ("body", "orelse", "finalbody", "handlers")
        if (block := getattr(node, field, None))
        and isinstance(block, list)
        and not isinstance(node, ast.Module)
        and all(statement in changes and not changes[statement] for statement in block)
    }
    for node in sorted(changes, key=lambda n: n.lineno, reverse=True):
        end = node.end_lineno or node.lineno
        before = lines[node.lineno - 1].encode()[: node.col_offset].decode()
        after = lines[end - 1].encode()[node.end_col_offset or 0 :].decode()
        if before.strip() or after.strip(" ;")[:1] not in ("", "#"):
            continue
        text = changes[node] or ("pass" if id(node) in emptied else "")
        put = [f"{before}{line}" if line else "" for line in text.split("\n")] if text else []
        lines[node.lineno - 1 : end] = put
    return "\n".join(lines)
