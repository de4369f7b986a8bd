"""Models: ridge regression, trees by LightGBM, the mean of both, and small networks.

A model is written as text that is read back without running anything: coefficients and networks as
JSON, trees in LightGBM's own format.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import ConfigurationError, EvidenceError
from alphafoundry.models.networks import NETWORKS, WINDOW, NetworkKind, learn, read_network
from alphafoundry.models.samples import Samples

Array = NDArray[np.float64]
Kind = Literal["ridge", "lightgbm", "ensemble", NetworkKind]

MOST_ROWS = 400_000
"""Samples that trees learn from at most; ridge takes every one, since that costs a sum."""

MOST_WINDOWS = 50_000
"""Samples that a network learns from at most, which sees several days in each."""


class FittedModel(Protocol):
    """A model that has learned; it never learns again."""

    @property
    def kind(self) -> Kind:
        """What it is."""
        ...

    @property
    def window(self) -> int:
        """Days of features that it sees."""
        ...

    def predict(self, features: Array) -> Array:
        """Return the forecast of each sample that `Samples.looked_at` gives for its window."""
        ...

    def to_text(self) -> str:
        """Return what `read_model` makes it from again."""
        ...


@dataclass(frozen=True, eq=False)
class Ridge:
    """Linear coefficients, shrunk (A. Hoerl and R. Kennard, 1970)."""

    coefficients: Array
    kind: Kind = "ridge"
    window: ClassVar[int] = 1

    def predict(self, features: Array) -> Array:
        """Return the forecast of each row."""
        return np.asarray(features @ self.coefficients)

    def to_text(self) -> str:
        """Return the coefficients as JSON."""
        return json.dumps(self.coefficients.tolist())


class Trees:
    """Boosted trees (LightGBM, extra `models`)."""

    kind: Kind = "lightgbm"
    window = 1

    def __init__(self, text: str) -> None:
        self._text = text
        _refuse_missing(self.kind)
        self._booster = importlib.import_module("lightgbm").Booster(model_str=text)

    def __repr__(self) -> str:
        return f"Trees({self._booster.num_trees()} trees)"

    def predict(self, features: Array) -> Array:
        """Return the forecast of each row."""
        return np.asarray(self._booster.predict(features, num_threads=1), dtype=np.float64)

    def to_text(self) -> str:
        """Return the trees in LightGBM's format."""
        return self._text


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The mean of models whose forecasts are of one scale."""

    members: tuple[FittedModel, ...]
    kind: Kind = "ensemble"
    window: ClassVar[int] = 1

    def predict(self, features: Array) -> Array:
        """Return the mean forecast of each row."""
        return np.asarray(np.mean([one.predict(features) for one in self.members], axis=0))

    def to_text(self) -> str:
        """Return the members' texts with their kinds, as JSON."""
        return json.dumps([[one.kind, one.to_text()] for one in self.members])


_LEARN_BY: Mapping[str, tuple[str, str]] = {
    "lightgbm": ("lightgbm", "models"),
    "ensemble": ("lightgbm", "models"),
    "lstm": ("autograd", "deep"),
    "transformer": ("autograd", "deep"),
}
"""Kind to the package that it learns by, and the extra that brings it."""


def missing_package(kind: Kind) -> str | None:
    """Return what a kind of model needs to learn and how to install it, None where it is there."""
    package, extra = _LEARN_BY.get(kind, ("numpy", ""))
    if importlib.util.find_spec(package) is not None:
        return None
    return f"learns by the package {package}; run: make install EXTRAS={extra}"


def _refuse_missing(kind: Kind) -> None:
    """Raise ConfigurationError where the package that a kind of model learns by is not there."""
    missing = missing_package(kind)
    if missing is not None:
        raise ConfigurationError(f"{kind}: {missing}")


def fit(
    kind: Kind,
    samples: Samples,
    start: int,
    end: int,
    *,
    settings: Mapping[str, Any],
    seed: int,
    most_rows: int = MOST_ROWS,
) -> FittedModel:
    """Return a model that has learned from the days `start` up to and without `end`.

    Parameters
    ----------
    settings : of the kind: `penalty` of ridge, as a share of the features' mean square; `leaves`,
        `trees` and `rate` of LightGBM; `units` and `steps` of a network

    Raises EvidenceError without samples, ConfigurationError where what it learns by is not
    installed.
    """
    _refuse_missing(kind)
    if kind == "ensemble":
        return Ensemble(
            tuple(
                fit(one, samples, start, end, settings=settings, seed=seed, most_rows=most_rows)
                for one in ("ridge", "lightgbm")
            )
        )
    most = samples.target.size if kind == "ridge" else most_rows
    window = 1
    if kind in NETWORKS:
        most, window = min(most, MOST_WINDOWS), WINDOW
    features, target = samples.rows(start, end, most=most, seed=seed, window=window)
    if len(target) < 10 * features.shape[-1]:
        raise EvidenceError(f"{len(target)} samples are too few for {features.shape[-1]} features")
    if kind == "ridge":
        return _ridge(features, target, float(settings.get("penalty", 0.01)))
    if kind in ("lstm", "transformer"):
        return learn(kind, features, target, settings=settings, seed=seed)
    return _trees(features, target, settings, seed)


def read_model(kind: str, text: str) -> FittedModel:
    """Return the model that `to_text` gave."""
    if kind == "ridge":
        return Ridge(np.array(json.loads(text), dtype=np.float64))
    if kind == "lightgbm":
        return Trees(text)
    if kind in ("lstm", "transformer"):
        return read_network(kind, text)
    return Ensemble(tuple(read_model(name, inner) for name, inner in json.loads(text)))


def _ridge(features: Array, target: Array, penalty: float) -> Ridge:
    gram = features.T @ features
    shrink = penalty * float(np.trace(gram)) / len(gram)
    found = np.linalg.solve(gram + shrink * np.eye(len(gram)), features.T @ target)
    return Ridge(np.asarray(found, dtype=np.float64))


def _trees(features: Array, target: Array, settings: Mapping[str, Any], seed: int) -> Trees:
    lightgbm = importlib.import_module("lightgbm")
    found = lightgbm.train(
        {
            "objective": "regression",
            "num_leaves": int(settings.get("leaves", 8)),
            "learning_rate": float(settings.get("rate", 0.05)),
            "min_data_in_leaf": max(20, len(target) // 200),
            "feature_fraction": 1.0,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "seed": seed % 2**31,
            "verbose": -1,
        },
        lightgbm.Dataset(features, label=target),
        num_boost_round=int(settings.get("trees", 60)),
    )
    return Trees(found.model_to_string())
