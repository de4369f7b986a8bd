"""A SUPER simulation: alphas chosen by their properties, weighed day by day, held as one book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions import Expression, parse
from alphafoundry.expressions.combo import check_combo, evaluate_combo, needs_statistics
from alphafoundry.market.panel import Panel
from alphafoundry.simulation.checks import Account, Check
from alphafoundry.simulation.components import KEPT_BYTES, Components
from alphafoundry.simulation.evaluators import EvaluatorCache
from alphafoundry.simulation.holding import held
from alphafoundry.simulation.result import SimulationResult
from alphafoundry.simulation.simulator import (
    require_possible,
    result_of,
    smaller_universe,
    unknown_groups,
)
from alphafoundry.simulation.stored_alphas import StoredAlpha, select_alphas
from alphafoundry.simulation.super_settings import SuperSettings
from alphafoundry.simulation.weights import neutralization_groups, to_weights

LEAST_TURNOVER = 0.02
MOST_TURNOVER = 0.4
"""Bounds of the turnover checks of a SUPER alpha."""


@dataclass(frozen=True, eq=False)
class SuperResult(SimulationResult):
    """What a SUPER simulation found; `expression` is its combo.

    Attributes
    ----------
    selection : how its components were chosen
    components : the chosen alphas, the largest selection weight first
    shares : weight of each component that the combo gave, shape (n_days, n_alphas); row t is of
        the data of the panel's day t. NaN, infinite and 0 leave the component out that day
    """

    selection: Expression = field(default_factory=lambda: parse("1"))
    components: tuple[StoredAlpha, ...] = ()
    shares: NDArray[np.float64] | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        names = ", ".join(alpha.id for alpha in self.components[:5])
        more = ", ..." if len(self.components) > 5 else ""
        return (
            f"selection {self.selection.text}\n"
            f"{len(self.components)} components: {names}{more}\n"
            f"combo {super().__repr__()}"
        )


def simulate_super(
    alphas: Sequence[StoredAlpha],
    panel: Panel,
    settings: SuperSettings | None = None,
    *,
    selection: Expression | str = "1",
    combo: Expression | str = "1",
    evaluator: EvaluatorCache | None = None,
    account: Account = "user",
    keep_positions: bool = True,
    kept_bytes: int = KEPT_BYTES,
) -> SuperResult:
    """Simulate a SUPER alpha over stored alphas.

    Parameters
    ----------
    alphas : to choose from, oldest first
    settings : of the combination; None is BRAIN's defaults. Its universe also replaces that of
        every component, whose other settings stay
    selection : weight of every alpha by its properties (`PROPERTIES`); see `SuperSettings` for who
        is chosen by it
    combo : weight of every chosen alpha each day; `1` weighs them alike
    evaluator, account, keep_positions : as of `simulate`
    kept_bytes : most memory for positions of components

    The components' weights, each with sum of absolute values 1, are multiplied with the day's
    weight and added, so that opposite positions cancel; the sum is decayed, neutralized,
    truncated and scaled as an alpha's values are. A component's statistics of day t are of the
    positions held over day t, so a combo of day t knows nothing later.

    Raises ExpressionError (its `expression` says whether selection or combo), ConfigurationError,
    MarketError, and SimulationError where no alpha is chosen or fewer than 500 days are left.
    """
    settings = settings or SuperSettings()
    shared = evaluator or EvaluatorCache(panel)
    require_possible(settings, panel, shared)
    groups = neutralization_groups(panel, settings.neutralization)
    mask, note = shared.universe(settings.universe)
    selecting = parse(selection) if isinstance(selection, str) else selection
    chosen, notes = select_alphas(selecting, alphas, settings)
    combining = parse(combo) if isinstance(combo, str) else combo
    warnings = check_combo(combining)
    # Without statistics, positions are needed once only.
    kept = kept_bytes if needs_statistics(combining) else 0
    components = Components(chosen, shared, settings, kept_bytes=kept)
    shares = evaluate_combo(
        combining, components, components.shape, nan_handling=settings.nan_handling == "ON"
    )
    weights = to_weights(
        components.combined(shares),
        mask,
        groups,
        decay=settings.decay,
        truncation=settings.truncation,
    )
    smaller = smaller_universe(shared, settings.universe)
    found = result_of(
        held(
            weights,
            panel.fields["returns"],
            panel.dates,
            delay=settings.delay,
            inside=smaller.inside,
        ),
        smaller,
        combining,
        settings,
        shared,
        warnings=warnings,
        notes=tuple(text for text in (note, *notes, unknown_groups(groups, settings)) if text),
        account=account,
        keep_positions=keep_positions,
    )
    known = {attribute.name: getattr(found, attribute.name) for attribute in fields(found)}
    known["checks"] = tuple(map(_with_super_limit, found.checks))
    return SuperResult(**known, selection=selecting, components=components.alphas, shares=shares)


def _with_super_limit(check: Check) -> Check:
    if check.value is None:
        return check
    if check.name == "LOW_TURNOVER":
        passed = check.value > LEAST_TURNOVER
        return replace(check, limit=LEAST_TURNOVER, result="PASS" if passed else "FAIL")
    if check.name == "HIGH_TURNOVER":
        passed = check.value < MOST_TURNOVER
        return replace(check, limit=MOST_TURNOVER, result="PASS" if passed else "FAIL")
    return check
