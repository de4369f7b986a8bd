"""Values of sub-expressions, kept while there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ValueCache:
    """Arrays by canonical text; the least recently used go first. Safe among threads.

    limit : bytes of arrays kept at most; an array larger than that is not kept
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._values: OrderedDict[str, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> NDArray[Any] | None:
        """Return the array of that key, or None."""
        with self._lock:
            found = self._values.get(key)
            if found is not None:
                self._values.move_to_end(key)
            return found

    def put(self, key: str, value: object) -> None:
        """Keep an array; anything else is ignored."""
        if not isinstance(value, np.ndarray) or value.nbytes > self.limit:
            return
        with self._lock:
            if key in self._values:
                return
            self._values[key] = value
            self.bytes += value.nbytes
            while self.bytes > self.limit:
                _, gone = self._values.popitem(last=False)
                self.bytes -= gone.nbytes

    def __len__(self) -> int:
        return len(self._values)
