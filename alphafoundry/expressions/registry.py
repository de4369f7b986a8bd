"""What an operator is, and how operators are found by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, TypeAlias

from alphafoundry.expressions.conventions import USUAL, Conventions
from alphafoundry.expressions.instructions import Instruction
from alphafoundry.expressions.units import UnitRule, dimensionless

Option: TypeAlias = float | bool | str | tuple[float, ...] | None


class Kind(StrEnum):
    """What an input, or the result, is."""

    MATRIX = "matrix"
    VECTOR = "vector"
    GROUP = "group"
    LOOKBACK = "lookback"
    NUMBER = "number"
    TEXT = "text"
    COLLECTION = "collection"
    ALPHAS = "alphas"
    STATISTICS = "statistics"
    PAIRS = "pairs"


class KeywordKind(StrEnum):
    """What the value of a keyword is."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    TEXT = "text"
    NUMBERS = "numbers"


@dataclass(frozen=True)
class Input:
    """One input given by place.

    Attributes
    ----------
    kind : MATRIX takes an expression or a constant; LOOKBACK a whole number of days; NUMBER a
        constant. The last two may also be given by name. TEXT, COLLECTION, ALPHAS, STATISTICS
        and PAIRS occur in SUPER alphas only: see `operators.combination` and
        `operators.special`
    many : this input may be repeated
    minimum : least value of a LOOKBACK or NUMBER
    whole : a NUMBER must be whole
    """

    name: str
    kind: Kind = Kind.MATRIX
    many: bool = False
    minimum: float = 1
    whole: bool = True

    @cached_property
    def constant(self) -> bool:
        """Whether only a constant can be given."""
        return self.kind in (Kind.LOOKBACK, Kind.NUMBER)

    @cached_property
    def names(self) -> frozenset[str]:
        """The keywords by which a constant input can be given."""
        if self.kind is Kind.LOOKBACK:
            return frozenset({self.name, "d", "lookback"})
        return frozenset({self.name}) if self.kind is Kind.NUMBER else frozenset()


@dataclass(frozen=True)
class Keyword:
    """One optional parameter, always given by name.

    Attributes
    ----------
    default : None where leaving it out means something that no value says
    choices : the allowed texts; empty allows any
    minimum, maximum : bounds of a number
    whole : only whole numbers are allowed
    days : the value adds to the lookback; of several numbers, how many there are less one
    """

    name: str
    kind: KeywordKind
    default: Option
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    whole: bool = False
    days: bool = False


Kernel = Callable[..., Any]


