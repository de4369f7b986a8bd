"""What the local server remembers: simulations, alphas, PnL and submissions, in SQLite."""

from __future__ import annotations

from pathlib import Path

from alphafoundry.brain.service.alpha_rows import AlphaRows
from alphafoundry.brain.service.simulation_rows import SimulationRows
from alphafoundry.brain.service.state_database import StateDatabase
from alphafoundry.brain.service.submission_rows import SubmissionRows


class State:
    """The memory of one local server; every change is one transaction.

    Parameters
    ----------
    path : SQLite file, made with its folder where absent
    service : only rows of this service are seen

    Attributes
    ----------
    alphas, simulations, submissions : what is remembered of them

    Raises StoreError where the file cannot be opened.
    """

    def __init__(self, path: Path, *, service: str) -> None:
        self._database = StateDatabase(path, service=service)
        self.alphas = AlphaRows(self._database)
        self.simulations = SimulationRows(self._database, self.alphas)
        self.submissions = SubmissionRows(self._database)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()
