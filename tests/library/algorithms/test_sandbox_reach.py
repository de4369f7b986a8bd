"""Ways around the names that an algorithm may use, and to days that have not come yet.

Each attempt passes what it reaches out as the text of an error; it succeeds where the text is
"reached".
"""

from __future__ import annotations

import pytest

from alphafoundry.algorithms.contract import AlgorithmFailed, RefusedCode
from alphafoundry.algorithms.sandbox import Sandbox
from tests.library.algorithms.bars import rising_bars
from tests.library.algorithms.hostile import SIGNATURE
from tests.some_cases import one_in

DAYS = 12


def attempt(body: str, *, before: str = "") -> str:
    """Return an algorithm that could trade, and tries `body` when asked."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    return f"{before}\n{SIGNATURE}{lines}    return 'BUY'\n"


PANDAS = "import pandas as pd"
REACHED = "raise ValueError('reached')"
ATTEMPTS: dict[str, str] = {
    "the frame of a generator": attempt(f"g = (x for x in [1])\nif g.gi_frame: {REACHED}"),
    "the frame of a traceback": attempt(
        f"try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    if e.__traceback__: {REACHED}"
    ),
    "getattr with a built name": attempt(f"if getattr(history, '_col' + 'umn'): {REACHED}"),
    "getattr through map": attempt(
        f"if list(map(getattr, [execute_trade], ['__glob' + 'als__'])): {REACHED}"
    ),
    "getattr through reduce": attempt(
        f"if reduce(getattr, ['__glob' + 'als__'], execute_trade): {REACHED}",
        before="from functools import reduce",
    ),
    "getattr through a ufunc": attempt(
        f"f = np.frompyfunc(getattr, 2, 1)\nif f(execute_trade, '__glob' + 'als__'): {REACHED}"
    ),
    "getattr as a decorator's property": attempt(
        f"if A().x: {REACHED}", before="class A:\n    x = property(getattr)"
    ),
    "getattr by another name": attempt(
        f"if g(execute_trade, '__glob' + 'als__'): {REACHED}", before="g = getattr"
    ),
    "a format that is not written out": attempt(
        f"f = '{{0.__cl' + 'ass__}}'\nif f.format(history): {REACHED}"
    ),
    "the format method of str": attempt(
        f"if str.format('{{0.__cl' + 'ass__}}', history): {REACHED}"
    ),
    "a class pattern": attempt(
        f"match execute_trade:\n    case object(__globals__=g):\n        {REACHED}"
    ),
    "a metaclass": attempt(REACHED, before="class A(metaclass=object): pass"),
    "what a cache wraps": attempt(
        f"if f.__wrapped__: {REACHED}",
        before="from functools import lru_cache\n@lru_cache\ndef f(x): return x",
    ),
    "numpy.f2py": attempt(f"if np.f2py: {REACHED}"),
    "numpy.ctypeslib": attempt(f"if np.ctypeslib: {REACHED}"),
    "numpy.testing": attempt(f"if np.testing: {REACHED}"),
    "numpy's data source": attempt(f"if np.lib.npyio.DataSource: {REACHED}"),
    "numpy.memmap": attempt(f"np.memmap('x', mode='w+', shape=(1,))\n{REACHED}"),
    "numpy.save": attempt(f"np.save('x', history.close)\n{REACHED}"),
    "numpy.fromfile": attempt(f"np.fromfile('/etc/hostname')\n{REACHED}"),
    "pandas.io": attempt(f"if pd.io.common.os: {REACHED}", before=PANDAS),
    "a method of a series by name": attempt(
        f"pd.Series([1.0]).agg('__cl' + 'ass__')\n{REACHED}", before=PANDAS
    ),
    "any attribute of a series by name": attempt(
        f"if pd.Series([1.0]).agg('__getattr' + 'ibute__', 0, '_m' + 'gr') is not None: {REACHED}",
        before=PANDAS,
    ),
    "a method of a group by name": attempt(
        "g = pd.Series([1.0, 2.0]).groupby([0, 0])\n"
        f"if g.agg('__getattr' + 'ibute__', '__cl' + 'ass__') is not None: {REACHED}",
        before=PANDAS,
    ),
    "a file by the name of a method": attempt(
        f"pd.Series([1.0]).apply('to_' + 'pickle', args=('x',))\n{REACHED}", before=PANDAS
    ),
    "objects over bytes": attempt(
        "a = np.array([0x41414141], dtype=np.int64)\n"
        f"b = np.ndarray((1,), dtype=object, buffer=a)\n{REACHED}"
    ),
    "objects over bytes by a record array": attempt(
        "a = np.array([0x41414141], dtype=np.int64)\n"
        f"b = np.recarray((1,), dtype=[('x', object)], buf=a)\n{REACHED}"
    ),
    "objects over bytes by a view": attempt(
        f"np.array([0x41414141], dtype=np.int64).view(object)\n{REACHED}"
    ),
    "the debugger": attempt(f"breakpoint()\n{REACHED}"),
    "the help": attempt(f"help()\n{REACHED}"),
    "a signal": attempt(REACHED, before="import signal"),
    "strides beyond the days": attempt(
        f"if len(as_strided(history.close, (9999,), (8,))): {REACHED}",
        before="from numpy.lib.stride_tricks import as_strided",
    ),
    "the address of the days": attempt(f"if history.close.__array_interface__: {REACHED}"),
    "ctypes of the days": attempt(f"if history.close.ctypes.data: {REACHED}"),
    "a longer shape of the same days": attempt(
        f"a = history.close[:]\na.shape = (9999,)\n{REACHED}"
    ),
    "longer strides of the same days": attempt(
        f"a = history.close[:2]\na.strides = (80_000,)\nif a[1] != 0: {REACHED}"
    ),
    "a later day below a view": attempt(
        "whole = history.close\n"
        "while whole is not None:\n"
        f"    if np.nanmax(whole) > history.close[-1]: {REACHED}\n"
        "    whole = whole.base\n"
        "1 / 0"
    ),
    "a later day in the buffer's bytes": attempt(
        "found = np.frombuffer(history.close.base.tobytes())\n"
        f"if np.nanmax(found) > history.close[-1]: {REACHED}\n1 / 0"
    ),
    "a later day in what memory still holds": attempt(
        "later = history.close[-1] + 1\n"
        "for size in (64, 128, 320, 640, 1000, 10_000):\n"
        "    for _ in range(20):\n"
        f"        if (np.empty(size) == later).any(): {REACHED}\n"
        "1 / 0"
    ),
}


@pytest.mark.parametrize("name", one_in(4, ATTEMPTS))
def test_an_attempt_reaches_nothing(name: str) -> None:
    with pytest.raises((RefusedCode, AlgorithmFailed)) as caught:
        Sandbox().smoke(ATTEMPTS[name], rising_bars("A", DAYS))
    failure = caught.value
    assert "reached" not in str(failure)
    assert not isinstance(failure, AlgorithmFailed) or failure.kind in ("error", "forbidden")


def test_what_is_ordinary_still_works() -> None:
    """Kinds of array in an annotation and in isinstance, and pandas' calls by name."""
    source = attempt(
        "close: np.ndarray = history.close\n"
        "assert isinstance(close, np.ndarray) and not isinstance([1.0], np.ndarray)\n"
        "table = pd.DataFrame({'a': [0, 0, 1], 'b': [1.0, 2.0, 3.0]})\n"
        "groups = table.groupby('a')\n"
        "assert groups['b'].agg('sum').tolist() == [3.0, 3.0]\n"
        "assert groups.agg({'b': ['mean', 'max']}).shape == (2, 2)\n"
        "assert groups['b'].transform('mean').tolist() == [1.5, 1.5, 3.0]\n"
        "assert table['b'].rolling(2).agg('mean').iloc[-1] == 2.5\n"
        "assert table.agg(['min', 'max']).shape == (2, 2)\n",
        before=PANDAS,
    )
    Sandbox().smoke(source, rising_bars("A", 2))
