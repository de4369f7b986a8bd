"""KunQuant: each alpha compiled to a C++ module of its own, in double precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from KunQuant import ops
from KunQuant.Driver import KunCompilerConfig
from KunQuant.jit import cfake
from KunQuant.Op import Builder, ConstantOp, Input, OpBase, Output, Rank, Scale
from KunQuant.ops.MiscOp import GenericCrossSectionalOp
from KunQuant.runner import KunRunner
from KunQuant.Stage import Function

from benchmarks.engines.formulas import Formula
from benchmarks.engines.vector_length import doubles_per_vector, macros

FIELDS = ("open", "high", "low", "close", "volume", "vwap", "returns", "sector")


class _GroupNeutralize(GenericCrossSectionalOp):  # type: ignore[misc]
    """x minus the mean of its sector, in the engine's own C++ extension point."""

    def __init__(self, x: OpBase, sector: OpBase) -> None:
        super().__init__([x, sector], None)

    def generate_head(self) -> str:
        return ""

    def generate_body(self) -> str:
        return """
        T total[256] = {0};
        T count[256] = {0};
        for (size_t i = 0; i < num_stocks; i++) {
            T value = input_0[i];
            int label = (int) input_1[i];
            if (label >= 0 && value == value) { total[label] += value; count[label] += 1; }
        }
        for (int k = 0; k < 256; k++) { total[k] /= count[k]; }
        for (size_t i = 0; i < num_stocks; i++) {
            int label = (int) input_1[i];
            output_0[i] = label >= 0 ? input_0[i] - total[label] : NAN;
        }
        """


class KunQuantVocabulary:
    """Operators that build KunQuant's graph."""

    def __init__(self) -> None:
        for name in FIELDS:
            setattr(self, name, Input(name))

    def rank(self, x: OpBase) -> OpBase:
        return Rank(x)

    def scale(self, x: OpBase) -> OpBase:
        return Scale(x)

    def neutralize(self, x: OpBase) -> OpBase:
        return _GroupNeutralize(x, self.sector)  # type: ignore[attr-defined]

    def delay(self, x: OpBase, d: int) -> OpBase:
        return ops.BackRef(x, d)

    def delta(self, x: OpBase, d: int) -> OpBase:
        return ops.Sub(x, ops.BackRef(x, d))

    def mean(self, x: OpBase, d: int) -> OpBase:
        return ops.WindowedAvg(x, d)

    def sum(self, x: OpBase, d: int) -> OpBase:
        return ops.WindowedSum(x, d)

    def std(self, x: OpBase, d: int) -> OpBase:
        return ops.WindowedStddev(x, d)

    def min(self, x: OpBase, d: int) -> OpBase:
        return ops.WindowedMin(x, d)

    def max(self, x: OpBase, d: int) -> OpBase:
        return ops.WindowedMax(x, d)

    def corr(self, x: OpBase, y: OpBase, d: int) -> OpBase:
        return ops.WindowedCorrelation(x, d, y)

    def cov(self, x: OpBase, y: OpBase, d: int) -> OpBase:
        return ops.WindowedCovariance(x, d, y)

    def ts_rank(self, x: OpBase, d: int) -> OpBase:
        return ops.TsRank(x, d)

    def decay(self, x: OpBase, d: int) -> OpBase:
        return ops.DecayLinear(x, d)

    def arg_max(self, x: OpBase, d: int) -> OpBase:
        return ops.TsArgMax(x, d)

    def arg_min(self, x: OpBase, d: int) -> OpBase:
        return ops.TsArgMin(x, d)

    def log(self, x: OpBase) -> OpBase:
        return ops.Log(x)

    def abs(self, x: OpBase) -> OpBase:
        return ops.Abs(x)

    def sign(self, x: OpBase) -> OpBase:
        return ops.Sign(x)

    def signed_square(self, x: OpBase) -> OpBase:
        return x * ops.Abs(x)

    def power(self, x: OpBase, y: OpBase) -> OpBase:
        return ops.Pow(x, y)

    def larger(self, x: OpBase, y: OpBase) -> OpBase:
        return ops.Max(x, y)

    def where(self, condition: OpBase, x: Any, y: Any, known: OpBase) -> OpBase:
        chosen = [v if isinstance(v, OpBase) else ConstantOp(v) for v in (x, y)]
        return ops.Select(condition, *chosen)


def _negated(self: OpBase) -> OpBase:
    return ops.MulConst(self, -1)


OpBase.__neg__ = _negated


def compile_alpha(number: int, formula: Formula) -> tuple[Any, str]:
    """Compile one alpha; returns its module, which lives as long as the first item, and name."""
    builder = Builder()
    with builder:
        Output(formula(KunQuantVocabulary()), "out")
    function = Function(builder.ops)
    name = f"alpha_{number}"
    config = KunCompilerConfig(
        dtype="double",
        input_layout="TS",
        output_layout="TS",
        blocking_len=doubles_per_vector(macros()),
    )
    library = cfake.compileit([(name, function, config)], name, cfake.CppCompilerConfig())
    return library, name


def runner(
    library: Any, name: str, data: Mapping[str, np.ndarray], threads: int
) -> Callable[[], np.ndarray]:
    """Return what evaluates a compiled alpha into an array that is allocated once."""
    module = library.getModule(name)
    days, names = data["close"].shape
    out = {"out": np.empty((days, names))}
    executor = (
        KunRunner.createMultiThreadExecutor(threads)
        if threads > 1
        else KunRunner.createSingleThreadExecutor()
    )
    needed = set(module.getInputNames()) if hasattr(module, "getInputNames") else set(FIELDS)
    inputs = {field: data[field] for field in FIELDS if field in needed}

    def run() -> np.ndarray:
        KunRunner.runGraph(executor, module, inputs, 0, days, out)
        return out["out"]

    return run
