"""Stored alphas, as the selection of a SUPER alpha sees them: by their properties."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import cast

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import SimulationError
from alphafoundry.expressions import Expression, parse
from alphafoundry.expressions.selection import choose, evaluate_selection
from alphafoundry.expressions.units import FieldInfo, FieldType
from alphafoundry.simulation.result import SimulationResult
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.simulation.super_settings import SuperSettings

Property = float | str | Collection[str] | None

MOST_OPERATORS = 8000
"""Operators that the chosen alphas may have together; BRAIN leaves out the last ones beyond."""


def _known(kind: FieldType, **described: str) -> dict[str, FieldInfo]:
    return {name: FieldInfo(name, kind, "", text) for name, text in described.items()}


PROPERTIES: Mapping[str, FieldInfo] = MappingProxyType(
    {
        **_known(
            "MATRIX",
            own="1, since a local account sees its own alphas only",
            favorite="1 where the person marked it",
            turnover="in sample, as a fraction",
            long_count="long positions on an average day",
            short_count="short positions on an average day",
            decay="the setting",
            truncation="the setting",
            operator_count="operators of its expression",
            datafield_count="data fields of its expression",
            dataset_count="data sets that these are from",
            datacategory_count="categories that these are from",
            self_correlation="largest correlation with a submitted alpha",
            sharpe="in sample; not on BRAIN",
            fitness="in sample; not on BRAIN",
            returns="in sample; not on BRAIN",
            drawdown="in sample; not on BRAIN",
            margin="in sample; not on BRAIN",
            pnl="in sample, dollars; not on BRAIN",
        ),
        **_known(
            "TEXT",
            id="the alpha's id; not on BRAIN",
            name="what the person named it",
            category="what the person chose, NONE without a choice",
            color="what the person chose, NONE without a choice",
            universe="the setting",
            neutralization="the setting",
            status="UNSUBMITTED or ACTIVE; not on BRAIN, where all are ACTIVE",
            os_start_date="day of its submission, YYYY-MM-DD",
        ),
        **_known(
            "COLLECTION",
            tags="what the person gave it",
            datafields="data fields of its expression",
            datasets="data sets that these are from",
            datacategories="categories that these are from",
            classifications="names of its classifications",
            competitions="names of its competitions",
        ),
    }
)
"""What a selection can name, with its kind."""

HINDSIGHT = frozenset({"sharpe", "fitness", "returns", "drawdown", "margin", "pnl"})
"""Properties that say how well an alpha did, over the very days that it is judged on."""


@dataclass(frozen=True, eq=False)
class StoredAlpha:
    """An alpha that can become a component of a SUPER alpha.

    Attributes
    ----------
    properties : values by the names of `PROPERTIES`; what is absent or None is missing
    result : where its positions were kept they are used, else they are computed again
    """

    id: str
    expression: Expression
    settings: SimulationSettings
    properties: Mapping[str, Property] = field(default_factory=dict)
    result: SimulationResult | None = None

    @classmethod
    def of(cls, result: SimulationResult, id: str, **properties: Property) -> StoredAlpha:
        """Return the alpha of a result; `properties` such as tags and name are added."""
        found = result.statistics
        fields = result.expression.fields
        known: dict[str, Property] = {
            "id": id,
            "own": 1.0,
            "favorite": 0.0,
            "name": "",
            "category": "NONE",
            "color": "NONE",
            "status": "UNSUBMITTED",
            "turnover": found.turnover,
            "long_count": found.long_count,
            "short_count": found.short_count,
            "operator_count": float(result.expression.operator_count),
            "datafield_count": float(len(fields)),
            "datafields": fields,
            "sharpe": found.sharpe,
            "fitness": found.fitness,
            "returns": found.returns,
            "drawdown": found.drawdown,
            "margin": found.margin,
            "pnl": found.pnl,
        }
        known |= setting_properties(result.settings)
        return cls(id, result.expression, result.settings, known | properties, result)

    def __repr__(self) -> str:
        return f"StoredAlpha({self.id!r}, {self.expression.canonical!r})"


def setting_properties(settings: SimulationSettings) -> dict[str, Property]:
    """Return the properties that are settings."""
    return {
        "decay": float(settings.decay),
        "truncation": settings.truncation,
        "universe": settings.universe,
        "neutralization": settings.neutralization,
    }


def select_alphas(
    selection: Expression | str, alphas: Sequence[StoredAlpha], settings: SuperSettings
) -> tuple[list[StoredAlpha], tuple[str, ...]]:
    """Return the alphas that a selection chooses, best first, and notes for people.

    Only alphas of the same instrument type, region, delay and language are looked at; of the same
    selection weight, earlier ones come first. Raises ExpressionError where the selection cannot
    run, SimulationError where it chooses none.
    """
    parsed = parse(selection) if isinstance(selection, str) else selection
    pool = [alpha for alpha in alphas if _fits(alpha.settings, settings)]
    by_kind: dict[str, dict[str, list[Property]]] = {"MATRIX": {}, "TEXT": {}, "COLLECTION": {}}
    for name, info in PROPERTIES.items():
        by_kind[info.type][name] = [alpha.properties.get(name) for alpha in pool]
    weights = evaluate_selection(
        parsed,
        {name: _numbers(values) for name, values in by_kind["MATRIX"].items()},
        cast("Mapping[str, list[str | None]]", by_kind["TEXT"]),
        {
            name: [cast("Collection[str]", value or ()) for value in values]
            for name, values in by_kind["COLLECTION"].items()
        },
    )
    chosen = choose(weights, settings.selection_handling, settings.selection_limit)
    if not chosen:
        raise SimulationError(
            f"The selection expression chooses none of {len(pool)} alphas of delay "
            f"{settings.delay}; simulate alphas first, or loosen the selection"
        )
    kept = _within_operators([pool[place] for place in chosen])
    return kept, _notes(parsed, kept, len(chosen), pool)


def _fits(component: SimulationSettings, settings: SuperSettings) -> bool:
    return (component.instrument_type, component.region, component.delay, component.language) == (
        settings.instrument_type,
        settings.region,
        settings.delay,
        settings.language,
    )


def _numbers(values: Sequence[Property]) -> NDArray[np.float64]:
    return np.array(
        [float(value) if isinstance(value, int | float) else math.nan for value in values]
    )


def _within_operators(alphas: list[StoredAlpha]) -> list[StoredAlpha]:
    total = 0
    for place, alpha in enumerate(alphas):
        total += alpha.expression.operator_count
        if total > MOST_OPERATORS:
            return alphas[: max(place, 1)]
    return alphas


def _notes(
    selection: Expression, kept: list[StoredAlpha], chosen: int, pool: Sequence[StoredAlpha]
) -> tuple[str, ...]:
    notes = []
    if len(kept) < chosen:
        notes.append(
            f"{len(kept)} of {chosen} chosen alphas are combined, since together they may have "
            f"at most {MOST_OPERATORS} operators"
        )
    waiting = sum(alpha.properties.get("status") != "ACTIVE" for alpha in kept)
    if waiting:
        notes.append(
            f"{waiting} of {len(kept)} components are not submitted; BRAIN chooses among submitted "
            'alphas, as status == "ACTIVE" does here'
        )
    seen = sorted(HINDSIGHT & selection.fields)
    if seen:
        notes.append(
            f"the selection looks at {', '.join(seen)} of the whole period, so the result is "
            "better than what could have been earned"
        )
    return tuple(notes)
