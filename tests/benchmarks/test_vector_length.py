"""The competitor that is compiled here has to fit the processor."""

from __future__ import annotations

import platform
import shutil

import pytest

from benchmarks.engines import vector_length
from benchmarks.engines.vector_length import doubles_per_vector, macros

has_compiler = pytest.mark.skipif(
    shutil.which(vector_length.COMPILER) is None or platform.machine() != "x86_64",
    reason="needs g++ on x86-64",
)


@has_compiler
@pytest.mark.parametrize(
    ("target", "doubles"),
    [
        ("skylake-avx512", 8),
        ("icelake-server", 8),
        ("znver2", 4),
        ("haswell", 4),
        ("knl", 4),  # AVX-512F without the instructions for short vectors
        ("sandybridge", 0),  # AVX without AVX2
        ("x86-64", 0),
    ],
)
def test_the_vectors_fit_the_processor(target: str, doubles: int) -> None:
    assert doubles_per_vector(macros(target)) == doubles


def test_arm_takes_two_doubles() -> None:
    assert doubles_per_vector({"__ARM_NEON", "__aarch64__"}) == 2


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_length, "COMPILER", "no-such-compiler")
    assert vector_length.why_not() == "it compiles with no-such-compiler, which is not installed"


@has_compiler
def test_this_machine_compiles_for_itself() -> None:
    fits = doubles_per_vector(macros())
    assert (vector_length.why_not() is None) == (fits > 0)
