"""What a run imports only when it needs it, imported while it would wait."""

from __future__ import annotations

import contextlib
import importlib
import threading

PLOTS = ("matplotlib.backends.backend_agg", "matplotlib.figure")
LATER = ("prefect.flow_engine", "prefect.task_engine", "alphafoundry.brain.server", *PLOTS)


def import_later_ones() -> None:
    """Import them here and now, while the Prefect server starts."""
    _import(LATER)


def import_plots_in_background() -> None:
    """Import what draws in a thread, while trials run; at once where that is done already.

    Only packages of others: two threads that import modules of ours could each find one that the
    other has half imported.
    """
    threading.Thread(target=_import, args=[PLOTS], daemon=True, name="import-plots").start()


def _import(names: tuple[str, ...]) -> None:
    for name in names:
        with contextlib.suppress(ImportError):  # told where it is needed
            importlib.import_module(name)
