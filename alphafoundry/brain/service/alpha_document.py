"""An alpha as BRAIN's JSON object."""

from __future__ import annotations

import hashlib
import json
import math
import string
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from alphafoundry.brain.service.quotas import eastern_text
from alphafoundry.brain.service.sessions import USER
from alphafoundry.expressions import Expression
from alphafoundry.market.identity import DataVersion
from alphafoundry.simulation.simulator import SimulationResult
from alphafoundry.simulation.statistics import grade
from alphafoundry.simulation.super_simulation import SuperResult

KEPT_RECORD_SETS = ("yearly-stats", "planted-effects")
"""Small tables that are kept with the alpha; the long ones are computed again when asked for."""

_LETTERS = string.digits + string.ascii_letters
_ID_LENGTH = 8


def content_key(result: SimulationResult) -> str:
    """Return a text that is equal for equal meaning and settings."""
    canonical = result.expression.canonical
    if isinstance(result, SuperResult):
        canonical = f"{result.selection.canonical}; {canonical}"
    content = json.dumps([canonical, result.settings.to_brain()], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def alpha_id(service: str, key: str, earlier: int) -> str:
    """Return the id of the alpha that is number `earlier` + 1 with the content `key`.

    The same market, expression and settings give the same id on every machine.
    """
    digest = hashlib.sha256(f"{service}/{key}/{earlier}".encode()).digest()
    number = int.from_bytes(digest[:16], "big")
    letters = []
    for _ in range(_ID_LENGTH):
        number, index = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[index])
    return "".join(letters)


def alpha_document(
    result: SimulationResult, *, alpha: str, created: datetime, version: DataVersion
) -> dict[str, Any]:
    """Return the JSON object of a fresh alpha.

    Besides BRAIN's keys it has `notes`: what a person should know of the local market, such as
    a universe with fewer names; `dataVersion` and `dataUntil`: which bars it was simulated on,
    and their last day; `expectedSharpe`: its true Sharpe ratio on a synthetic market; and a SUPER
    alpha `components`, the ids of its alphas.
    """
    moment = eastern_text(created)
    return {
        "id": alpha,
        "type": "SUPER" if isinstance(result, SuperResult) else "REGULAR",
        "author": USER,
        "settings": {
            **result.settings.to_brain(),
            "maxPosition": "OFF",
            "startDate": result.statistics.start_date,
            "endDate": result.statistics.end_date,
        },
        **_codes(result),
        "dateCreated": moment,
        "dateSubmitted": None,
        "dateModified": moment,
        "name": None,
        "favorite": False,
        "hidden": False,
        "color": None,
        "category": None,
        "tags": [],
        "classifications": [],
        "grade": grade(result.statistics.fitness, result.settings.delay),
        "stage": "IS",
        "status": "UNSUBMITTED",
        "is": {
            **result.statistics.to_brain(),
            "checks": [check.to_brain() for check in result.checks],
        },
        "os": None,
        "train": result.train.to_brain() if result.train else None,
        "test": result.test.to_brain() if result.test else None,
        "prod": None,
        "competitions": None,
        "themes": None,
        "pyramids": None,
        "pyramidThemes": None,
        "team": None,
        "osmosisPoints": None,
        "notes": list(result.notes),
        "dataVersion": version.fingerprint,
        "dataUntil": version.last.isoformat(),
        "expectedSharpe": _finite(result.expected_sharpe),
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 3)


def _codes(result: SimulationResult) -> dict[str, Any]:
    if not isinstance(result, SuperResult):
        return {"regular": _code(result.expression)}
    return {
        "combo": _code(result.expression),
        "selection": _code(result.selection),
        "components": [alpha.id for alpha in result.components],
    }


def _code(expression: Expression) -> dict[str, Any]:
    return {
        "code": expression.text,
        "description": None,
        "operatorCount": expression.operator_count,
    }


def with_checks(document: Mapping[str, Any], checks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the alpha with other checks, and the correlation that they found."""
    found = {check["name"]: check.get("value") for check in checks}
    return {
        **document,
        "is": {
            **document["is"],
            "selfCorrelation": found.get("SELF_CORRELATION"),
            "prodCorrelation": found.get("PROD_CORRELATION"),
            "checks": checks,
        },
    }


def as_submitted(document: Mapping[str, Any], moment: datetime) -> dict[str, Any]:
    """Return the alpha as it is once submitted."""
    text = eastern_text(moment)
    return {
        **document,
        "stage": "OS",
        "status": "ACTIVE",
        "os": {"startDate": text[:10]},
        "dateSubmitted": text,
        "dateModified": text,
    }
