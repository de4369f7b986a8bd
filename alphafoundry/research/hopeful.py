"""Which simulated alphas are worth mining."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

StatisticName = Literal[
    "sharpe",
    "fitness",
    "turnover",
    "returns",
    "drawdown",
    "margin",
    "pnl",
    "long_count",
    "short_count",
]
Comparison = Literal[">", ">=", "<", "<="]

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_TEXT = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*(-?[\d.]+(?:[eE][-+]?\d+)?)\s*")


class Threshold(BaseModel):
    """One condition on one statistic; reads from a text such as "fitness > 0.5".

    The units are those of the statistics: turnover, returns, drawdown and margin are fractions,
    pnl is dollars.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    statistic: StatisticName
    comparison: Comparison
    value: float = Field(allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        match = _TEXT.fullmatch(given)
        if match is None:
            raise ValueError(
                f"{given!r} is not a condition; write a statistic, one of > >= < <=, and a "
                f"number, like 'fitness > 0.5' (statistics: {', '.join(get_args(StatisticName))})"
            )
        return {"statistic": match[1], "comparison": match[2], "value": match[3]}

    def __str__(self) -> str:
        return f"{self.statistic} {self.comparison} {self.value:g}"

    def reason_against(self, statistics: object) -> str | None:
        """Return why `statistics` do not meet the condition, None where they do.

        A statistic that is absent, None or NaN does not meet any condition.
        """
        found = getattr(statistics, self.statistic, None)
        if found is None or math.isnan(found):
            return f"{self.statistic} is not known, needs {self.comparison} {self.value:g}"
        if _COMPARE[self.comparison](found, self.value):
            return None
        return f"{self.statistic} {found:g}, needs {self.comparison} {self.value:g}"


class HopefulRule(BaseModel):
    """Conditions that all must hold; reads from a list of texts such as ["fitness > 0.5"].

    The default is the one condition fitness > 0.5.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    thresholds: tuple[Threshold, ...] = (Threshold(statistic="fitness", comparison=">", value=0.5),)

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, given: Any) -> Any:
        if isinstance(given, str):
            return {"thresholds": [given]}
        if isinstance(given, list | tuple):
            return {"thresholds": given}
        return given

    def __str__(self) -> str:
        return " and ".join(map(str, self.thresholds)) or "anything"

    def reasons_against(self, statistics: object) -> tuple[str, ...]:
        """Return why the alpha is not hopeful, one line per condition missed; empty if it is.

        Parameters
        ----------
        statistics : anything with the statistics as attributes (`Statistics`, `AlphaInfo`)
        """
        reasons = (threshold.reason_against(statistics) for threshold in self.thresholds)
        return tuple(reason for reason in reasons if reason is not None)

    def is_hopeful(self, statistics: object) -> bool:
        """Return whether every condition holds."""
        return not self.reasons_against(statistics)
