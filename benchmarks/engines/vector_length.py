"""How many doubles one instruction of this processor takes, as the C++ compiler sees it."""

from __future__ import annotations

import shutil
import subprocess

COMPILER = "g++"


def macros(target: str = "native") -> set[str]:
    """Return the names that the compiler defines for `-march=TARGET`."""
    command = [COMPILER, f"-march={target}", "-dM", "-E", "-x", "c++", "-"]
    printed = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    ).stdout
    return {line.split()[1] for line in printed.splitlines()}


def doubles_per_vector(defined: set[str]) -> int:
    """Return 8 with AVX-512, 4 with AVX2, 2 with NEON, and 0 where KunQuant has no code for it.

    defined : the compiler's macros for the processor that the code will run on
    """
    if {"__AVX512F__", "__AVX512DQ__", "__AVX512VL__"} <= defined:
        return 8
    if {"__AVX2__", "__FMA__"} <= defined:
        return 4
    return 2 if "__ARM_NEON" in defined else 0


def why_not() -> str | None:
    """Return why KunQuant cannot run here, or None where it can."""
    if shutil.which(COMPILER) is None:
        return f"it compiles with {COMPILER}, which is not installed"
    if not doubles_per_vector(macros()):
        return "it needs a processor with AVX2 or NEON"
    return None
