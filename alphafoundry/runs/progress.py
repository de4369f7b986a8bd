"""Where a run shows how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Where a run shows how far it is; called from any thread."""

    def update(self, phase: str, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` steps of `phase` are over."""
        ...

    def say(self, message: str) -> None:
        """Show one line for a person."""
        ...


class NoProgress:
    """Shows nothing."""

    def update(self, phase: str, done: int, total: int, note: str = "") -> None:
        """Show nothing."""

    def say(self, message: str) -> None:
        """Show nothing."""
