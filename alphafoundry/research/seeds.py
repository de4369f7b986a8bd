"""Random generators by name, so that a draw does not depend on what was drawn before it."""

from __future__ import annotations

import zlib

import numpy as np


def generator_for(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator that belongs to `seed` and these names, the same on every machine.

    `generator_for(7, "generate", 12)` is independent of `generator_for(7, "generate", 13)` and of
    how many numbers either has given. Integers must not be negative.
    """
    key = tuple(zlib.crc32(name.encode()) if isinstance(name, str) else name for name in names)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
