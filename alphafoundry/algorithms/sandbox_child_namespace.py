"""The names that an algorithm sees inside the sandbox."""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.algorithms.contract_surface import BUILTINS, MODULES, hidden

FIELDS = ("open", "high", "low", "close", "volume")
FILENAME = "<algorithm>"
"""The file name that an algorithm's frames carry."""

NAME = "algorithm"
"""The __name__ that an algorithm sees."""


class History:
    """Bars of one ticker up to and including now.

    Attributes
    ----------
    open, high, low, close, volume : read-only float64 arrays of shape (n_days,), oldest first

    `len(history)` is n_days. The arrays lie in buffers that hold nothing of the future: a day is
    written to them when the algorithm is asked about it.
    """

    __slots__ = ("_count", "_rows")

    def __init__(self, past: NDArray[np.float64]) -> None:
        """Start with the bars of shape (n_days, 5): open, high, low, close, volume."""
        self._count = len(past)
        self._rows = np.full((len(FIELDS), max(64, 2 * len(past))), np.nan)
        self._rows[:, : len(past)] = past.T

    def append(self, bar: Sequence[float]) -> None:
        """Add one day: open, high, low, close, volume."""
        if self._count == self._rows.shape[1]:
            wider = np.full((len(FIELDS), 2 * self._count), np.nan)
            wider[:, : self._count] = self._rows
            self._rows = wider
        self._rows[:, self._count] = bar
        self._count += 1

    def column(self, row: int) -> NDArray[np.float64]:
        """Return one field up to now."""
        view = self._rows[row, : self._count]
        view.flags.writeable = False
        return view


class Shown:
    """What the algorithm holds of a `History`: the arrays, and no way to change the history."""

    __slots__ = ("_column", "_length")

    def __init__(self, history: History) -> None:
        self._column = history.column
        self._length: Callable[[], int] = lambda: history._count

    def __len__(self) -> int:
        return self._length()

    @property
    def open(self) -> NDArray[np.float64]:
        """Opening prices, dollars."""
        return self._column(0)

    @property
    def high(self) -> NDArray[np.float64]:
        """Highest prices, dollars."""
        return self._column(1)

    @property
    def low(self) -> NDArray[np.float64]:
        """Lowest prices, dollars."""
        return self._column(2)

    @property
    def close(self) -> NDArray[np.float64]:
        """Closing prices, dollars."""
        return self._column(3)

    @property
    def volume(self) -> NDArray[np.float64]:
        """Traded shares."""
        return self._column(4)


def load_modules(*, pandas: bool) -> None:
    """Import everything that an algorithm may import, while imports still work."""
    import warnings

    warnings.simplefilter("ignore")
    for name in MODULES:
        if pandas or name != "pandas":
            importlib.import_module(name)
    # Python asks for it where a name is not of plain letters.
    importlib.import_module("unicodedata")
    # dataclass looks up the module of the class that it is given.
    sys.modules[NAME] = ModuleType(NAME)
    # Computing on floats imports its parts at first use.
    np.polyfit(np.arange(4.0), np.arange(4.0), 1)
    np.nanpercentile(np.arange(4.0), 50)
    np.linalg.lstsq(np.eye(2), np.ones(2), rcond=None)
    if pandas:
        _load_parts_of_pandas()


def _load_parts_of_pandas() -> None:
    import pandas as pd

    pd.set_option("compute.use_numexpr", False)
    values = pd.Series(np.linspace(1.0, 2.0, 40))
    values.rolling(5).mean()
    values.rolling(5, min_periods=1).std().rolling(2).apply(np.mean, raw=True)
    values.ewm(span=5, adjust=False).mean()
    values.expanding().max()
    values.pct_change().diff().shift().fillna(0.0).clip(0, 1).rank().quantile(0.5)
    frame = pd.DataFrame({"a": values, "b": values[::-1].to_numpy()})
    frame.corr()
    frame.cov()
    frame.describe()
    frame.groupby(frame.a > 1.5).mean()
    frame.sort_values("b").head(2).agg(["mean", "std"])
    frame.apply(np.mean, axis=1).dropna().iloc[-1]
    pd.concat([frame, frame], axis=1).max(axis=1)
    pd.cut(values, 3)
    frame.groupby("a").agg("sum")
    str(frame), repr(values)
    values.index = pd.date_range("2020-01-01", periods=40)
    values.resample("7D").mean()
    str(values)
    _guard_names_in_pandas()


