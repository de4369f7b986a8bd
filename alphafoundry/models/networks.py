"""Two small networks over the last days of a name's scores: an LSTM and a transformer.

    parameters = learn("lstm", windows, target, settings={"units": 16, "steps": 50}, seed=1)
    Network("lstm", parameters).predict(windows)

The formulas are written once and run on NumPy; autograd (extra `deep`) differentiates them, so that
it is needed to learn and not to foretell. A network is its arrays, written as JSON. How much it
learns is counted in steps, never in time, and one seed gives one network.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from alphafoundry.seeds import generator

Array = NDArray[np.float64]
NetworkKind = Literal["lstm", "transformer"]

NETWORKS: tuple[NetworkKind, ...] = ("lstm", "transformer")
WINDOW = 5
"""Days of scores that a network sees, the last one that of the forecast."""

_BATCH = 512
_RATE = 0.01
_DECAY = 1e-4
_PIECE = 8192


@dataclass(frozen=True, eq=False)
class Network:
    """A network that has learned.

    Attributes
    ----------
    parameters : name to array; "scale" holds the features' deviations
    """

    kind: NetworkKind
    parameters: Mapping[str, Array]
    window: ClassVar[int] = WINDOW

    def __repr__(self) -> str:
        count = sum(one.size for one in self.parameters.values())
        return f"Network({self.kind!r}, {count} numbers)"

    def predict(self, features: Array) -> Array:
        """Return the forecast of each of (n_samples, WINDOW, n_features)."""
        found = np.empty(len(features))
        for start in range(0, len(features), _PIECE):
            piece = features[start : start + _PIECE]
            found[start : start + _PIECE] = _FORMULAS[self.kind](np, self.parameters, piece)
        return found

    def to_text(self) -> str:
        """Return the arrays as JSON."""
        return json.dumps({name: one.tolist() for name, one in self.parameters.items()})


def read_network(kind: str, text: str) -> Network:
    """Return the network that `to_text` gave."""
    found = json.loads(text)
    (known,) = (one for one in NETWORKS if one == kind)
    return Network(known, {name: np.array(one, dtype=np.float64) for name, one in found.items()})


def learn(
    kind: NetworkKind,
    features: Array,
    target: Array,
    *,
    settings: Mapping[str, Any],
    seed: int,
) -> Network:
    """Return a network that has learned by least squares (Adam: D. Kingma and J. Ba, 2015).

    Parameters
    ----------
    features : shape (n_samples, WINDOW, n_features)
    target : shape (n_samples,)
    settings : `units`, and `steps` of 512 samples each
    """
    autograd = importlib.import_module("autograd")
    differentiable = importlib.import_module("autograd.numpy")
    adam = importlib.import_module("autograd.misc.optimizers").adam
    steps = int(settings.get("steps", 50))
    draw = generator(seed, "network", kind)
    scale = features.std(axis=(0, 1))
    begin = _begin(kind, features.shape[2], int(settings.get("units", 16)), draw)
    batches = draw.integers(len(target), size=(steps, min(_BATCH, len(target))))
    fixed = {"scale": np.where(scale > 0.0, scale, 1.0)}

    def loss(parameters: Mapping[str, Any], step: int) -> Any:
        rows = batches[step]
        told = _FORMULAS[kind](differentiable, {**parameters, **fixed}, features[rows])
        size = sum(differentiable.sum(one**2) for one in parameters.values())
        return differentiable.mean((told - target[rows]) ** 2) + _DECAY * size

    # Threads add in another order: one of them gives the same network everywhere, and sooner.
    with threadpool_limits(1):
        found = adam(autograd.grad(loss), begin, num_iters=steps, step_size=_RATE)
    return Network(kind, {**{name: np.asarray(one) for name, one in found.items()}, **fixed})


def _begin(
    kind: NetworkKind, features: int, units: int, draw: np.random.Generator
) -> dict[str, Array]:
    """Return arrays to begin with: drawn, of deviation 1 / sqrt(inputs), and no output yet."""

    def drawn(inputs: int, outputs: int) -> Array:
        return np.asarray(draw.standard_normal((inputs, outputs)) / np.sqrt(inputs))

    if kind == "lstm":
        return {
            "gates": drawn(features + units, 4 * units),
            "bias": np.zeros(4 * units),
            "out": np.zeros(units),
        }
    return {
        "in": drawn(features, units),
        "place": np.zeros((WINDOW, units)),
        "query": drawn(units, units),
        "key": drawn(units, units),
        "value": drawn(units, units),
        "wide": drawn(units, 2 * units),
        "narrow": drawn(2 * units, units),
        "out": np.zeros(units),
    }


def _lstm(xp: Any, given: Mapping[str, Any], features: Array) -> Any:
    """Return the last state's forecast (S. Hochreiter and J. Schmidhuber, 1997), gates in one."""
    scaled = features / given["scale"]
    units = len(given["out"])
    state = memory = np.zeros((len(features), units))
    for day in range(features.shape[1]):
        seen = xp.concatenate([scaled[:, day], state], axis=1)
        gates = xp.dot(seen, given["gates"]) + given["bias"]
        # Half of 1 + tanh(x / 2) is the logistic function, which cannot overflow.
        opened = 0.5 * (1.0 + xp.tanh(0.5 * gates[:, : 3 * units]))
        enter, keep, leave = (opened[:, n * units : (n + 1) * units] for n in range(3))
        memory = keep * memory + enter * xp.tanh(gates[:, 3 * units :])
        state = leave * xp.tanh(memory)
    return xp.dot(state, given["out"])


def _transformer(xp: Any, given: Mapping[str, Any], features: Array) -> Any:
    """Return the forecast of one block with one head (A. Vaswani and others, 2017).

    Layers are normed before they are used (R. Xiong and others, 2020); only the last day asks,
    since only its forecast counts.
    """
    days = xp.dot(features / given["scale"], given["in"]) + given["place"]
    normed = _normed(xp, days)
    asked = xp.dot(normed[:, -1], given["query"])
    fit = xp.einsum("nu,ntu->nt", asked, xp.dot(normed, given["key"]))
    weights = xp.exp(4.0 * xp.tanh(fit / (4.0 * np.sqrt(len(given["out"])))))
    weights = weights / xp.sum(weights, axis=1, keepdims=True)
    heard = xp.einsum("nt,ntu->nu", weights, xp.dot(normed, given["value"]))
    last = days[:, -1] + heard
    wide = xp.maximum(xp.dot(_normed(xp, last), given["wide"]), 0.0)
    return xp.dot(last + xp.dot(wide, given["narrow"]), given["out"])


def _normed(xp: Any, values: Any) -> Any:
    centred = values - xp.mean(values, axis=-1, keepdims=True)
    return centred / xp.sqrt(xp.mean(centred**2, axis=-1, keepdims=True) + 1e-5)


_FORMULAS: Mapping[NetworkKind, Any] = {"lstm": _lstm, "transformer": _transformer}
