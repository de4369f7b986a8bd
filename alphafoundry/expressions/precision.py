"""Between which bounds sums of squares and products are exact in float64.

Outside of them squares lose digits or overflow, and operators take their scaled, slower way or
give NaN. Compiled kernels hold these numbers, and the cache of kernels looks at the kernel's own
file only: who changes them empties that cache.
"""

from __future__ import annotations

SMALLEST, LARGEST = 1e-280, 1e280
"""Least and most that a sum of squares may be to be computed as it is."""
