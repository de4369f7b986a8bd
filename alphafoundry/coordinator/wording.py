"""Numbers as a person reads them in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def counted(count: int, thing: str) -> str:
    """Return "1 phase", "2 phases"."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def short(value: Any) -> str:
    """Return a parameter's value, numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def metrics_line(numbers: Mapping[str, float | None]) -> str:
    """Return the main metrics of a backtest in one line."""

    def shown(name: str, form: str) -> str:
        value = numbers.get(name)
        return "none" if value is None else format(value, form)

    known = numbers.get("turnover") is not None
    trading = f", turnover {shown('turnover', '.1%')} a day" if known else ""
    if numbers.get("cost") is not None:
        trading += f", costs {shown('cost', '.1%')} of equity in all"
    return (
        f"sharpe {shown('sharpe', '.2f')}, return {shown('total_return', '+.1%')}, "
        f"drawdown {shown('max_drawdown', '.1%')}{trading}"
    )
