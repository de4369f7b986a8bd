"""How alike an alpha is to those submitted before, and whether that keeps it out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alphafoundry.brain.service.service_store import State
from alphafoundry.simulation.correlation import pnl_correlation

LIMIT = 0.7
BETTER = 1.1
"""A correlated alpha is let in where its Sharpe is this many times that of each one above."""


@dataclass(frozen=True)
class Related:
    """A submitted alpha, and its PnL correlation over the last four years."""

    document: Mapping[str, Any]
    correlation: float

    @property
    def sharpe(self) -> float:
        """Its Sharpe; minus infinity where it has none."""
        value = self.document["is"].get("sharpe")
        return -math.inf if value is None else float(value)


def related_alphas(state: State, alpha_id: str) -> list[Related]:
    """Return the submitted alphas of its type other than `alpha_id`, most alike first.

    A SUPER alpha is like its components by nature, so they do not count against it. An alpha whose
    correlation is not defined (a PnL that never changes) is left out.
    """
    days, dollars = state.alphas.pnl(alpha_id)
    own = state.alphas.find(alpha_id)
    kind = own["type"] if own else None
    found = []
    for document in state.alphas.submitted():
        if document["id"] != alpha_id and document["type"] == kind:
            correlation = pnl_correlation(days, dollars, *state.alphas.pnl(document["id"]))
            if not math.isnan(correlation):
                found.append(Related(document, correlation))
    return sorted(found, key=lambda other: -other.correlation)


def correlation_checks(
    document: Mapping[str, Any], related: Sequence[Related]
) -> list[dict[str, Any]]:
    """Return the checks SELF_CORRELATION and PROD_CORRELATION.

    They are alike, since this server has one account: all submitted alphas are its own.
    """
    own = self_correlation_check(document, related)
    return [own, {**own, "name": "PROD_CORRELATION"}]


def self_correlation_check(
    document: Mapping[str, Any], related: Sequence[Related]
) -> dict[str, Any]:
    """Return the SELF_CORRELATION check.

    It passes where the largest correlation is at most 0.7, and also where the Sharpe is at least
    10 % above that of every submitted alpha beyond 0.7. Value 0 where nothing was submitted.
    """
    value = max((other.correlation for other in related), default=0.0)
    above = [other.sharpe for other in related if other.correlation > LIMIT]
    sharpe = document["is"].get("sharpe")
    better = sharpe is not None and all(sharpe >= BETTER * other for other in above)
    return {
        "name": "SELF_CORRELATION",
        "result": "PASS" if not above or better else "FAIL",
        "limit": LIMIT,
        "value": round(value, 4),
    }


COLUMNS = (
    ("id", "Id", "string"),
    ("name", "Name", "string"),
    ("instrumentType", "Instrument type", "string"),
    ("region", "Region", "string"),
    ("universe", "Universe", "string"),
    ("correlation", "Correlation", "decimal"),
    ("sharpe", "Sharpe", "decimal"),
    ("returns", "Returns", "percent"),
    ("turnover", "Turnover", "percent"),
    ("fitness", "Fitness", "decimal"),
    ("margin", "Margin", "permyriad"),
)


def _schema(name: str, title: str, columns: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    properties = [{"name": one, "title": shown, "type": kind} for one, shown, kind in columns]
    return {"name": name, "title": title, "properties": properties}


def correlation_table(related: Sequence[Related]) -> dict[str, Any]:
    """Return the answer of GET /alphas/{id}/correlations/self."""
    rows = []
    for other in related:
        document = other.document
        settings, statistics = document["settings"], document["is"]
        rows.append(
            [
                document["id"],
                document["name"],
                settings["instrumentType"],
                settings["region"],
                settings["universe"],
                round(other.correlation, 4),
                *(statistics.get(name) for name, _, _ in COLUMNS[6:]),
            ]
        )
    values = [round(other.correlation, 4) for other in related]
    return {
        "schema": _schema("selfCorrelation", "Self Correlation", COLUMNS),
        "max": max(values, default=0.0),
        "min": min(values, default=0.0),
        "records": rows,
    }