@dataclass(frozen=True)
class Operator:
    """One operator of the language.

    Attributes
    ----------
    name : canonical name
    category : "Arithmetic", "Logical", "Time Series", "Cross Sectional", "Vector",
        "Transformational", "Group" or "Special"
    inputs : given by place, in order
    definition : what it computes, with its rules for NaN, ties and constants
    kernel : called with the inputs' values in order, then every keyword's value by name.
        A matrix is a float64 array of shape (n_days, n_instruments), a group an int32 array of
        that shape with -1 for unknown, a vector a VectorField. Returns an array of that shape
    unit : gives the unit of the result from the units of the inputs
    agree : indexes of the inputs that must have one unit; None means all of them
    keywords : optional parameters
    aliases : other names
    tier : "base" for every account, "ext" where granted, "legacy" from older lists, "super" in
        SUPER alphas only
    scope : where it may be used: REGULAR alphas, the COMBO and the SELECTION of SUPER alphas.
        Left empty, it is REGULAR and, without event data, COMBO; cell by cell also SELECTION
    compares_texts : its inputs may also be two texts
    commutative : the leading data inputs may change places
    output : MATRIX, GROUP or VECTOR
    elementwise : works cell by cell, so constants need no expansion
    instruction : what does the same in a program of cell-by-cell arithmetic, if anything does
    keeps_nan : the result is NaN wherever the first input is NaN that day, NaN handling or not
    spreads : one value per group; with NaN handling on, members with NaN get it too
    idempotent : applied to its own answer without keywords, it changes nothing
    reads_day : a time-series operator whose cells depend on the day's other instruments
    extra_days : days of history it needs beyond its lookback
    reads : fields of the panel that the kernel gets after the inputs
    conventions : names of the conventions that change what it computes
    under : gives the kernel for conventions that differ from the usual ones; None without any
    check : returns what is wrong with the keywords' values, or None
    """

    name: str
    category: str
    inputs: tuple[Input, ...]
    definition: str
    kernel: Kernel = field(repr=False)
    unit: UnitRule = field(default=dimensionless, repr=False)
    agree: tuple[int, ...] | None = ()
    keywords: tuple[Keyword, ...] = ()
    aliases: tuple[str, ...] = ()
    tier: str = "base"
    scope: tuple[str, ...] = ()
    compares_texts: bool = False
    commutative: bool = False
    output: Kind = Kind.MATRIX
    elementwise: bool = False
    instruction: Instruction | None = field(default=None, repr=False)
    keeps_nan: bool = False
    spreads: bool = False
    idempotent: bool = False
    reads_day: bool = False
    extra_days: int = 0
    reads: tuple[str, ...] = ()
    conventions: tuple[str, ...] = ()
    under: Callable[[Conventions], Kernel] | None = field(default=None, repr=False)
    check: Callable[[Mapping[str, Option]], str | None] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.scope:
            object.__setattr__(self, "scope", _usual_scope(self))

    @cached_property
    def signature(self) -> str:
        """The way to write it, such as `winsorize(x, std=4)`."""
        parts: list[str] = []
        for item in self.inputs:
            parts.extend([item.name, "..."] if item.many else [item.name])
        for keyword in self.keywords:
            parts.append(f"{keyword.name}={_show(keyword.default)}")
        return f"{self.name}({', '.join(parts)})"

    @cached_property
    def many(self) -> bool:
        """Whether the number of inputs is open."""
        return any(item.many for item in self.inputs)

    @cached_property
    def data_inputs(self) -> int:
        """How many of the inputs take an expression."""
        return sum(not item.constant for item in self.inputs)

    @cached_property
    def has_lookback(self) -> bool:
        """Whether one of the inputs is a number of days."""
        return any(item.kind is Kind.LOOKBACK for item in self.inputs)

    @cached_property
    def reads_across(self) -> bool:
        """Whether a cell depends on other instruments of its day."""
        return self.category in ("Cross Sectional", "Group") or self.reads_day

    def keyword(self, name: str) -> Keyword | None:
        """Return the keyword of that name, or None."""
        return next((keyword for keyword in self.keywords if keyword.name == name), None)

    def spelled(self, name: str) -> str:
        """Return the declared name that was written in any case, or what was written."""
        lowered = name.lower()
        declared = [keyword.name for keyword in self.keywords]
        declared += [known for item in self.inputs for known in item.names]
        return next((known for known in declared if known.lower() == lowered), name)

    def input_at(self, index: int, count: int) -> Input:
        """Return the input that the given place belongs to, where so many are given.

        What stands after a repeated input is counted from the end.
        """
        after = self._after_many
        from_end = max(count - index, 1)
        if after is not None and from_end <= after and index > len(self.inputs) - 1 - after:
            return self.inputs[-from_end]
        last = len(self.inputs) - 1 - (after or 0)
        return self.inputs[min(index, last)]

    @cached_property
    def _after_many(self) -> int | None:
        """How many inputs stand after the repeated one; None where none is repeated."""
        places = [place for place, item in enumerate(self.inputs) if item.many]
        return len(self.inputs) - 1 - places[0] if places else None

    def kernel_under(self, conventions: Conventions) -> Kernel:
        """Return the kernel that follows these conventions."""
        if self.under is None or conventions == USUAL:
            return self.kernel
        return self.under(conventions)


def _usual_scope(operator: Operator) -> tuple[str, ...]:
    if any(item.kind is Kind.VECTOR for item in operator.inputs):
        return ("REGULAR",)
    return ("COMBO", "REGULAR", "SELECTION") if operator.elementwise else ("COMBO", "REGULAR")


def _show(default: Option) -> str:
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, float | int):
        return f"{default:g}"
    if isinstance(default, tuple):
        return (
            '"' + ", ".join("NaN" if math.isnan(value) else f"{value:g}" for value in default) + '"'
        )
    return "none" if default is None else f'"{default}"'


class Registry(Mapping[str, Operator]):
    """Operators by canonical name; `resolve` knows aliases, left-out underscores, any case."""

    def __init__(self, operators: tuple[Operator, ...]) -> None:
        self._operators = {operator.name: operator for operator in operators}
        if len(self._operators) != len(operators):
            raise ValueError("an operator is registered twice")
        self._other: dict[str, str] = {}
        for operator in operators:
            self._other.setdefault(operator.name.replace("_", ""), operator.name)
        for operator in operators:
            for alias in operator.aliases:
                self._other[alias.lower()] = operator.name

    def __getitem__(self, name: str) -> Operator:
        return self._operators[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._operators)

    def __len__(self) -> int:
        return len(self._operators)

    def names(self, scope: str) -> frozenset[str]:
        """Return the canonical names of the operators that may be used in REGULAR, COMBO, ..."""
        return frozenset(name for name, known in self._operators.items() if scope in known.scope)

    def resolve(self, written: str) -> str:
        """Return the canonical name, or what was written where no operator has that name."""
        name = written.lower()
        return name if name in self._operators else self._other.get(name, written)
