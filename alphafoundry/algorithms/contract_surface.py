"""The names that an algorithm may use: builtins, modules and what each module shows.

The check of the source and the namespace inside the sandbox are both made from these tables, so
what one lets pass the other provides.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


BUILTINS = _words(
    """abs all any bin bool bytes callable chr complex dict divmod enumerate filter float
    format frozenset getattr hasattr hash hex int isinstance issubclass iter len list map max min
    next object oct ord pow print property range repr reversed round set setattr slice sorted
    staticmethod classmethod str sum super tuple zip
    True False None NotImplemented Ellipsis
    ArithmeticError AssertionError AttributeError BaseException EOFError Exception
    FloatingPointError IndexError KeyError LookupError MemoryError NameError NotImplementedError
    OverflowError RecursionError RuntimeError StopIteration TypeError UnboundLocalError ValueError
    Warning ZeroDivisionError RuntimeWarning UserWarning DeprecationWarning FutureWarning
    ImportError ModuleNotFoundError"""
)

GIVEN = ("history", "np", "numpy", "pd", "pandas", "math", "statistics")
"""Names that are there without an import; pd and pandas only where the source names them."""

MODULES: dict[str, frozenset[str] | None] = {
    "math": None,
    "statistics": None,
    "itertools": None,
    "bisect": None,
    "heapq": None,
    "collections": frozenset({"deque", "defaultdict", "Counter", "OrderedDict", "namedtuple"}),
    "collections.abc": _words(
        """Callable Collection Container Generator Hashable Iterable Iterator Mapping
        MutableMapping MutableSequence MutableSet Sequence Set Sized"""
    ),
    "functools": frozenset({"reduce", "partial", "lru_cache", "cache", "cmp_to_key"}),
    "enum": frozenset({"Enum", "IntEnum", "StrEnum", "auto", "unique"}),
    "dataclasses": frozenset({"asdict", "astuple", "dataclass", "field", "replace"}),
    "typing": _words(
        """Annotated Any Callable ClassVar Collection Counter DefaultDict Deque Dict Final
        FrozenSet Generator Hashable Iterable Iterator List Literal Mapping MutableMapping
        MutableSequence NamedTuple Never NoReturn Optional OrderedDict Self Sequence Set
        SupportsFloat SupportsInt TYPE_CHECKING Tuple Type TypeAlias TypedDict Union cast"""
    ),
    "numpy": None,
    "numpy.linalg": None,
    "numpy.fft": None,
    "numpy.lib": frozenset({"stride_tricks"}),
    "numpy.lib.stride_tricks": frozenset({"sliding_window_view"}),
    "pandas": None,
    "__future__": frozenset({"annotations"}),
}
"""Importable module to the names that it shows; None is its public names that are no modules."""

UNUSED_MODULES = _words(
    """abc array calendar cmath contextlib copy datetime decimal fractions json logging numbers
    operator os queue random re string sys textwrap time traceback typing_extensions uuid warnings
    zoneinfo backtrader bt matplotlib numba pandas_ta plotly pytz quantstats scipy seaborn sklearn
    statsmodels ta talib tqdm yfinance"""
)
"""Modules that an answer may name and not use; `program_shape` drops their imports."""

HIDDEN_NAMES = _words(
    """DataSource chararray ctypeslib eval fromfile fromregex genfromtxt get_include info load
    loadtxt memmap rec recarray
    open_memmap random read_clipboard save savetxt savez savez_compressed seterrcall setbufsize
    show_config show_runtime test testing
    ExcelFile ExcelWriter HDFStore Styler io core plotting
    query to_clipboard to_csv to_excel to_feather to_gbq to_hdf to_html to_iceberg to_json to_latex
    to_markdown to_orc to_parquet to_pickle to_sql to_stata to_xml
    tofile dump dumps ctypes setfield setflags getfield
    format_map
    ag_await ag_code ag_frame ag_running cr_await cr_code cr_frame cr_origin cr_running
    gi_code gi_frame gi_running gi_yieldfrom tb_frame tb_lasti tb_next tb_lineno
    f_back f_builtins f_code f_globals f_lasti f_lineno f_locals f_trace co_code co_consts
    func_globals func_code mro with_traceback
    os sys subprocess socket builtins importlib inspect gc shutil pathlib pickle marshal threading
    multiprocessing asyncio posix"""
)
"""Attributes that reach files, processes, frames or dynamic code, whatever object they are of."""

HIDDEN_PREFIXES = ("read_",)


def hidden(name: str) -> bool:
    """Return whether an attribute of this name is refused on every object."""
    return is_dunder(name) or name in HIDDEN_NAMES or name.startswith(HIDDEN_PREFIXES)


def is_dunder(name: str) -> bool:
    """Return whether a name has the form __name__."""
    return name.startswith("__") and name.endswith("__")
