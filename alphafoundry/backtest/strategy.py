"""What a strategy is: a name, declared parameters, and a function from bars to signals."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from alphafoundry.compilation import FloatMatrix
from alphafoundry.errors import BacktestError, UnknownStrategy, WrongParameter

if TYPE_CHECKING:
    from alphafoundry.finance.bars import Bars

Value = float | int | str
Values = Mapping[str, Value]
Fill = Callable[["Bars", Values, FloatMatrix], None]
"""fill(bars, values, out) writes the signals into out, shape (n_instruments, n_days)."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a strategy.

    Attributes
    ----------
    kind : "int", "float" or "choice"
    default : the value where none is given; None makes the parameter required
    low, high : smallest and largest value, both allowed; None for a choice
    choices : what a choice may be
    """

    kind: Literal["int", "float", "choice"]
    default: Value | None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def checked(self, strategy: str, name: str, value: object) -> Value:
        """Return the value in the parameter's type; raises WrongParameter."""
        if self.kind == "choice":
            if value not in self.choices:
                raise WrongParameter(
                    f"{strategy}.{name}: {value!r} is not allowed; "
                    f"choose one of {', '.join(self.choices)}"
                )
            return str(value)
        # NumPy's integers are no int, and a grid made with NumPy holds them.
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise WrongParameter(f"{strategy}.{name}: {value!r} is not a number")
        value = float(value)
        if self.kind == "int" and not value.is_integer():
            raise WrongParameter(f"{strategy}.{name}: {value:g} is not a whole number")
        if (self.low is not None and not value >= self.low) or (
            self.high is not None and not value <= self.high
        ):
            raise WrongParameter(
                f"{strategy}.{name}: {value:g} is out of range {self.low:g} to {self.high:g}"
            )
        return int(value) if self.kind == "int" else value


WINDOW_MOST = 2000
"""Longest window, in days."""

DIRECTION = Parameter("choice", "long_short", choices=("long_short", "long"))


def down_of(values: Values) -> float:
    """Return the signal of a fall: -1, or 0 where the direction is long only."""
    return -1.0 if values["direction"] == "long_short" else 0.0


@dataclass(frozen=True, eq=False)
class Strategy:
    """A rule that turns bars into signals.

    Attributes
    ----------
    name : as the YAML names it; the template for an expression
    parameters : name to Parameter
    description : one line for people
    fill : writes the signals of every day. A signal is between -1 (short) and 1 (long) and uses
        bars up to its own day only; 0 where a window is not full or a close is missing
    needs : fields of the bars that must be known
    check : raises WrongParameter where parameters do not go together
    identity : what tells it from other strategies in the key of a stored signal; its name where
        nothing else is given
    """

    name: str
    parameters: Mapping[str, Parameter]
    description: str
    fill: Fill
    needs: tuple[str, ...] = ("close",)
    check: Callable[[Values], None] | None = None
    identity: str = ""

    def __post_init__(self) -> None:
        if not self.identity:
            object.__setattr__(self, "identity", self.name)

    def complete(self, values: Mapping[str, object]) -> dict[str, Value]:
        """Return all parameters in declared order, checked, with defaults for the missing.

        Raises WrongParameter.
        """
        for name in values:
            if name not in self.parameters:
                raise WrongParameter(
                    f"{self.name}: unknown parameter {name!r}; {_near(name, self.parameters)}"
                )
        found: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            value = values.get(name, parameter.default)
            if value is None:
                raise WrongParameter(f"{self.name}: parameter {name!r} is missing; give its value")
            found[name] = parameter.checked(self.name, name, value)
        if self.check is not None:
            self.check(found)
        return found

    def require(self, bars: Bars) -> None:
        """Raise BacktestError where the bars lack a field that the strategy needs."""
        for name in self.needs:
            if not bars.has(name):
                raise BacktestError(
                    f"strategy {self.name} needs {name}, which {bars.label} does not hold; "
                    "choose another strategy or other data"
                )

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={item.default}" for name, item in self.parameters.items())
        return f"Strategy({self.name}({shown}))"


def strategy_from(name: str, known: Mapping[str, Strategy]) -> Strategy:
    """Return the strategy of that name; raises UnknownStrategy with a suggestion."""
    if name not in known:
        raise UnknownStrategy(f"unknown strategy {name!r}; {_near(name, known)}")
    return known[name]


def _near(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name.lower()[:64], names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(names)}"
