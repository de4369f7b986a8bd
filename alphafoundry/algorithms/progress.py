"""Progress messages in the form `EVENT::model::text`, for a callback (percent, message)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Callback = Callable[[float, str], None]
Event = Literal["MODEL_START", "PREVIEW", "MODEL_OK", "MODEL_FAIL", "MODEL_SKIP"]

EVENTS: tuple[Event, ...] = ("MODEL_START", "PREVIEW", "MODEL_OK", "MODEL_FAIL", "MODEL_SKIP")
PREVIEW_LINES = 24
FIRST_PERCENT = 30.0
LAST_PERCENT = 55.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProgressMessage:
    """A message taken apart.

    Attributes
    ----------
    text : the status, the reason, or the first lines of the program
    """

    event: Event
    model: str
    text: str

    def __str__(self) -> str:
        return f"{self.event}::{self.model}::{self.text}"


def read_message(message: str) -> ProgressMessage | None:
    """Return the parts of a message, None where it is a plain sentence."""
    event, _, rest = message.partition("::")
    model, separator, text = rest.partition("::")
    for known in EVENTS:
        if event == known and separator:
            return ProgressMessage(known, model, text)
    return None


def preview(source: str) -> str:
    """Return the first lines of a program."""
    return "\n".join(source.splitlines()[:PREVIEW_LINES])


class ProgressReporter:
    """Tells a callback how far the generation is, from 30 to 55 percent.

    For each model: MODEL_START, then PREVIEW and one MODEL_OK, or MODEL_FAIL, or, without a
    start, MODEL_SKIP. A callback that raises is noted in the log and does not stop the work.
    """

    def __init__(self, callback: Callback | None, total: int) -> None:
        self._callback = callback
        self._total = max(total, 1)
        self._over = 0

    def started(self, model: str, number: int) -> None:
        """Tell that a model is asked; number counts from 1."""
        self.say(f"Generating algorithm {number}/{self._total} using {model}...")
        self._tell("MODEL_START", model, "generating")

    def succeeded(self, model: str, source: str) -> None:
        """Tell that a model's program can be raced."""
        self._tell("PREVIEW", model, preview(source))
        self._over += 1
        self._tell("MODEL_OK", model, "generated")

    def failed(self, model: str, reason: str) -> None:
        """Tell that nothing usable came from a model."""
        self._over += 1
        self._tell("MODEL_FAIL", model, _line(reason))

    def skipped(self, model: str, reason: str = "unavailable") -> None:
        """Tell that a model was not asked."""
        self._over += 1
        self._tell("MODEL_SKIP", model, _line(reason))

    def finished(self, sentence: str) -> None:
        """Tell the outcome of all."""
        self._over = self._total
        self.say(sentence)

    def say(self, sentence: str) -> None:
        """Tell a plain sentence."""
        if self._callback is None:
            return
        share = min(self._over, self._total) / self._total
        try:
            self._callback(FIRST_PERCENT + (LAST_PERCENT - FIRST_PERCENT) * share, sentence)
        except Exception:
            log.exception("the progress callback failed; the generation goes on")

    def _tell(self, event: Event, model: str, text: str) -> None:
        self.say(str(ProgressMessage(event, model, text)))


def _line(text: str) -> str:
    return " ".join(text.split())
