"""Keep the sides of a continuous run going: each restarts on its own, a stop ends them all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

from alphafoundry.research.run import ResearchRun
from alphafoundry.store import hopeful_alphas

FIRST_DELAY = 5.0
LONGEST_DELAY = 300.0
LOOK_SECONDS = 2.0
LOG_BYTES = 5_000_000
LOGS_KEPT = 5

LOG_FILES = {
    "orchestrator": "alpha_orchestrator.log",
    "generator": "alpha_generator_ollama.log",
    "miner": "alpha_miner.log",
}


SIDES = {"generate": "generator", "mine": "miner"}
"""Flow to the side that it is of; every other is the orchestrator's."""


def side_log(flow: str) -> logging.Logger:
    """Return the logger of a flow; within `log_files` it writes to the file of its side."""
    return _logger(SIDES.get(flow, "orchestrator"))


def _logger(side: str) -> logging.Logger:
    return logging.getLogger(f"alphafoundry.continuous.{side}")


@contextlib.contextmanager
def log_files(folder: Path = Path()) -> Iterator[dict[str, logging.Logger]]:
    """Give one logger per side that writes to its rotated file, for the length of the block."""
    loggers = {}
    handlers = []
    for side, name in LOG_FILES.items():
        handler = RotatingFileHandler(
            folder / name, maxBytes=LOG_BYTES, backupCount=LOGS_KEPT, delay=True
        )
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger = _logger(side)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(handler)
        loggers[side] = logger
        handlers.append((logger, handler))
    try:
        yield loggers
    finally:
        for logger, handler in handlers:
            logger.removeHandler(handler)
            handler.close()


async def keep_running(
    run: ResearchRun,
    name: str,
    turn: Callable[[int], Awaitable[None]],
    log: logging.Logger,
) -> None:
    """Call `turn` with 0, 1, 2, ... until the run is stopped.

    A turn that fails is tried again after 5 s, 10 s, 20 s, at most 5 minutes; a turn that works
    sets the delay back. The other sides go on meanwhile. Where the service takes no more
    simulations, the next turn waits until it may.
    """
    delay = FIRST_DELAY
    number = 0
    while not run.stop.is_set():
        await sleep(run, run.tally.resume_at - time.monotonic())
        if run.stop.is_set():
            return
        try:
            await turn(number)
            delay = FIRST_DELAY
        except Exception as problem:
            log.exception("%s failed; restarting it in %.0f s", name, delay)
            run.progress.say(f"{name} failed ({problem}); restarting it in {delay:.0f} s")
            await sleep(run, delay)
            delay = min(2 * delay, LONGEST_DELAY)
        number += 1


async def sleep(run: ResearchRun, seconds: float) -> None:
    """Wait, less long when the run is stopped."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(run.stop.wait(), seconds)


async def until_hopeful(run: ResearchRun, longest: float, seen: set[str]) -> int:
    """Wait until there is an alpha to mine that was not there before; return how many are.

    Parameters
    ----------
    longest : seconds after which it returns anyway
    seen : ids that an earlier call returned; the miner left them aside, so that they alone are no
        reason to begin again at once. Updated
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + longest
    while not run.stop.is_set():
        found = {alpha.alpha_id for alpha in hopeful_alphas(run.store, run.service)}
        if found - seen or loop.time() >= end:
            seen |= found
            return len(found)
        await sleep(run, min(LOOK_SECONDS, end - loop.time()))
    return 0
