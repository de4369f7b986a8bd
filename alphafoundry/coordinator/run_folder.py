"""Where a workflow keeps what it makes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alphafoundry.errors import WorkflowError
from alphafoundry.file_lock import file_lock
from alphafoundry.whole_file import replace_file


def file_stem(text: str) -> str:
    """Return a title as a file's name: lower-case letters, digits and dashes."""
    return "-".join(
        "".join(char if char.isascii() and char.isalnum() else " " for char in text.lower()).split()
    )


@dataclass(frozen=True)
class RunFolder:
    """The folder of one workflow with one configuration on one set of data.

    path : workflow.yaml, reproducibility.json, results.json, analysis.md, plots/, studies/
    shared : bars, signals and daily returns by content, for every workflow of the home
    """

    path: Path
    shared: Path

    def make(self) -> None:
        """Make the folders."""
        for folder in (self.path, self.plots, self.studies, self.signals, self.returns, self.bars):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def plots(self) -> Path:
        """Pictures."""
        return self.path / "plots"

    @property
    def studies(self) -> Path:
        """Optuna's journals, one per phase."""
        return self.path / "studies"

    @property
    def signals(self) -> Path:
        """Signals by content, in a folder per version of the code."""
        return self.shared / "signals"

    @property
    def returns(self) -> Path:
        """Daily returns of trials by content."""
        return self.shared / "returns"

    @property
    def bars(self) -> Path:
        """Bars by content."""
        return self.shared / "bars"

    def write_json(self, name: str, value: Any) -> Path:
        """Write a JSON file in one step; floats read back bit for bit."""
        path = self.path / name
        replace_file(path, (json.dumps(value, indent=1, default=str) + "\n").encode())
        return path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let no second run of the same workflow work here; the kernel frees a dead run's lock.

        Raises WorkflowError where one is at work.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with file_lock(self.path / ".lock", wait=0) as held:
            if held is None:
                raise WorkflowError(
                    f"{self.path}: another run of this workflow is at work; wait for it or stop it"
                )
            yield
