"""How many examples the property tests try: few in `make test`, all in `make test-long`.

Examples are the same in each run, and a busy machine is no reason to fail.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

THOROUGH = 100
SHORT = 12
"""Examples of a test that says nothing else, with `--hypothesis-profile=thorough` and without."""


def register_profiles() -> None:
    """Tell Hypothesis of both profiles, and take the short one."""
    on_any_machine = settings(
        deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.register_profile("short", on_any_machine, max_examples=SHORT)
    settings.register_profile("thorough", on_any_machine, max_examples=THOROUGH)
    settings.load_profile("short")


def examples(thorough: int) -> int:
    """Return how many of so many examples are tried in this run."""
    return thorough * settings().max_examples // THOROUGH
