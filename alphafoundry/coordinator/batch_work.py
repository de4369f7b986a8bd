"""A batch on its way to whatever does it: in this process, in a worker process, or far away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alphafoundry.coordinator.batches import Batch, batch_from_json, perform
from alphafoundry.coordinator.isolation import BatchOutcome, TrialFailed, carry_out
from alphafoundry.coordinator.resources import ResourceManager
from alphafoundry.coordinator.worker_pool import shared_pool
from alphafoundry.errors import CannotKeep, OtherCode


@dataclass(frozen=True)
class BatchWork:
    """A batch with all that is needed to do it.

    Attributes
    ----------
    key : of its checkpoint; name : for people
    setting, batch : as their `to_json` gives them
    where : runner, workers, cores, and the limits of a trial
    """

    key: str
    name: str
    setting: Mapping[str, Any]
    batch: Mapping[str, Any]
    where: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return what `perform_batch` takes, plain values."""
        return {"setting": self.setting, "batch": self.batch, "where": dict(self.where)}


def perform_batch(work: Mapping[str, Any], manager: ResourceManager) -> BatchOutcome:
    """Do a batch of trials; those that fail for good are left out and reported.

    Parameters
    ----------
    work : as `BatchWork.to_json` gives it
    manager : lets the work in while memory and cores last
    """
    where, setting = work["where"], work["setting"]

    def attempt(batch: Batch) -> dict[str, Any]:
        with manager.admit(memory=where["memory"], cores=where["cores"]):
            try:
                if where["runner"] in ("processes", "dask"):
                    return shared_pool(where["workers"]).run(
                        setting,
                        batch.to_json(),
                        memory=manager.fitting(where["memory"]),
                        cpu_seconds=where["cpu_seconds"],
                        timeout=where["timeout"],
                    )
                return _perform_here(setting, batch)
            except TrialFailed as problem:
                if problem.kind == "memory" and len(batch.items) > 1:
                    manager.shrink()
                raise

    return carry_out(batch_from_json(work["batch"]), attempt, retries=where["retries"])


def _perform_here(setting: Mapping[str, Any], batch: Batch) -> dict[str, Any]:
    under_way: list[int | None] = [None]

    def begun(place: int) -> None:
        under_way[0] = place

    try:
        return perform(setting, batch.to_json(), begun)
    except (CannotKeep, OtherCode) as problem:
        raise TrialFailed("machine", str(problem)) from None
    except MemoryError:
        raise TrialFailed("memory", "needed more memory than there is", under_way[0]) from None
    except Exception as problem:
        text = " ".join(str(problem).split()) or "no message"
        raise TrialFailed("raised", f"{type(problem).__name__}: {text}", under_way[0]) from problem
