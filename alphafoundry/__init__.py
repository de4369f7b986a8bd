"""Alpha Foundry's library: plain Python, no Prefect, usable from a notebook."""

import os as _os
from pathlib import Path as _Path

__version__ = "0.1.0"

# Compiled kernels lie in the user's cache folder (`compilation.py`). Where the source cannot be
# written they go to the home folder with the rest, since a user of a container or of a service
# often has no cache folder. Numba reads this when it is imported.
if _os.environ.get("FOUNDRY_HOME") and not _os.access(_Path(__file__).parent, _os.W_OK):
    _os.environ.setdefault("NUMBA_CACHE_DIR", f"{_os.environ['FOUNDRY_HOME']}/cache/kernels")
