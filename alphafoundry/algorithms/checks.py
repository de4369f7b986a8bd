"""Mistakes in the settings of the algorithms flow that can be told before anything is started."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from alphafoundry.algorithms.generation import assign
from alphafoundry.algorithms.providers import KEY_VARIABLES, key_from_environment
from alphafoundry.algorithms.race_course import RaceCourse, lay_out
from alphafoundry.errors import ConfigurationError
from alphafoundry.settings import FoundrySettings

_checked: dict[FoundrySettings, RaceCourse] = {}
"""A course that was laid out to see whether it can be, until a run takes it."""


def check_algorithms(
    settings: FoundrySettings, given: Mapping[str, Any], say: Callable[[str], None] | None = None
) -> None:
    """Check the names of models and tickers, the keys, and the market.

    Parameters
    ----------
    given : parameters of the flow that were given
    say : called with one line at each step that takes time

    Raises
    ------
    FoundryError : a mistake, in one line
    """
    check_names(given)
    for provider in KEY_VARIABLES:
        if settings.algorithms.provider in ("auto", provider):
            key_from_environment(provider, os.environ)
    course = _lay_out(settings, given, say)
    if settings.algorithms.models:
        assign(settings.algorithms.models, course.prompt_note(), seed=settings.seed)
    _checked[settings] = course


def check_names(given: Mapping[str, Any]) -> None:
    """Raise ConfigurationError where a list of models or tickers was given and is empty."""
    for name in ("models", "ticker"):
        names = given.get(name)
        listed = names.split(",") if isinstance(names, str) else names
        if listed is not None and not any(str(one).strip() for one in listed):
            raise ConfigurationError(f"--{name}: the list is empty; name some, or leave it out")


def course_of(
    settings: FoundrySettings, given: Mapping[str, Any], say: Callable[[str], None] | None = None
) -> RaceCourse:
    """Return the course of a run: the one that was checked just before, or a new one."""
    found = _checked.pop(settings, None)
    _checked.clear()
    return found or _lay_out(settings, given, say)


def _lay_out(
    settings: FoundrySettings, given: Mapping[str, Any], say: Callable[[str], None] | None
) -> RaceCourse:
    chosen = given.get("market") is not None or bool(os.environ.get("FOUNDRY_MARKET"))
    return lay_out(settings, market_was_chosen=chosen, say=say)
