"""A part of many cases in `make test`, all of them in `make test-long` beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def one_in(number: int, cases: Iterable[Any]) -> list[Any]:
    """Return the cases for `parametrize`, of which one in so many is not marked `long`.

    cases : each a value, a tuple of one for each argument, or a `pytest.param`
    """
    return [
        _with_mark(case, [pytest.mark.long] if place % number else [])
        for place, case in enumerate(cases)
    ]


def _with_mark(case: Any, marks: list[Any]) -> Any:
    if isinstance(case, type(pytest.param(None))):
        return pytest.param(*case.values, marks=[*case.marks, *marks], id=case.id)
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=marks)
