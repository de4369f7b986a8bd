"""Several simulations in one request: what they must have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alphafoundry.brain.service.choices import Choices, SimulationRequest
from alphafoundry.brain.service.replies import RefusedError

FEWEST, MOST = 2, 10

COMMON_SETTINGS = ("instrumentType", "region", "delay", "language")
"""Settings that must be the same in all of them."""


def read_several(choices: Choices, bodies: Sequence[Any]) -> list[SimulationRequest]:
    """Return the requests that a list makes.

    Raises RefusedError: 400 with one object per item, empty where the item is right, or with a
    message for a list that is too short or too long; 403 as `Choices.read`.
    """
    if not FEWEST <= len(bodies) <= MOST:
        bound = f"at least {FEWEST}" if len(bodies) < FEWEST else f"no more than {MOST}"
        raise RefusedError(400, [f"Ensure this field has {bound} elements."])
    found: list[SimulationRequest] = []
    errors: list[Any] = []
    for body in bodies:
        try:
            found.append(choices.read(body))
            errors.append(_differences(found[0].body, found[-1].body))
        except RefusedError as problem:
            if problem.status != 400:
                raise
            errors.append(problem.body)
    if any(errors):
        raise RefusedError(400, errors)
    return found


def _differences(first: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return what keeps two simulations from running together, as BRAIN's errors."""
    message = "All simulations of a list must have the same {}."
    errors: dict[str, Any] = {}
    if other["type"] != first["type"]:
        errors["type"] = [message.format("type")]
    unlike = [
        name for name in COMMON_SETTINGS if other["settings"][name] != first["settings"][name]
    ]
    if unlike:
        errors["settings"] = {name: [message.format(name)] for name in unlike}
    return errors
