"""Which of BRAIN's data sets a field of a local market belongs to, by its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from alphafoundry.expressions import DEFAULT_FIELDS


@dataclass(frozen=True)
class DataSet:
    """A data set as GET /data-sets names it."""

    id: str
    name: str
    category: str
    category_name: str

    def reference(self) -> dict[str, str]:
        """Return id and name, as a field shows them."""
        return {"id": self.id, "name": self.name}

    def of_category(self) -> dict[str, str]:
        """Return the category's id and name."""
        return {"id": self.category, "name": self.category_name}

    def of_subcategory(self) -> dict[str, str]:
        """Return the subcategory's id and name."""
        part = self.category_name.lower().replace(" ", "-")
        return {"id": f"{self.category}-{part}", "name": self.category_name}


PRICE_VOLUME = DataSet("pv1", "Price Volume Data for Equity", "pv", "Price Volume")
FUNDAMENTAL = DataSet(
    "fundamental6", "Company Fundamental Data for Equity", "fundamental", "Fundamental"
)
OTHER = DataSet("other1", "Further columns of the market's file", "other", "Other")

CATEGORIES = (
    *("pv", "fundamental", "analyst", "earnings", "imbalance", "insiders", "institutions", "macro"),
    *("model", "news", "option", "other", "risk", "sentiment", "shortinterest", "socialmedia"),
)
"""Categories of data that BRAIN knows."""

_FUNDAMENTAL_FIELDS = frozenset(
    """assets assets_curr bookvalue_ps capex cash cash_st cashflow cashflow_dividends cashflow_fin
    cashflow_invst cashflow_op cogs current_ratio debt debt_lt debt_st depre_amort ebit ebitda
    employee enterprise_value eps equity goodwill income income_beforeextra income_tax
    income_tax_payable interest_expense inventory inventory_turnover invested_capital liabilities
    liabilities_curr operating_expense operating_income ppent pretax_income rd_expense receivable
    retained_earnings return_assets return_equity revenue sales sales_growth sales_ps sga_expense
    working_capital""".split()  # noqa: SIM905 - a list would take a page
)


def data_set_of(field: str) -> DataSet:
    """Return the data set of a field."""
    if field in DEFAULT_FIELDS:
        return PRICE_VOLUME
    return FUNDAMENTAL if field in _FUNDAMENTAL_FIELDS else OTHER


def data_sets_of(fields: Iterable[str]) -> dict[str, Any]:
    """Return what a selection may ask of an alpha's data: data sets and their categories."""
    found = {data_set_of(field) for field in fields}
    sets = tuple(sorted(each.id for each in found))
    categories = tuple(sorted({each.category for each in found}))
    return {
        "datasets": sets,
        "datacategories": categories,
        "dataset_count": float(len(sets)),
        "datacategory_count": float(len(categories)),
    }
