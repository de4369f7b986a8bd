"""Which simulated alphas are worth mining, and why others are not."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from alphafoundry.research import HopefulRule


def test_the_default_rule_is_fitness_above_one_half() -> None:
    rule = HopefulRule()
    assert rule.is_hopeful(SimpleNamespace(fitness=0.51))
    assert rule.reasons_against(SimpleNamespace(fitness=0.5)) == ("fitness 0.5, needs > 0.5",)


def test_every_missed_condition_is_a_reason() -> None:
    rule = HopefulRule.model_validate(["sharpe >= 1.25", "turnover < 0.7", "long_count>=10"])
    statistics = SimpleNamespace(sharpe=1.25, turnover=0.81, long_count=4)
    assert rule.reasons_against(statistics) == (
        "turnover 0.81, needs < 0.7",
        "long_count 4, needs >= 10",
    )
    assert str(rule) == "sharpe >= 1.25 and turnover < 0.7 and long_count >= 10"


@pytest.mark.parametrize("unknown", [None, math.nan])
def test_an_unknown_statistic_is_not_hopeful(unknown: float | None) -> None:
    reasons = HopefulRule().reasons_against(SimpleNamespace(fitness=unknown))
    assert reasons == ("fitness is not known, needs > 0.5",)
    assert HopefulRule().reasons_against(SimpleNamespace()) == reasons


@pytest.mark.parametrize(
    "text", ["fitness", "fitness = 1", "beauty > 1", "fitness > much", "1 > 2"]
)
def test_a_condition_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        HopefulRule.model_validate([text])
