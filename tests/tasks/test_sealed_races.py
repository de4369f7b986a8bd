"""Races of algorithms are held on days before the sealed ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from alphafoundry.algorithms.race_course import lay_out
from alphafoundry.settings import FoundrySettings, load_settings
from tasks.algorithms.run import _without_sealed_days


def settings_in(home: Path, **flags: object) -> FoundrySettings:
    return load_settings(environment={}, **{"home": home, **flags})


@pytest.fixture
def home(tmp_path: Path, market_cache: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "cache").symlink_to(market_cache)
    return tmp_path / "home"


def test_no_prompt_trial_or_race_sees_a_sealed_day(home: Path) -> None:
    settings = settings_in(home)
    whole = lay_out(settings)
    course = _without_sealed_days(whole, settings)
    days = whole.panel.dates
    assert len(days) - len(course.panel.dates) == round(0.3 * len(days)) + 5
    sealed_from = days[len(days) - round(0.3 * len(days))]
    assert course.kept_apart.startswith(f"{sealed_from} to {days[-1]} are sealed")
    last = course.panel.dates[-1]
    assert last < sealed_from
    assert course.smoke_bars().dates[-1] < course.panel.dates[course.first_race_day] <= last
    np.testing.assert_array_equal(course.panel.dates, days[: len(course.panel.dates)])
    assert course.panel.market_id == whole.panel.market_id


def test_without_sealed_days_the_race_says_so(home: Path) -> None:
    settings = settings_in(home, holdout=0)
    whole = lay_out(settings)
    course = _without_sealed_days(whole, settings)
    assert course.panel is whole.panel
    assert course.kept_apart == "no days are kept apart (holdout is 0)"
