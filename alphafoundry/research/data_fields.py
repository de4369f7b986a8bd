"""The data fields that expressions may use: those the configuration wants, kept for a day.

A consultant's BRAIN offers 85,000 of them in pages of 50, so they are asked for by data set and
kept on disk; a local market has a few, and is asked each time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from alphafoundry.brain import BrainClient
from alphafoundry.brain.models import DataFieldInfo
from alphafoundry.configuration import suggest
from alphafoundry.errors import ConfigurationError
from alphafoundry.expressions import DEFAULT_FIELDS, FieldInfo
from alphafoundry.settings import FoundrySettings
from alphafoundry.whole_file import replace_file

FIELD_TYPES: tuple[Literal["MATRIX"], Literal["VECTOR"], Literal["GROUP"]] = (
    "MATRIX",
    "VECTOR",
    "GROUP",
)

FRESH_SECONDS = 24 * 3600.0

log = logging.getLogger(__name__)


async def usable_fields(brain: BrainClient, settings: FoundrySettings) -> dict[str, FieldInfo]:
    """Return what the market offers and the configuration wants, with the unit where it is known.

    Groups come from whatever data set, because settings and operators need them.
    """
    fields = {}
    for field in await _offered(brain, settings):
        kind = next((known for known in FIELD_TYPES if known == field.type), None)
        if kind is not None:
            fields[field.id] = DEFAULT_FIELDS.get(field.id) or FieldInfo(
                field.id, kind, "", field.description or ""
            )
    return fields


async def _offered(brain: BrainClient, settings: FoundrySettings) -> list[DataFieldInfo]:
    wanted = settings.fields
    alpha = settings.alpha
    place = [alpha.instrument_type, alpha.region, alpha.delay, alpha.universe]
    identity = [brain.service, place, wanted.model_dump(mode="json")]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    path = settings.home / "cache" / f"data-fields-{digest}.json"
    remote = brain.market_label is None
    if remote and (kept := _kept(path)) is not None:
        return kept
    options: Mapping[str, Any] = {
        "least_coverage": wanted.coverage,
        "least_users": wanted.user_count,
    }
    if wanted.datasets:
        fields = []
        for name in wanted.datasets:
            found = await brain.data_fields(alpha, dataset=name, **options)
            if not found:
                await _check_data_set(brain, settings, name)
            fields += found
        fields += await brain.data_fields(alpha, type="GROUP")
    else:
        fields = await brain.data_fields(alpha, **options)
    if remote:
        _keep(path, fields)
    return fields


async def _check_data_set(brain: BrainClient, settings: FoundrySettings, name: str) -> None:
    """Refuse the id of a data set that the service does not have; tell of one that gave nothing."""
    known = await brain.data_sets(settings.alpha)
    if name not in known:
        raise ConfigurationError(
            f"fields.datasets: the service has no data set {name!r} for region "
            f"{settings.alpha.region}, delay {settings.alpha.delay}, universe "
            f"{settings.alpha.universe}; {suggest(name, known)}"
        )
    log.warning("fields.datasets: no field of %s has the coverage and users asked for", name)


def _kept(path: Path) -> list[DataFieldInfo] | None:
    try:
        if not 0 <= time.time() - path.stat().st_mtime < FRESH_SECONDS:
            return None
        return [DataFieldInfo.model_validate(one) for one in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError):
        return None


def _keep(path: Path, fields: list[DataFieldInfo]) -> None:
    try:
        content = [field.model_dump(mode="json", by_alias=True) for field in fields]
        replace_file(path, json.dumps(content).encode())
    except OSError as problem:
        log.warning("%s: the data fields are asked for again next time: %s", path, problem)
