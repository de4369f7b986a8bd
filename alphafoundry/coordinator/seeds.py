"""Seeds by name: a draw depends on the master seed and its names, never on order."""

from __future__ import annotations

import hashlib

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
