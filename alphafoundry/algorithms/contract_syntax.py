"""Parse untrusted source without running it and without Python's warnings about its style."""

from __future__ import annotations

import ast
import threading
import warnings

# The list of warning filters is one for the whole process.
_FILTERS = threading.Lock()


def parse(source: str) -> ast.Module:
    """Return the syntax tree.

    Raises SyntaxError, or ValueError, RecursionError, MemoryError, OverflowError for a text that
    Python cannot take in, such as a million brackets.
    """
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def compile_check(source: str) -> None:
    """Compile the source and throw the code away; raises as `parse` does.

    Some errors, such as a return outside a function, are only found by the compiler.
    """
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile(source, "<algorithm>", "exec", dont_inherit=True)
