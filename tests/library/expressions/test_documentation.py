"""The operator page says what the registry says."""

from __future__ import annotations

from pathlib import Path

from alphafoundry.expressions import OPERATORS
from alphafoundry.expressions.documentation import operators_page

PAGE = Path(__file__).resolve().parents[3] / "docs" / "operators.md"


def test_every_operator_is_on_the_page() -> None:
    page = operators_page()
    missing = [found.name for found in OPERATORS.values() if f"| `{found.name}(" not in page]
    assert missing == []


def test_the_committed_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == operators_page()
