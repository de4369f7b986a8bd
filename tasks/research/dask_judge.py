"""Batches of ideas judged by the workers of a Dask cluster.

A panel goes to the workers once, by its content. They compute; everything that is kept is written
by the process that asked, so a worker that dies loses a batch under way, which another one repeats.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from alphafoundry.errors import ConfigurationError
from alphafoundry.market import Panel
from alphafoundry.research.screening import Judged, JudgeOf
from alphafoundry.simulation.screening import Screened, Screener
from tasks.prefect.dask_workers import Needs, cluster_at, require_here, require_workers

if TYPE_CHECKING:
    from distributed import Client, Future

TRIES = 3
"""Times that a batch is sent: a worker may die with it."""


@contextlib.contextmanager
def judging_by(address: str) -> Iterator[JudgeOf]:
    """Give what makes a judge on a panel of the workers of the scheduler at that address.

    Raises ConfigurationError where there is no such cluster, or a worker lacks something.
    """
    needs = Needs()
    with cluster_at(address) as client:
        threads = require_workers(client, address, needs)
        yield functools.partial(DaskJudge, client, address, threads, needs)


class DaskJudge:
    """Judges batches on the workers of a cluster, each in one thread.

    Parameters
    ----------
    address : of the scheduler, for people
    threads : that all workers have
    needs : what each must have, those too that join later
    panel : the market, cut to the days that a search may see
    first, names, keep : as of the `Screener`
    """

    def __init__(
        self,
        client: Client,
        address: str,
        threads: int,
        needs: Needs,
        panel: Panel,
        first: float,
        names: int,
        keep: float,
    ) -> None:
        self._client = client
        self._address = address
        # One batch more than there are threads, so that none waits for this process.
        self.side_by_side = threads + 1
        self._needs = needs
        self._panel = panel
        self._early = first, names, keep
        self._lock = threading.Lock()
        self._sent = client.scatter(panel, broadcast=True)
        # Of the content, and the same where the panel is sent again.
        self._content = str(self._sent.key)

    def screen(self, alphas: Judged, *, spared: Collection[int] = ()) -> Iterable[Screened]:
        """Return what is said of each alpha; those at `spared` places are not stopped early.

        Raises ConfigurationError where the cluster is gone, workers die with the batch, or one that
        joined since lacks something.
        """
        from distributed import CancelledError, KilledWorker
        from distributed.comm.core import CommClosedError

        batch = [(str(text), settings) for text, settings in alphas]
        said = ""
        for _ in range(TRIES):
            sent = self._sent
            try:
                future = self._client.submit(
                    screened_there,
                    self._needs,
                    self._content,
                    sent,
                    batch,
                    *self._early,
                    spared,
                    pure=False,
                )
                found: list[Screened] = future.result()
            except ConfigurationError as problem:
                raise ConfigurationError(f"scheduler_address {self._address}: {problem}") from None
            except (CancelledError, CommClosedError, KilledWorker) as problem:
                said = " ".join(str(problem).split())[:200] or type(problem).__name__
                if not self._sent_again(sent):
                    break
            else:
                return found
        raise ConfigurationError(
            f"scheduler_address {self._address}: the cluster lost a batch of {len(batch)} ideas "
            f"({said}); what was screened before is kept: see that the scheduler and its workers "
            "run, and run the same command again"
        )

    def _sent_again(self, lost: Future[Panel]) -> bool:
        """Send the panel to the workers that there are now; return whether there are any.

        What a worker held that died is gone, and with it every batch that reads it. Of several
        batches that find this out, the first sends.
        """
        from distributed.comm.core import CommClosedError

        with self._lock:
            if self._sent is not lost:
                return True
            try:
                if not self._client.scheduler_info(n_workers=-1)["workers"]:
                    return False
                self._sent = self._client.scatter(self._panel, broadcast=True, hash=False)
            except (OSError, TimeoutError, CommClosedError, ValueError):
                return False
        return True


def screened_there(
    needs: Needs,
    content: str,
    panel: Panel,
    alphas: Judged,
    first: float,
    names: int,
    keep: float,
    spared: Collection[int] = (),
) -> list[Screened]:
    """Judge a batch in this process of a worker.

    content : name of all that the panel holds
    """
    require_here(needs)
    screener = _screener_of(content, _Held(panel), first, names, keep)
    return list(screener.screen(alphas, spared=spared))


class _Held:
    """A panel that counts as equal to every other: the name of its content is the key."""

    def __init__(self, panel: Panel) -> None:
        self.panel = panel

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held)

    def __hash__(self) -> int:
        return 0


@functools.lru_cache(maxsize=2)
def _screener_of(_content: str, held: _Held, first: float, names: int, keep: float) -> Screener:
    """Return the screener of a panel, the same for every batch on it."""
    return Screener(held.panel, threads=1, first=first, names=names, keep=keep)