def _guard_names_in_pandas() -> None:
    """Let pandas call by name, as `agg("sum")` does, only what code could name itself."""
    apply = importlib.import_module("pandas.core.apply").Apply
    groups = importlib.import_module("pandas.core.groupby.generic")
    apply._apply_str = _guarded(apply._apply_str, place=1)
    for kind in (groups.GroupBy, groups.SeriesGroupBy, groups.DataFrameGroupBy):
        for name in ("agg", "aggregate", "apply", "transform", "filter"):
            if name in vars(kind):
                setattr(kind, name, _guarded(vars(kind)[name], place=0))


def _guarded(method: Callable[..., Any], *, place: int) -> Callable[..., Any]:
    """Return a method that refuses a hidden name as its argument `func`, at `place` after self."""

    def call(self: object, *given: Any, **options: Any) -> Any:
        func = given[place] if len(given) > place else options.get("func")
        names = func.values() if isinstance(func, dict) else func
        for name in names if isinstance(names, (list, tuple)) else [names]:
            if isinstance(name, str) and (name.startswith("_") or hidden(name)):
                raise AttributeError(f"{name!r} cannot be called by its name")
        return method(self, *given, **options)

    return call


class _ArrayKind(type):
    """Makes `isinstance(x, np.ndarray)` work on a class that makes no arrays."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, np.ndarray)

    def __call__(cls, *_: object, **__: object) -> object:
        raise TypeError("np.ndarray makes no arrays here; use np.array, np.zeros or np.empty")


class ShownArray(metaclass=_ArrayKind):
    """Takes the place of `np.ndarray`, which can lay objects over any bytes."""


def shown_module(name: str) -> ModuleType:
    """Return a module that holds only the public names of `name` that its table lets pass."""
    whole = sys.modules[name]
    shown = ModuleType(name)
    names = MODULES[name]
    if names is None:
        exported = getattr(whole, "__all__", None)
        listed = [n for n in (exported or dir(whole)) if not n.startswith("_")]
    else:
        listed = sorted(names)
    for attribute in listed:
        # NumPy loads some of its modules when they are asked for; those stay away.
        if hidden(attribute) or attribute not in vars(whole):
            continue
        value = vars(whole)[attribute]
        if value is np.ndarray:
            value = ShownArray
        if not isinstance(value, ModuleType):
            setattr(shown, attribute, value)
    return shown


def shown_modules(*, pandas: bool) -> dict[str, ModuleType]:
    """Return every module that can be imported, by dotted name, submodules in their parents."""
    modules = {name: shown_module(name) for name in MODULES if pandas or name != "pandas"}
    for name, module in modules.items():
        parent, _, leaf = name.rpartition(".")
        if parent:
            setattr(modules[parent], leaf, module)
    return modules


def make_namespace(
    modules: Mapping[str, ModuleType], history: History, output: Callable[..., None]
) -> dict[str, Any]:
    """Return the globals of one algorithm for one ticker.

    modules : from `shown_modules`
    output : takes the place of print
    """

    def guarded_import(
        name: str,
        globals: object = None,
        locals: object = None,
        fromlist: Sequence[str] | None = None,
        level: int = 0,
    ) -> ModuleType:
        if isinstance(fromlist, list) and name in sys.modules:
            # NumPy's C code asks for its own parts through the importer of whoever called it. It
            # takes the part from the list of loaded modules and throws this answer away.
            return ModuleType(name)
        if level or name not in modules:
            raise ImportError(f"import of {name!r} is not possible here")
        return modules[name] if fromlist else modules[name.partition(".")[0]]

    names = {name: getattr(builtins, name) for name in BUILTINS if hasattr(builtins, name)}
    names["print"] = output
    names["__import__"] = guarded_import
    names["__build_class__"] = builtins.__build_class__
    given: dict[str, Any] = {"__builtins__": names, "__name__": NAME}
    given.update(np=modules["numpy"], numpy=modules["numpy"])
    given.update(math=modules["math"], statistics=modules["statistics"])
    if "pandas" in modules:
        given.update(pd=modules["pandas"], pandas=modules["pandas"])
    given["history"] = Shown(history)
    return given
