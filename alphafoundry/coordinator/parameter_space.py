"""What values a search may try: ranges and choices per parameter, and the grid over them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from alphafoundry.backtest import Parameter, Strategy
from alphafoundry.errors import ConfigurationError

Value = float | int | str
MOST_GRID_POINTS = 1_000_000


class ParameterSpec(BaseModel):
    """The values of one parameter.

    Written as [min, max] (two numbers), a list of choices, one value, or a mapping with min, max
    and step, points or log; or with choices. `points` is how many values a grid takes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: float | None = None
    max: float | None = None
    step: float | None = Field(default=None, gt=0)
    points: int | None = Field(default=None, ge=1, le=10_000)
    log: bool = False
    choices: tuple[Any, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, given: object) -> object:
        if isinstance(given, list | tuple):
            if len(given) == 2 and all(_is_number(value) for value in given):
                return {"min": given[0], "max": given[1]}
            return {"choices": list(given)}
        return given if isinstance(given, dict | BaseModel) else {"choices": [given]}

    @model_validator(mode="after")
    def _complete(self) -> ParameterSpec:
        if self.choices is not None:
            if (self.min, self.max, self.step, self.points) != (None, None, None, None):
                raise ValueError("has choices and a range; leave one out")
            if not self.choices:
                raise ValueError("has no choices; give at least one value")
            for value in self.choices:
                if not (_is_number(value) or isinstance(value, str)):
                    raise ValueError(f"has the choice {value!r}; choices are numbers or text")
            return self
        if self.min is None or self.max is None:
            raise ValueError("is not a range; give [min, max], min and max, or choices")
        if not (math.isfinite(self.min) and math.isfinite(self.max)):
            raise ValueError("has an end that is not a finite number")
        if self.min > self.max:
            raise ValueError(f"has min {self.min:g} above max {self.max:g}")
        if self.step is not None and (self.max - self.min) / self.step >= MOST_GRID_POINTS:
            raise ValueError(f"has more than {MOST_GRID_POINTS} steps; give a larger step")
        if self.log and self.min <= 0:
            raise ValueError("is logarithmic, so its min must be above 0")
        if self.log and self.step is not None:
            raise ValueError("is logarithmic and has a step; leave one out")
        return self

    def grid(self, *, whole: bool, points: int) -> list[Value]:
        """Return the values of a grid, ascending; `points` where neither step nor points is set."""
        if self.choices is not None:
            return list(self.choices)
        low, high = self._ends()
        if self.step is not None:
            count = math.floor((high - low) / self.step + 1e-9) + 1
            values = low + self.step * np.arange(count)
        elif self.log:
            values = np.geomspace(low, high, self.points or points)
        else:
            values = np.linspace(low, high, self.points or points)
        if whole:
            return list(dict.fromkeys(round(value) for value in values.tolist()))
        return list(dict.fromkeys(values.tolist()))

    def size(self, *, whole: bool) -> int | None:
        """Return how many values there are, None where it is a continuum."""
        if self.choices is not None:
            return len(self.choices)
        if self.step is not None or self.points is not None:
            return len(self.grid(whole=whole, points=0))
        low, high = self._ends()
        return int(high) - int(low) + 1 if whole else None

    def draw(self, generator: np.random.Generator, *, whole: bool) -> Value:
        """Return one value, uniform (in the logarithm where `log`)."""
        if self.choices is not None:
            return self.choices[int(generator.integers(len(self.choices)))]  # type: ignore[no-any-return]
        return self.at(float(generator.random()), whole=whole)

    def at(self, position: float, *, whole: bool) -> Value:
        """Return the value at a position from 0 to 1 of the range or the list of choices."""
        if self.choices is not None:
            place = min(int(position * len(self.choices)), len(self.choices) - 1)
            return self.choices[place]  # type: ignore[no-any-return]
        low, high = self._ends()
        if self.step is not None:
            values = self.grid(whole=whole, points=0)
            return values[min(int(position * len(values)), len(values) - 1)]
        if whole:
            if self.log:
                return round(math.exp(_between(math.log(low), math.log(high), position)))
            return min(int(low) + int(position * (int(high) - int(low) + 1)), int(high))
        if self.log:
            return math.exp(_between(math.log(low), math.log(high), position))
        return _between(low, high, position)

    def _ends(self) -> tuple[float, float]:
        if self.min is None or self.max is None:
            raise ValueError("a list of choices has no ends")
        return self.min, self.max


def _between(low: float, high: float, position: float) -> float:
    return low + position * (high - low)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(strategy: Strategy, name: str) -> bool:
    """Return whether the strategy takes whole numbers for this parameter."""
    return strategy.parameters[name].kind == "int"


def default_spec(parameter: Parameter) -> ParameterSpec:
    """Return the range that a search takes for a parameter that the document says nothing of.

    A number is searched from half to twice its default, within what the strategy allows: the
    declared bounds are what is valid, not what is sensible. A choice, and 0, keep their default.
    """
    default = parameter.default
    if parameter.kind == "choice" or not _is_number(default) or not default:
        return ParameterSpec(choices=(default,))
    assert isinstance(default, int | float)
    ends = sorted((default / 2, default * 2))
    low = ends[0] if parameter.low is None else max(ends[0], parameter.low)
    high = ends[1] if parameter.high is None else min(ends[1], parameter.high)
    if parameter.kind == "int":
        low, high = float(math.ceil(low)), float(math.floor(high))
    return ParameterSpec(min=low, max=high)


def grid_of(
    strategy: Strategy, space: Mapping[str, ParameterSpec], most: int | None
) -> list[list[Value]]:
    """Return the values per parameter of a grid with at most `most` points where that is open.

    Continuous ranges without step or points get the same number of values each, the largest that
    keeps the grid within `most` (1000 where it is None). Raises ConfigurationError where the
    others alone make more than MOST_GRID_POINTS.
    """
    open_names = [
        name
        for name, spec in space.items()
        if spec.choices is None and spec.step is None and spec.points is None
    ]
    fixed = math.prod(
        len(spec.grid(whole=is_whole(strategy, name), points=0))
        for name, spec in space.items()
        if name not in open_names
    )
    target = 1000 if most is None else most

    def axes(points: int) -> list[list[Value]]:
        return [
            spec.grid(whole=is_whole(strategy, name), points=points) for name, spec in space.items()
        ]

    if fixed > MOST_GRID_POINTS:
        raise ConfigurationError(
            f"the grid of {strategy.name} has {fixed} points, more than {MOST_GRID_POINTS}; give "
            "larger steps or another method"
        )
    if not open_names:
        return axes(0)
    points = max(1, math.floor((target / max(fixed, 1)) ** (1 / len(open_names)) + 1e-9))
    return axes(points)


def grid_points(
    axes: Sequence[Sequence[Value]], names: Sequence[str]
) -> Iterator[dict[str, Value]]:
    """Yield every combination, the last parameter fastest."""
    for values in itertools.product(*axes):
        yield dict(zip(names, values, strict=True))
