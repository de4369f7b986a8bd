"""Seeds by name: a draw depends on the master seed and its names, never on what was drawn before.

There are two ways from names to a stream, so that results of earlier versions come out again:
`generator_for` is that of research and of the calibration market, the others are the workflows'.
"""

from __future__ import annotations

import hashlib
import zlib

import numpy as np


def sequence(master: int, *names: str | int) -> np.random.SeedSequence:
    """Return the seed sequence of a name such as ("parameter_discovery", 17)."""
    digest = hashlib.sha256("\x1f".join(f"{type(n).__name__}:{n}" for n in names).encode()).digest()
    return np.random.SeedSequence([master, int.from_bytes(digest[:16], "big")])


def generator(master: int, *names: str | int) -> np.random.Generator:
    """Return NumPy's generator for a name."""
    return np.random.default_rng(sequence(master, *names))


def seed_number(master: int, *names: str | int) -> int:
    """Return a whole number below 2**32 for a name, for programs that take one."""
    return int(sequence(master, *names).generate_state(1, np.uint32)[0])


def generator_for(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator that belongs to `seed` and these names, the same on every machine.

    `generator_for(7, "generate", 12)` is independent of `generator_for(7, "generate", 13)` and of
    how many numbers either has given. Integers must not be negative.
    """
    key = tuple(zlib.crc32(name.encode()) if isinstance(name, str) else name for name in names)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
